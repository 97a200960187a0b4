"""A film whose poster, take and chained segments the diffusers engine makes on tiny weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from callsheet.doors.preview import planned
from callsheet.errors import WrongFamily
from callsheet.film import Film
from callsheet.media.probe import probe
from callsheet.models import Actor, Format, Generate, Gpu, Line, Order, Poster, Scene, SourceFile, TakeSpec
from callsheet.presets import Quality
from callsheet.production import Production
from callsheet.recipe import Recipe
from callsheet.store.records import Record
from callsheet.store.sources import admit
from flows.produce import produce
from flows.shoot import footage, prepared
from tasks.direct import direct
from tasks.pinning import pinned
from tasks.run import current, running
from tasks.spending import unmade
from tests.support.clips import apart, decoded
from tests.support.prefect_server import unconfigured

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with tiny weights, the style and one actor's LoRA."""
    pytest.importorskip("diffusers", reason="the extra `models` is not installed")
    from tests.tiny import session

    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CALLSHEET_MODELS", str(session.models()))
    monkeypatch.setenv("CALLSHEET_DEVICE", "cpu")
    loras = tmp_path / "home" / "loras"
    loras.mkdir(parents=True)
    for name, seed in (("SBai_style_101", 1), ("ava", 2)):
        (loras / f"{name}.safetensors").write_bytes(session.lora_file("flux", seed).read_bytes())
    return loras


def order(loras: Path, strength: float = 0.7, name: str = "ava", **fields: Any) -> Order:
    ava = Actor(id="ava", lora=SourceFile(path=str(loras / f"{name}.safetensors")), lora_strength=strength)
    return Order.model_validate({
        "title": "By diffusers", "cast": (ava,), "scenes": (Scene(prompt="a street", seconds=5.5),),
        "quality": Quality.DRAFT, "format": Format(width=256, height=256, fps=24),
        "poster": Poster(width=128, height=128, steps=2), "takes": (TakeSpec(emotion="neutral", angle="front"),),
        "generate": Generate(engine="diffusers", px=64, steps=1), **fields,
    })


def shot(asked: Order) -> tuple[Film, dict[str, Record]]:
    with direct(), running(asked.title, gpu=Gpu.HERE):
        film = footage(prepared(asked))
        records = {recipe.label: current().records.find(recipe.stage, recipe.fingerprint) for recipe in film.pictures()}
    assert all(records.values()), records
    return film, records  # type: ignore[return-value]


def file_of(recipe: Recipe, name: str = "main") -> Path:
    with running("look"):
        return current().records.open(recipe.ref(name), Path.cwd())


def digests(records: dict[str, Record]) -> dict[str, Any]:
    return {label: {name: found.sha256 for name, found in record.artifacts.items()}
            for label, record in records.items()}


def test_poster_take_and_chained_segments_are_made_and_made_again_are_the_same_bytes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, records = shot(order(home))
    assert {record.made_by for record in records.values()} == {"diffusers"}
    assert [probe(file_of(one)).frames for one in film.segments] == [120, 12], "5.5 s are two segments"
    assert {record.facts["model"] for record in records.values()} == {"flux1-dev", "wan2.2-ti2v-5b"}
    assert all(record.facts["plan"].startswith("full") for record in records.values())

    first, second = film.segments
    with Image.open(file_of(first, "last_frame")) as image:
        last = np.asarray(image.convert("RGB"), np.float32)
    frames = decoded(file_of(second))
    join, away = apart(frames[0], last), apart(frames[-1], last)
    assert join < away + 40, f"{join:.1f} at the join, {away:.1f} at the end"

    monkeypatch.setenv("CALLSHEET_STORE", str(tmp_path / "another"))
    assert digests(shot(order(home))[1]) == digests(records)


def test_the_plan_is_the_runs_before_and_after_it_and_so_is_that_of_a_machine_without_the_files(home: Path) -> None:
    def looked() -> list[str]:
        with running("look", gpu=Gpu.HERE) as run:
            return fingerprints(planned(admit(asked, run.sources), run)[0])

    def fingerprints(film: Film) -> list[str]:
        return [recipe.fingerprint for recipe in film.recipes()]

    asked = order(home, scenes=(Scene(prompt="a street", seconds=0.3),), takes=())
    before = looked()
    with direct(), running("film", gpu=Gpu.HERE):
        film = footage(prepared(asked))
        sent = Order.model_validate_json(pinned(film).model_dump_json())
    assert before == fingerprints(film) == looked()
    shutil.rmtree(home)
    with direct(), running("film", gpu=Gpu.HERE):
        assert fingerprints(prepared(sent)) == before and not unmade(film)


@pytest.mark.soak
def test_the_characters_strength_reaches_the_poster_and_through_it_every_clip(home: Path) -> None:
    loud, quiet = (digests(shot(order(home, strength))[1]) for strength in (1.0, 0.0))
    assert all(loud[label]["main"] != quiet[label]["main"] for label in loud)


def test_a_lora_of_another_family_is_refused_in_one_sentence_before_anything_is_loaded(home: Path) -> None:
    from callsheet.engines.diffusers.warm import WARM
    from tests.tiny.session import lora_file

    (home / "ben.safetensors").write_bytes(lora_file("sdxl", 2).read_bytes())
    before = WARM.counts()
    with pytest.raises(WrongFamily) as caught:
        shot(order(home, name="ben"))
    assert "ben.safetensors is a sdxl LoRA, but flux was asked for: train it on flux" in str(caught.value)
    assert "\n" not in str(caught.value) and WARM.counts() == before


@pytest.mark.soak
def test_a_whole_film_goes_through_every_stage_and_lasts_as_long_as_was_asked(
    home: Path, tmp_path: Path, prefect_here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.tiny import faces, session

    faces.need_models()
    models = tmp_path / "models"
    models.mkdir()
    (models / "diffusers").symlink_to(session.models() / "diffusers")
    faces.write_gfpgan(models)
    monkeypatch.setenv("CALLSHEET_MODELS", str(models))
    scene = Scene(prompt="a street", seconds=5.5, lines=(Line(speaker="ava", text="Good morning."),))
    asked = order(home, scenes=(scene,), quality=Quality.STANDARD, generate=Generate(
        engine="diffusers", px=64, steps=1, speech="espeak", restore="gfpgan", upscale="auto"))
    made: Production = produce(asked, Gpu.HERE)
    facts = probe(Path(unquote(urlsplit(made.video).path)))
    assert (facts.frames, facts.width, facts.height, facts.has_audio) == (132, 256, 256, True)
    by = {row.stage: row.made_by for row in made.stages}
    assert by["poster"] == by["takes"] == by["segments"] == "diffusers" and made.fallbacks == (), by
    assert {"speech", "lipsync", "restore", "upscale", "conform", "splice", "mix"} <= by.keys(), by
