"""Posters by the diffusers engine on tiny weights: LoRA stacks, one warm pipeline, words, failures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from callsheet.base_models import BaseModel, base_model
from callsheet.engines.diffusers import loading, warm
from callsheet.engines.diffusers.engine import DiffusersEngine
from callsheet.engines.diffusers.warm import Warm
from callsheet.errors import (
    CallsheetError,
    Cancelled,
    EngineError,
    EngineUnable,
    LoraUnfit,
    LoraUnreadable,
    NotInStore,
    OutOfMemory,
    RequestInvalid,
    WrongFamily,
)
from callsheet.prompts import POSTER_TEMPLATE
from callsheet.recipe import Ref
from callsheet.recipes import LoraUse, PosterRecipe
from callsheet.settings import Settings
from callsheet.store.base import Outcome, sha256_of
from tests.support.clips import AVA, STYLE, apart, poster_recipe, ref, room

pytestmark = pytest.mark.slow
FLUX, SDXL = "flux1-dev", "sdxl-base-1.0"
STEPS = 3


class Painter:
    """An engine with a pipeline of its own, and a fresh room for each poster."""

    def __init__(self, folder: Path, models: Path, warm: Warm | None = None) -> None:
        self.folder = folder
        self.warm = warm or Warm()
        settings = Settings.load({"CALLSHEET_MODELS": str(models), "CALLSHEET_DEVICE": "cpu"})
        self.engine = DiffusersEngine(settings, self.warm)
        self.inputs: dict[Ref, Path] = {}
        self.told: list[str] = []
        self.shown: list[tuple[int, int]] = []
        self.stop: Any = None
        self._rooms = 0

    def use(self, of: LoraUse, path: Path, strength: float = 1.0, name: str = "") -> LoraUse:
        place = ref(str(path))
        self.inputs[place] = path
        changes = {"sha256": sha256_of(path), "file": place, "strength": strength, "file_name": name or path.name}
        return of.model_copy(update=changes)

    def recipe(self, model: str = FLUX, **changes: Any) -> PosterRecipe:
        fields = {"loras": (), "steps": STEPS, "width": 128, "height": 128, **changes}
        return poster_recipe(self.engine.id.model_copy(update={"model": model}), **fields)

    def paint(self, model: str = FLUX, **changes: Any) -> Outcome:
        return self.engine.paint(self.recipe(model, **changes), self.room())

    def digest(self, model: str = FLUX, **changes: Any) -> str:
        return sha256_of(self.paint(model, **changes).files["main"])

    def pixels(self, model: str = FLUX, **changes: Any) -> Any:
        with Image.open(self.paint(model, **changes).files["main"]) as image:
            return np.asarray(image, np.float32)

    def room(self) -> Any:
        self._rooms += 1
        return dataclasses.replace(room(self.folder / str(self._rooms), self.inputs), progress=self._tell,
                                   show=self._show)

    def _tell(self, share: float, what: str) -> None:
        self.told.append(what)
        if self.stop is not None:
            self.stop(what)

    def _show(self, picture: Path, what: str) -> None:
        with Image.open(picture) as image:
            self.shown.append(image.size)


@pytest.fixture(scope="module")
def models() -> Path:
    pytest.importorskip("diffusers", reason="the extra `models` is not installed")
    from tests.tiny import session

    return session.models()


@pytest.fixture(scope="module")
def shared() -> Warm:
    """One pipeline for tests that do not count."""
    return Warm()


@pytest.fixture
def painter(models: Path, shared: Warm, tmp_path: Path) -> Painter:
    return Painter(tmp_path, models, shared)


def lora(family: str, seed: int, rank: int = 4) -> Path:
    from tests.tiny.session import lora_file

    return lora_file(family, seed, rank)


def stack(painter: Painter, character: int, family: str = "flux", rank: int = 4) -> tuple[LoraUse, ...]:
    return (painter.use(STYLE, lora(family, 1)), painter.use(AVA, lora(family, character, rank), 0.7))


def test_ten_actors_through_one_warm_pipeline_look_as_if_each_was_loaded_fresh(models: Path, tmp_path: Path) -> None:
    queue = Painter(tmp_path / "queue", models)
    ranks = [(4, 2, 8, 16)[n % 4] for n in range(10)]
    warm_ones = [queue.digest(loras=stack(queue, 10 + n, rank=rank)) for n, rank in enumerate(ranks)]
    counts = queue.warm.counts()
    for n, rank in enumerate(ranks):
        fresh = Painter(tmp_path / f"fresh{n}", models)
        assert fresh.digest(loras=stack(fresh, 10 + n, rank=rank)) == warm_ones[n], f"actor {n} of rank {rank}"
    assert len(set(warm_ones)) == 10
    assert counts == {"loads": 1, "stack_loads": 1, "swaps": 9, "reloads_saved": 9}, counts


def test_what_the_pipeline_did_is_in_the_record(models: Path, tmp_path: Path) -> None:
    painter = Painter(tmp_path, models)
    facts = [painter.paint(loras=stack(painter, seed)).facts for seed in (2, 3)][-1]
    assert facts["pipeline"] == {"loads": 1, "stack_loads": 1, "swaps": 1, "reloads_saved": 1}
    assert facts["plan"].startswith("full: ") and facts["model"] == FLUX


@pytest.mark.soak
def test_a_lora_of_more_layers_or_a_larger_rank_is_loaded_anew_with_the_same_pixels(
    models: Path, tmp_path: Path
) -> None:
    from tests.tiny.loras import flux_lora

    small = flux_lora(tmp_path / "small.safetensors", 5, layers=2)
    large = flux_lora(tmp_path / "large.safetensors", 6, rank=80)
    for path in (large, lora("flux", 3)):
        queue, fresh = Painter(tmp_path / f"q{path.stem}", models), Painter(tmp_path / f"f{path.stem}", models)
        queue.digest(loras=(queue.use(AVA, small),))
        after = queue.digest(loras=(queue.use(AVA, path),))
        assert after == fresh.digest(loras=(fresh.use(AVA, path),))
        assert queue.warm.counts()["stack_loads"] == 2, queue.warm.counts()


def test_another_base_model_frees_the_first(models: Path, tmp_path: Path) -> None:
    painter = Painter(tmp_path, models)
    one = painter.digest()
    painter.digest(SDXL)
    assert painter.digest() == one
    assert painter.warm.counts()["loads"] == 3


def test_the_style_is_always_the_first_slot(
    painter: Painter
) -> None:
    style, ava = stack(painter, 2)
    leo = painter.use(AVA, lora("flux", 3), 0.7)
    assert painter.digest(loras=(style, ava, leo)) == painter.digest(loras=(ava, style, leo))


def test_several_characters_each_add_their_own(painter: Painter) -> None:
    style, ava = stack(painter, 2)
    leo = painter.use(AVA, lora("flux", 3), 0.7)
    both = painter.pixels(loras=(style, ava, leo))
    assert apart(both, painter.pixels(loras=(style, ava))) > 1
    assert apart(both, painter.pixels(loras=(style, leo))) > 1


@pytest.mark.soak
def test_after_a_stack_was_loaded_a_poster_without_one_is_the_base_models_own(models: Path, tmp_path: Path) -> None:
    painter = Painter(tmp_path, models)
    own = painter.digest()
    assert painter.digest(loras=stack(painter, 2)) != own
    assert painter.digest() == own


@pytest.mark.soak
def test_posters_that_are_made_together_equal_those_made_one_by_one(painter: Painter) -> None:
    loras = stack(painter, 2)
    recipes = [painter.recipe(loras=loras, prompt=f"Ava {word}", seed=seed)
               for word, seed in (("by the sea", 1), ("in the rain", 2), ("by the sea", 3))]
    together = painter.engine.paint_all(recipes, [painter.room() for _ in recipes])
    for recipe, outcome in zip(recipes, together, strict=True):
        alone = painter.engine.paint(recipe, painter.room())
        with Image.open(alone.files["main"]) as one, Image.open(outcome.files["main"]) as other:
            difference = apart(np.asarray(one, np.float32), np.asarray(other, np.float32))
        assert difference < 0.05, f"{recipe.prompt}: {difference:.3f} of 255"
    assert len({sha256_of(outcome.files["main"]) for outcome in together}) == 3


def test_posters_that_differ_in_more_than_words_and_seeds_are_not_made_together(painter: Painter) -> None:
    with pytest.raises(EngineUnable, match="differ in more than words and seeds"):
        painter.engine.paint_all([painter.recipe(), painter.recipe(steps=4)], [painter.room(), painter.room()])


class Heard:
    """What reaches a text encoder."""

    def __init__(self, encoder: Any) -> None:
        self.ids: list[Any] = []
        self._hook = encoder.register_forward_pre_hook(self._hear, with_kwargs=True)

    def _hear(self, module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        self.ids.append(args[0] if args else kwargs["input_ids"])

    def close(self) -> None:
        self._hook.remove()


def test_the_words_that_reach_the_encoder_are_the_posters_template(models: Path, tmp_path: Path) -> None:
    painter = Painter(tmp_path, models)
    painter.paint()
    prompt = POSTER_TEMPLATE.replace("{character_id}", AVA.name).replace("{customActorDescription}", "a tall woman")
    loaded = painter.warm._loaded
    assert loaded is not None
    heard = Heard(loaded.pipe.text_encoder_2)
    painter.paint(prompt=prompt)
    heard.close()
    words = loaded.pipe.tokenizer_2.decode(heard.ids[0][0], skip_special_tokens=True)
    assert " ".join(words.split()) == " ".join(prompt.split())


def test_the_last_words_of_a_long_prompt_are_seen_by_models_of_75_tokens_a_part(painter: Painter) -> None:
    long = POSTER_TEMPLATE + " by the "
    assert apart(painter.pixels(SDXL, prompt=long + "sea"), painter.pixels(SDXL, prompt=long + "moon")) > 0.05


def test_flux_says_that_negative_words_are_left_out_and_sdxl_heeds_them(painter: Painter) -> None:
    assert "'blurry' is left out" in painter.paint(negative="blurry").warnings[0]
    assert painter.digest(negative="blurry") == painter.digest()
    assert painter.paint(SDXL, negative="blurry").warnings == ()
    assert painter.digest(SDXL, negative="blurry") != painter.digest(SDXL)


def test_words_that_flux_does_not_read_are_told(painter: Painter) -> None:
    [told] = painter.paint(prompt="the sea " * 600).warnings
    assert "tokens long, FLUX reads the first 512" in told
    assert painter.paint(SDXL, prompt="the sea " * 100).warnings == ()


@pytest.mark.parametrize("change", [
    {"steps": 4}, {"flux_guidance": 3.0}, {"sampler_name": "dpmpp_2m"}, {"scheduler_name": "karras"}, {"seed": 4},
    {"prompt": "a forest"}, {"width": 144},
], ids=lambda change: next(iter(change)))
def test_no_field_of_a_poster_is_without_effect(painter: Painter, change: dict[str, Any]) -> None:
    for model in (FLUX, SDXL):
        assert painter.digest(model, **change) != painter.digest(model)


def test_a_poster_says_how_far_it_is_and_shows_itself_while_it_is_made(painter: Painter) -> None:
    painter.paint(SDXL, steps=12)
    assert [what for what in painter.told if what.startswith("step")] == [f"step {n} of 12" for n in range(1, 13)]
    assert len(painter.shown) == 2 and all(side > 8 for size in painter.shown for side in size), painter.shown
    painter.paint(FLUX, steps=6)
    assert len(painter.shown) == 3


def refused(painter: Painter, **changes: Any) -> CallsheetError:
    """What a poster is refused with; nothing was loaded for it."""
    before = painter.warm.counts()
    with pytest.raises(CallsheetError) as caught:
        painter.paint(**changes)
    assert painter.warm.counts() == before, "something was loaded before it was refused"
    assert "\n" not in str(caught.value)
    return caught.value


def test_what_cannot_be_made_is_refused_before_anything_is_loaded(models: Path, tmp_path: Path) -> None:
    painter = Painter(tmp_path, models)
    other = painter.use(AVA, lora("sdxl", 2), name="ava.safetensors")
    error = refused(painter, loras=(other,))
    assert isinstance(error, WrongFamily)
    assert str(error).startswith("ava.safetensors is a sdxl LoRA, but flux was asked for"), error
    assert isinstance(refused(painter, sampler_name="lms"), RequestInvalid)
    assert isinstance(refused(painter, model="dall-e"), EngineUnable)
    assert isinstance(refused(painter, model="animatediff-sdxl"), EngineUnable)
    assert isinstance(refused(painter, loras=(AVA,)), EngineUnable)
    gone = AVA.model_copy(update={"file": ref("gone"), "strength": 1.0})
    assert isinstance(refused(painter, loras=(gone,)), NotInStore)


def test_a_truncated_lora_is_one_clear_error_and_the_next_poster_is_made(painter: Painter, tmp_path: Path) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(lora("flux", 2).read_bytes()[:-100])
    own = painter.digest()
    with pytest.raises(LoraUnreadable, match=r"broken\.safetensors is not a whole safetensors file"):
        painter.paint(loras=(painter.use(AVA, broken),))
    assert painter.digest() == own


def test_a_lora_that_would_be_ignored_or_does_not_fit_is_refused_by_name_and_leaves_nothing(
    painter: Painter, tmp_path: Path
) -> None:
    from tests.tiny.loras import FLUX_LAYERS
    from tests.tiny.loras import lora as write

    own = painter.digest()
    nowhere = {name.replace("blocks.0", "blocks.7"): size for name, size in FLUX_LAYERS.items()}
    too_wide = dict.fromkeys(FLUX_LAYERS, (64, 64))
    for n, layers in enumerate((nowhere, too_wide)):
        path = write(tmp_path / f"odd{n}.safetensors", layers, "flux", 1)
        with pytest.raises(LoraUnfit, match=rf"odd{n}\.safetensors cannot be loaded into flux1-dev") as caught:
            painter.paint(loras=(painter.use(AVA, path),))
        assert "\n" not in str(caught.value) and not caught.value.retryable
        assert painter.digest() == own, "something of it stayed in the pipeline"
        with pytest.raises(LoraUnfit):
            painter.paint(loras=(painter.use(AVA, path),))


def test_a_lora_of_which_only_some_layers_fit_is_told_each_time(painter: Painter, tmp_path: Path) -> None:
    from tests.tiny.loras import FLUX_LAYERS
    from tests.tiny.loras import lora as write

    nowhere = {name.replace("blocks.0", "blocks.7"): size for name, size in FLUX_LAYERS.items()}
    path = write(tmp_path / "partly.safetensors", {**FLUX_LAYERS, **nowhere}, "flux", 1)
    for seed in (1, 2):
        [told] = painter.paint(loras=(painter.use(AVA, path),), seed=seed).warnings
        assert told == f"partly.safetensors: {len(FLUX_LAYERS)} of its {2 * len(FLUX_LAYERS)} layers fit flux1-dev"
    assert painter.paint(loras=stack(painter, 2)).warnings == ()


def test_a_store_file_without_a_suffix_is_loaded_like_any_other(painter: Painter, tmp_path: Path) -> None:
    bare = tmp_path / "3f2a"
    bare.write_bytes(lora("flux", 2).read_bytes())
    assert painter.digest(loras=(painter.use(AVA, bare),)) == painter.digest(loras=(painter.use(AVA, lora("flux", 2)),))


def test_a_loras_own_scale_in_its_metadata_is_heeded(painter: Painter, tmp_path: Path) -> None:
    import json

    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    source = lora("flux", 2)
    with safe_open(str(source), framework="pt") as file:
        metadata = dict(file.metadata())
    targets = sorted({name.removeprefix("transformer.").rsplit(".lora_", 1)[0] for name in load_file(str(source))})
    config = {"transformer.r": 4, "transformer.lora_alpha": 1, "transformer.target_modules": targets}
    quiet = tmp_path / "scaled.safetensors"
    save_file(load_file(str(source)), str(quiet), metadata={**metadata, "lora_adapter_metadata": json.dumps(config)})
    painter.digest(loras=(painter.use(AVA, lora("flux", 3)),))             # so that it is swapped in
    swaps = painter.warm.counts()["swaps"]
    scaled = painter.pixels(loras=(painter.use(AVA, quiet),))
    assert painter.warm.counts()["swaps"] == swaps + 1
    quarter = painter.pixels(loras=(painter.use(AVA, source, 0.25),))
    assert apart(scaled, quarter) < 0.5 < apart(scaled, painter.pixels(loras=(painter.use(AVA, source),)))


@pytest.mark.soak
def test_what_a_lora_did_to_the_text_encoder_does_not_stay_for_the_next_actor(models: Path, tmp_path: Path) -> None:
    from tests.tiny.loras import UNET_LAYERS
    from tests.tiny.loras import lora as write

    layers = {f"text_encoder.text_model.encoder.layers.0.self_attn.{name}": (32, 32) for name in ("q_proj", "v_proj")}
    talked = write(tmp_path / "talked.safetensors", {**UNET_LAYERS, **layers}, "sdxl", 7)
    silent = write(tmp_path / "silent.safetensors", UNET_LAYERS, "sdxl", 7)
    queue, fresh = Painter(tmp_path / "queue", models), Painter(tmp_path / "fresh", models)
    own = queue.digest(SDXL)
    heard = queue.digest(SDXL, loras=(queue.use(AVA, talked),))
    after = queue.digest(SDXL, loras=(queue.use(AVA, silent),))
    assert after == fresh.digest(SDXL, loras=(fresh.use(AVA, silent),))
    assert heard != after, "the text encoder's layers were ignored"
    assert queue.digest(SDXL) == own


def out_of_memory(*_: Any) -> Any:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.soak
def test_out_of_memory_while_loading_is_said_so_and_frees_everything(models: Path, tmp_path: Path) -> None:
    painter = Painter(tmp_path, models, Warm(loader=out_of_memory))
    with pytest.raises(OutOfMemory, match="diffusers has too little memory for flux1-dev .*choose a") as caught:
        painter.paint()
    assert not caught.value.retryable and painter.warm._loaded is None
    painter.warm.loader = loading.load
    assert painter.paint().files


def test_out_of_memory_at_a_step_is_said_so_and_frees_everything(models: Path, tmp_path: Path) -> None:
    painter = Painter(tmp_path, models)
    own = painter.digest(loras=stack(painter, 2))
    painter.stop = lambda what: out_of_memory() if what == "step 2 of 3" else None
    with pytest.raises(OutOfMemory, match="out of memory"):
        painter.paint(loras=stack(painter, 2))
    assert painter.warm._loaded is None
    painter.stop = None
    assert painter.digest(loras=stack(painter, 2)) == own


def test_broken_weights_are_named_with_the_command_that_fetches_them(models: Path, tmp_path: Path) -> None:
    import shutil

    part = tmp_path / "models"
    shutil.copytree(models / "diffusers" / "flux1-dev", part / "diffusers" / "flux1-dev")
    file = part / "diffusers" / "flux1-dev" / "transformer" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-64])
    painter = Painter(tmp_path / "work", part)
    with pytest.raises(EngineUnable, match=r"weights cannot be read.*callsheet models download flux-dev") as caught:
        painter.paint()
    assert not caught.value.retryable and "\n" not in str(caught.value)


@pytest.mark.soak
def test_whatever_else_a_library_raises_is_one_of_our_errors_and_the_next_poster_is_made(
    models: Path, tmp_path: Path
) -> None:
    painter = Painter(tmp_path, models)

    def stop(what: str) -> None:
        if what == "step 2 of 3":
            raise RuntimeError("CUDA error:\nan illegal memory access")

    painter.stop = stop
    with pytest.raises(EngineError, match="could not make flux1-dev .CUDA error: an illegal memory access.") as caught:
        painter.paint()
    assert caught.value.retryable
    painter.stop = None
    assert painter.paint().files


def test_too_little_memory_for_any_way_is_refused_before_loading(models: Path, tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="needs"):
        loading.require_room(base_model(FLUX), "cuda", free=4.0, weights=31.4, work=3.0)


def test_cancelled_at_a_step_ends_there_and_the_pipeline_serves_the_next(models: Path, tmp_path: Path) -> None:
    painter = Painter(tmp_path, models)
    own = painter.digest(steps=6)

    def stop(what: str) -> None:
        if what == "step 2 of 6":
            raise Cancelled(what="the poster")

    painter.told, painter.stop = [], stop
    with pytest.raises(Cancelled):
        painter.paint(steps=6)
    assert painter.told[-1] == "step 2 of 6"
    painter.stop = None
    assert painter.digest(steps=6) == own
    assert painter.warm.counts()["loads"] == 1


@pytest.mark.soak
def test_a_load_that_takes_long_is_told_and_can_be_cancelled(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    go_on = threading.Event()
    monkeypatch.setattr(warm, "TELL_EVERY_S", 0.02)

    def slowly(model: BaseModel, folder: Path, device: str, work: float) -> Any:
        go_on.wait(10)
        return loading.load(model, folder, device, work)

    painter = Painter(tmp_path, models, Warm(loader=slowly))

    def stop(what: str) -> None:
        if len(painter.told) > 3:
            raise Cancelled(what="the poster")

    painter.stop = stop
    with pytest.raises(Cancelled):
        painter.paint()
    assert painter.told[0] == "loading flux1-dev" and "s" in painter.told[-1]
    go_on.set()
    painter.stop = None
    assert painter.paint().files


@pytest.mark.soak
@pytest.mark.parametrize("model", [FLUX, SDXL])
@pytest.mark.parametrize("held", ["casted", "group_offload"])
def test_each_way_of_holding_a_model_swaps_loras_like_a_fresh_load(
    models: Path, tmp_path: Path, model: str, held: str
) -> None:
    from callsheet.engines.diffusers.memory import Held, Plan

    def load(of: BaseModel, folder: Path, device: str, work: float) -> Any:
        return loading.load(of, folder, device, work, decided=Plan(Held(held), 8.0, 4.0))

    family = "flux" if model == FLUX else "sdxl"
    painter = Painter(tmp_path, models, Warm(loader=load))
    own = painter.digest(model)
    first = painter.digest(model, loras=stack(painter, 2, family))
    second = painter.digest(model, loras=stack(painter, 3, family, rank=8))
    assert painter.paint(model, loras=stack(painter, 2, family)).facts["plan"].startswith(held)
    assert painter.digest(model, loras=stack(painter, 2, family)) == first
    assert painter.digest(model) == own
    assert painter.digest(model, loras=stack(painter, 3, family, rank=8)) == second
    assert len({own, first, second}) == 3
    if held == "group_offload":
        whole = Painter(tmp_path / "whole", models)
        assert whole.digest(model, loras=stack(whole, 2, family)) == first, "parts of it give other pixels than all"


def test_it_is_able_where_libraries_weights_and_a_device_are_there(models: Path, tmp_path: Path) -> None:
    def able(folder: Path, device: str) -> Any:
        return DiffusersEngine(
            Settings.load({"CALLSHEET_MODELS": str(folder), "CALLSHEET_DEVICE": device}), Warm()
        ).able()

    import torch

    assert able(models, "cpu").able
    nothing = able(tmp_path, "cpu")
    assert not nothing.able and "no model's weights" in nothing.reason and "callsheet models download" in nothing.remedy
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        without = able(models, "auto")
        assert not without.able and "CALLSHEET_DEVICE=cpu" in without.remedy


def test_weights_that_are_not_whole_are_named_with_the_command_that_fetches_them(models: Path, tmp_path: Path) -> None:
    import shutil

    part = tmp_path / "models"
    shutil.copytree(models / "diffusers" / "flux1-dev", part / "diffusers" / "flux1-dev")
    shutil.rmtree(part / "diffusers" / "flux1-dev" / "text_encoder_2")
    painter = Painter(tmp_path / "work", part)
    assert not painter.engine.able().able
    assert not loading.missing(base_model(FLUX), models)
    with pytest.raises(EngineUnable, match="callsheet models download flux-dev"):
        painter.paint()
