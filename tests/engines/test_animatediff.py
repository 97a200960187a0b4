"""AnimateDiff on tiny weights of both families, through the library's own pipelines."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from callsheet.base_models import base_model
from callsheet.engines.diffusers import animatediff, freenoise
from callsheet.errors import Cancelled, EngineUnable, RequestInvalid
from tests.support.clip_laws import HEIGHT, WIDTH, CancelAt, apart, clip_job, noise, silent
from tests.tiny import clips, loras, pictures

pytestmark = pytest.mark.slow
XL, SD15 = "animatediff-sdxl", "animatediff-sd15"
WINDOW = 8
"""Frames that the tiny adapters are made for."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("diffusers", reason="the extra `models` is not installed")
    import torch

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("animatediff")
    xl, sd15 = pictures.tiny_sdxl(root / "sdxl"), pictures.tiny_sd15(root / "sd15")
    return {
        "sdxl": xl, "motion-sdxl": clips.tiny_motion(root / "motion-sdxl", xl / "unet", WINDOW),
        "sd15": sd15, "motion-sd15": clips.tiny_motion(root / "motion-sd15", sd15 / "unet", WINDOW),
        "control-sd15": clips.tiny_control(root / "control", sd15 / "unet"),
    }


def load(folders: dict[str, Path], name: str, dtype: str = "float32", control: bool = True) -> Any:
    import torch

    model = base_model(name)
    wanted = (*model.weights, *(["control-sd15"] if control and name == SD15 else []))
    return animatediff.load({each: folders[each] for each in wanted}, getattr(torch, dtype), model)


@pytest.fixture(scope="module")
def xl(folders: dict[str, Path]) -> Any:
    return load(folders, XL)


@pytest.fixture(scope="module")
def sd15(folders: dict[str, Path]) -> Any:
    return load(folders, SD15)


@pytest.fixture(params=[XL, SD15])
def pipe(request: pytest.FixtureRequest, xl: Any, sd15: Any) -> Any:
    return {XL: xl, SD15: sd15}[request.param]


@pytest.mark.parametrize("frames", [1, 5, 48, 120])
def test_a_clip_has_the_frames_and_the_size_that_were_asked(pipe: Any, frames: int) -> None:
    made = animatediff.frames(pipe, clip_job(frames=frames, steps=1, width=WIDTH + 2), silent)
    assert made.shape == (frames, HEIGHT, WIDTH + 2, 3)
    assert made.dtype == np.uint8


def test_the_same_seed_gives_the_same_bytes_whatever_was_made_between(pipe: Any) -> None:
    job = clip_job(frames=12)
    before = animatediff.frames(pipe, job, silent)
    other = animatediff.frames(pipe, clip_job(frames=5, seed=8), silent)
    assert (animatediff.frames(pipe, job, silent) == before).all()
    assert apart(other, before[:5]) > 1


@pytest.mark.parametrize(
    "changed", [{"prompt": "a happy woman"}, {"negative": ""}, {"guidance": 1.0}, {"steps": 3}]
)
def test_what_a_job_says_is_seen(pipe: Any, changed: dict[str, Any]) -> None:
    assert apart(animatediff.frames(pipe, clip_job(), silent),
                 animatediff.frames(pipe, clip_job(**changed), silent)) > 0


def test_the_end_of_a_long_prompt_is_heard(pipe: Any) -> None:
    made = [
        animatediff.frames(pipe, clip_job(prompt="forest " * 40 + last, guidance=12.0), silent)
        for last in ("on the left", "on the right")
    ]
    assert apart(*made) > 0


@pytest.mark.parametrize("name", [XL, SD15])
def test_all_of_the_base_models_numbers_are_loaded(folders: dict[str, Path], name: str) -> None:
    """The library itself leaves SDXL's add_embedding at random."""
    import torch
    from diffusers import UNet2DConditionModel

    base = folders[base_model(name).weights[0]]
    flat = UNet2DConditionModel.from_pretrained(base, subfolder="unet", variant="fp16", dtype=torch.float32)
    moving = load(folders, name).unet.state_dict()
    assert [key for key, value in flat.state_dict().items() if not torch.equal(value, moving[key])] == []


@pytest.mark.parametrize("name", [XL, SD15])
def test_a_clip_within_the_adapters_window_is_what_the_plain_library_makes(
    folders: dict[str, Path], xl: Any, sd15: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = clip_job(frames=WINDOW)
    ours = animatediff.frames({XL: xl, SD15: sd15}[name], job, silent)
    monkeypatch.setattr(freenoise, "prepare", lambda pipe: None)
    monkeypatch.setattr(freenoise, "look_through", lambda pipe, frames: freenoise._settings(pipe, frames))
    plain = load(folders, name)
    worst = np.abs(animatediff.frames(plain, job, silent).astype(int) - ours).max()
    assert worst <= 1, f"{worst} levels apart"


def test_frames_beyond_the_window_know_of_the_first_ones(pipe: Any) -> None:
    """A clip's later noise is the first window's in another order: its numbers are the same ones."""
    latents = freenoise.begin(pipe, clip_job(frames=20), high=6, wide=10)
    first = {float(frame.sum()) for frame in latents[0, :, :WINDOW].unbind(1)}
    late = {float(frame.sum()) for frame in latents[0, :, WINDOW:].unbind(1)}
    assert latents.shape == (1, 4, 20, 6, 10)
    assert late <= first


def test_work_in_parts_gives_what_work_at_once_gives(
    folders: dict[str, Path], pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, job = (XL if hasattr(pipe, "text_encoder_2") else SD15), clip_job(frames=12)
    monkeypatch.setattr(freenoise, "FRAMES_AT_ONCE", 5)
    monkeypatch.setattr(freenoise, "PLACES_AT_ONCE", 7)
    monkeypatch.setattr(animatediff, "PIXELS_AT_ONCE", 3 * WIDTH * HEIGHT)
    parts = animatediff.frames(load(folders, name), job, silent)
    worst = np.abs(parts.astype(int) - animatediff.frames(pipe, job, silent)).max()
    assert worst <= 1, f"{worst} levels apart"


@pytest.mark.parametrize(("name", "lora"), [(XL, loras.sdxl_lora), (SD15, loras.sd15_lora)])
def test_two_characters_are_seen_at_their_weights_and_make_way_for_others(
    folders: dict[str, Path], name: str, lora: Any, tmp_path: Path
) -> None:
    ava, ben, cleo = (lora(tmp_path / f"{who}.safetensors", seed=n) for n, who in enumerate(("ava", "ben", "cleo")))
    job = clip_job(frames=12)

    def mounted(*files: Path) -> Any:
        pipe = load(folders, name)
        pipe.enable_lora_hotswap(target_rank=4)
        with warnings.catch_warnings():               # a second adapter beside the first is what is wanted
            warnings.simplefilter("ignore")
            for n, file in enumerate(files):
                pipe.load_lora_weights(str(file), adapter_name=f"character_{n}")
        return pipe

    def shot(pipe: Any, *weights: float) -> Any:
        pipe.set_adapters(["character_0", "character_1"], list(weights))
        return animatediff.frames(pipe, job, silent)

    pipe = mounted(ava, ben)
    assert pipe.get_list_adapters() == {"unet": ["character_0", "character_1"]}
    seen = [shot(pipe, *weights) for weights in ((0.5, 0.5), (0.7, 0.3), (1.0, 0.0), (0.0, 0.0))]
    distances = [apart(one, other) for n, one in enumerate(seen) for other in seen[:n]]
    assert min(distances) > 0, distances
    assert (seen[3] == animatediff.frames(load(folders, name), job, silent)).all()
    pipe.load_lora_weights(str(cleo), adapter_name="character_1", hotswap=True)
    swapped = shot(pipe, 0.5, 0.5)
    assert (swapped == shot(mounted(ava, cleo), 0.5, 0.5)).all()
    assert apart(swapped, seen[0]) > 0


def test_freedom_says_how_far_a_clip_may_leave_the_one_it_follows(sd15: Any) -> None:
    video = [noise(n) for n in range(12)]
    made = [
        animatediff.frames(sd15, clip_job(video=video, freedom=freedom, steps=4, frames=12), silent)
        for freedom in (0, 0.5, 1)
    ]
    assert {each.shape for each in made} == {(12, HEIGHT, WIDTH, 3)}
    assert apart(made[0], made[1]) > 0
    assert apart(made[1], made[2]) > 0
    assert apart(made[0], made[1]) < apart(made[0], made[2])
    again = animatediff.frames(sd15, clip_job(video=video, freedom=0.5, steps=4, frames=12), silent)
    assert (again == made[1]).all()


@pytest.mark.parametrize("count", [1, 12])
def test_control_pictures_lead_a_clip(sd15: Any, count: int) -> None:
    made = [
        animatediff.frames(sd15, clip_job(frames=12, control=[noise(seed)] * count), silent) for seed in (1, 2)
    ]
    assert made[0].shape == (12, HEIGHT, WIDTH, 3)
    assert apart(*made) > 0
    assert apart(made[0], animatediff.frames(sd15, clip_job(frames=12), silent)) > 0


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        (XL, {"first": noise(1)}, "takes no picture"),
        (SD15, {"last": noise(1)}, "takes no picture"),
        (XL, {"video": [noise(1)] * 5}, "follows no other clip with SDXL"),
        (XL, {"control": [noise(1)]}, "no control pictures with SDXL"),
        (SD15, {"video": [noise(1)]}, "has 1 frames, 5 are asked"),
        (SD15, {"control": [noise(1)] * 4}, "has 4 frames, 5 are asked"),
        (SD15, {"control": [noise(1)], "video": [noise(1)] * 5}, "not both"),
    ],
)
def test_what_the_family_cannot_do_is_refused_before_it_works(
    xl: Any, sd15: Any, name: str, asked: dict[str, Any], said: str
) -> None:
    watch = CancelAt(99)
    with pytest.raises(EngineUnable, match=said):
        animatediff.frames({XL: xl, SD15: sd15}[name], clip_job(**asked), watch)
    assert watch.told == 0


def test_control_pictures_without_a_controlnet_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(EngineUnable, match="there is no ControlNet"):
        animatediff.frames(load(folders, SD15, control=False), clip_job(control=[noise(1)]), silent)


@pytest.mark.parametrize("asked", [{}, {"video": [noise(1)] * 5, "freedom": 1}, {"control": [noise(1)]}])
def test_cancelling_ends_within_the_step_and_leaves_nothing_behind(sd15: Any, asked: dict[str, Any]) -> None:
    before = animatediff.frames(sd15, clip_job(steps=4, **asked), silent)
    watch = CancelAt(2)
    with pytest.raises(Cancelled):
        animatediff.frames(sd15, clip_job(steps=4, **asked), watch)
    assert watch.told == 2
    assert (animatediff.frames(sd15, clip_job(steps=4, **asked), silent) == before).all()


def test_steps_are_told_from_one_to_all(pipe: Any) -> None:
    told: list[tuple[int, int]] = []
    animatediff.frames(pipe, clip_job(steps=3), lambda step, steps, latents: told.append((step, steps)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_sampler_is_heeded_and_an_unknown_one_refused(pipe: Any) -> None:
    own = pipe.scheduler
    made = [
        animatediff.frames(pipe, clip_job(steps=4, sampler=sampler, scheduler=scheduler), silent)
        for sampler, scheduler in (("", ""), ("euler", "normal"), ("dpmpp_2m", "karras"))
    ]
    assert apart(made[0], made[1]) > 0
    assert apart(made[1], made[2]) > 0
    with pytest.raises(RequestInvalid):
        animatediff.frames(pipe, clip_job(sampler="oiler", scheduler="normal"), silent)
    assert pipe.scheduler is own


def test_half_precision_begins_with_the_same_noise(folders: dict[str, Path]) -> None:
    exact, half = (load(folders, SD15, dtype) for dtype in ("float32", "bfloat16"))
    job = clip_job(frames=12)
    begun = [freenoise.begin(each, job, high=6, wide=10).float() for each in (exact, half)]
    assert float((begun[0] - begun[1]).abs().max()) < 0.02
    assert apart(*(animatediff.frames(each, job, silent) for each in (exact, half))) < 3
    for asked in ({"video": [noise(1)] * 12, "freedom": 1}, {"control": [noise(1)]}):
        assert len(animatediff.frames(half, clip_job(frames=12, **asked), silent)) == 12
