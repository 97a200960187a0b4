"""Wan on tiny weights, through the library's own pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from callsheet.base_models import base_model
from callsheet.engines.diffusers import wan
from callsheet.errors import Cancelled, EngineUnable, RequestInvalid
from tests.support.clip_laws import HEIGHT, WIDTH, CancelAt, apart, clip_job, noise, silent
from tests.tiny import clips

pytestmark = pytest.mark.slow
NARROW = 24
TI2V, I2V = "wan2.2-ti2v-5b", "wan2.2-i2v-a14b"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("diffusers", reason="the extra `models` is not installed")
    import torch

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("wan")
    return {
        TI2V: clips.tiny_wan_5b(root / "5b", NARROW),
        I2V: clips.tiny_wan_14b(root / "14b", NARROW),
    }


def load(models: dict[str, Path], name: str) -> Any:
    import torch

    model = base_model(name)
    return wan.load({model.weights[0]: models[name]}, torch.float32, model)


@pytest.fixture(scope="module")
def ti2v(models: dict[str, Path]) -> Any:
    return load(models, TI2V)


@pytest.fixture(scope="module")
def i2v(models: dict[str, Path]) -> Any:
    return load(models, I2V)


@pytest.fixture(params=[TI2V, I2V])
def pipe(request: pytest.FixtureRequest, ti2v: Any, i2v: Any) -> Any:
    return {TI2V: ti2v, I2V: i2v}[request.param]


@pytest.mark.parametrize(("frames", "goes_on"), [(1, False), (5, True), (48, False), (120, True)])
def test_a_clip_has_the_frames_and_the_size_that_were_asked(pipe: Any, frames: int, goes_on: bool) -> None:
    made = wan.frames(pipe, clip_job(frames=frames, first=noise(1), goes_on=goes_on, steps=1), silent)
    assert made.shape == (frames, HEIGHT, WIDTH, 3)
    assert made.dtype == np.uint8


def test_the_same_seed_gives_the_same_bytes_whatever_was_made_between(pipe: Any) -> None:
    job = clip_job(first=noise(1))
    before = wan.frames(pipe, job, silent)
    other = wan.frames(pipe, clip_job(first=noise(1), seed=8, frames=9, steps=3), silent)
    assert (wan.frames(pipe, job, silent) == before).all()
    assert apart(other[:5], before) > 1


@pytest.mark.parametrize("changed", [{"prompt": "a happy woman"}, {"negative": ""}, {"guidance": 1.0}, {"steps": 3}])
def test_what_a_job_says_is_seen(pipe: Any, changed: dict[str, Any]) -> None:
    assert apart(wan.frames(pipe, clip_job(first=noise(1)), silent),
                 wan.frames(pipe, clip_job(first=noise(1), **changed), silent)) > 0


def test_a_clip_begins_with_its_first_picture(ti2v: Any) -> None:
    import torch

    picture = noise(3).resize((96, 64))
    made = wan.frames(ti2v, clip_job(width=96, height=64, first=picture), silent)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None, :, None] / 127.5 - 1
    with torch.no_grad():
        again = ti2v.vae.decode(ti2v.vae.encode(pixels).latent_dist.mode()).sample[0, :, 0]
    expected = ((again.clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()
    worst = np.abs(made[0] - expected).max()
    assert worst <= 1, f"{worst:.2f} levels from what the autoencoder makes of the picture"


def test_a_continuation_is_what_comes_after_its_first_picture(pipe: Any) -> None:
    whole = wan.frames(pipe, clip_job(first=noise(1), frames=9), silent)
    assert (wan.frames(pipe, clip_job(first=noise(1), frames=8, goes_on=True), silent) == whole[1:]).all()


def test_a_last_picture_leads_the_clip(i2v: Any) -> None:
    ends = [wan.frames(i2v, clip_job(first=noise(1), last=last), silent) for last in (None, noise(4), noise(5))]
    assert apart(ends[0], ends[1]) > 0
    assert apart(ends[1], ends[2]) > 0
    assert len(wan.frames(i2v, clip_job(first=noise(1), last=noise(4), frames=3), silent)) == 3


def test_the_model_for_both_makes_clips_from_words_alone(ti2v: Any) -> None:
    by_words = wan.frames(ti2v, clip_job(), silent)
    assert by_words.shape == (5, HEIGHT, WIDTH, 3)
    assert apart(by_words, wan.frames(ti2v, clip_job(first=noise(1)), silent)) > 1


def test_freedom_says_how_far_a_clip_may_leave_the_one_it_follows(ti2v: Any) -> None:
    video = [noise(n) for n in range(6)]
    made = [wan.frames(ti2v, clip_job(video=video, freedom=freedom, steps=4), silent) for freedom in (0, 0.5, 1)]
    assert (made[0] == np.stack([np.asarray(each) for each in video[:5]])).all(), "freedom 0 keeps it"
    assert apart(made[0], made[1]) > 0
    assert apart(made[1], made[2]) > 0
    assert {len(each) for each in made} == {5}


@pytest.mark.parametrize(
    ("model", "asked", "said"),
    [
        (I2V, {}, "starts from a picture"),
        (I2V, {"video": [noise(1)] * 5}, "follows no other clip"),
        (TI2V, {"first": noise(1), "last": noise(2)}, "takes no last picture"),
        (TI2V, {"last": noise(2)}, "no first one"),
        (TI2V, {"video": [noise(1)] * 4}, "has 4 frames, 5 are asked"),
        (TI2V, {"video": [noise(1)] * 5, "first": noise(1)}, "takes no first or last picture"),
        (TI2V, {"control": [noise(1)]}, "no control pictures"),
    ],
)
def test_what_the_model_cannot_do_is_refused_before_it_works(
    ti2v: Any, i2v: Any, model: str, asked: dict[str, Any], said: str
) -> None:
    watch = CancelAt(99)
    with pytest.raises(EngineUnable, match=said):
        wan.frames({TI2V: ti2v, I2V: i2v}[model], clip_job(**asked), watch)
    assert watch.told == 0


@pytest.mark.parametrize("asked", [{"first": noise(1)}, {}, {"video": [noise(1)] * 5, "freedom": 1}])
def test_cancelling_ends_within_the_step_and_leaves_nothing_behind(ti2v: Any, asked: dict[str, Any]) -> None:
    before = wan.frames(ti2v, clip_job(steps=4, **asked), silent)
    watch = CancelAt(2)
    with pytest.raises(Cancelled):
        wan.frames(ti2v, clip_job(steps=4, **asked), watch)
    assert watch.told == 2
    assert (wan.frames(ti2v, clip_job(steps=4, **asked), silent) == before).all()


def test_steps_are_told_from_one_to_all(pipe: Any) -> None:
    told: list[tuple[int, int]] = []
    wan.frames(pipe, clip_job(first=noise(1), steps=3), lambda step, steps, latents: told.append((step, steps)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_lora_goes_into_every_expert_and_its_strength_is_seen(models: dict[str, Path], tmp_path: Path) -> None:
    job, pipe = clip_job(first=noise(1), steps=4), load(models, I2V)
    without = wan.frames(pipe, job, silent)
    pipe.enable_lora_hotswap(target_rank=8)
    lora = clips.wan_lora(tmp_path / "ava.safetensors", seed=1, width=NARROW)
    other = clips.wan_lora(tmp_path / "ben.safetensors", seed=2, width=NARROW)
    wan.load_lora(pipe, str(lora), adapter_name="character_1")
    assert pipe.get_list_adapters() == {"transformer": ["character_1"], "transformer_2": ["character_1"]}
    seen = {}
    for strength in (0.0, 0.5, 1.0):
        pipe.set_adapters(["character_1"], [strength])
        seen[strength] = wan.frames(pipe, job, silent)
    assert apart(seen[0.0], without) == 0
    assert apart(seen[0.5], without) > 0
    assert apart(seen[0.5], seen[1.0]) > 0
    wan.load_lora(pipe, str(other), adapter_name="character_1", hotswap=True)
    swapped = wan.frames(pipe, job, silent)
    fresh = load(models, I2V)
    fresh.enable_lora_hotswap(target_rank=8)
    wan.load_lora(fresh, str(other), adapter_name="character_1")
    assert (wan.frames(fresh, job, silent) == swapped).all()
    assert apart(swapped, seen[1.0]) > 0


def test_a_sampler_is_heeded_and_an_unknown_one_refused(ti2v: Any) -> None:
    own = ti2v.scheduler
    made = [
        wan.frames(ti2v, clip_job(first=noise(1), steps=4, sampler=sampler, scheduler=sampler and "simple"), silent)
        for sampler in ("", "euler", "dpmpp_2m")
    ]
    assert apart(made[0], made[1]) > 0
    assert apart(made[1], made[2]) > 0
    with pytest.raises(RequestInvalid):
        wan.frames(ti2v, clip_job(sampler="heun", scheduler="simple"), silent)
    assert ti2v.scheduler is own


def test_a_prompt_that_is_too_long_is_told(ti2v: Any) -> None:
    assert wan.warnings(ti2v, clip_job()) == ()
    assert "tokens long, Wan reads the first 512" in wan.warnings(ti2v, clip_job(prompt="a man " * 300))[0]


def test_frames_that_are_too_large_to_decode_at_once_are_tiled_by_their_size_alone(
    ti2v: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wan, "UNTILED", 64 * 64)
    wan.frames(ti2v, clip_job(), silent)
    assert ti2v.vae.use_tiling
    wan.frames(ti2v, clip_job(width=64, height=64), silent)
    assert not ti2v.vae.use_tiling


@pytest.mark.soak
def test_the_engine_shoots_with_a_wan_lora_in_both_experts(tmp_path: Path) -> None:
    """Wide enough for a LoRA's header to be known as Wan's."""
    pytest.importorskip("diffusers", reason="the extra `models` is not installed")
    from callsheet.engines.diffusers.engine import DiffusersEngine
    from callsheet.engines.diffusers.warm import Warm
    from callsheet.settings import Settings
    from callsheet.store.base import sha256_of
    from callsheet.weights import weights
    from tests.support.clips import AVA, clip_recipe, decoded, ref, room

    models = tmp_path / "models"
    clips.tiny_wan_14b(models / weights("wan-14b").folder, clips.WIDTH)
    settings = Settings.load({"CALLSHEET_MODELS": str(models), "CALLSHEET_DEVICE": "cpu"})
    engine = DiffusersEngine(settings, Warm())
    noise(1).save(tmp_path / "first.png")
    loras = {seed: clips.wan_lora(tmp_path / f"{seed}.safetensors", seed, strength=0.3) for seed in (1, 2)}
    inputs, shot = {ref("first"): tmp_path / "first.png"} | {ref(str(n)): path for n, path in loras.items()}, []
    for seed, strength in ((1, 1.0), (1, 0.0), (2, 1.0)):
        lora = loras[seed]
        use = AVA.model_copy(update={"sha256": sha256_of(lora), "file": ref(str(seed)), "strength": strength})
        recipe = clip_recipe(
            engine.id.model_copy(update={"model": I2V}), width=WIDTH, height=HEIGHT, steps=4, loras=(use,),
            first_frame=ref("first"),
        )
        made = engine.shoot(recipe, room(tmp_path / f"{seed}-{strength}", inputs))
        shot.append(decoded(made.files["main"]))
        assert made.facts["frames"] == recipe.num_frames
    assert apart(shot[0], shot[1]) > 0.1
    assert apart(shot[0], shot[2]) > 0.1
    assert engine._warm.stacks.swaps == 1, "the second LoRA takes the place of the first"
