"""What every upscaler keeps. A new one is one more name in UPSCALERS_UNDER_TEST."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from callsheet.errors import MediaUnreadable
from callsheet.faces.base import Upscaler
from callsheet.faces.choose import UPSCALERS
from callsheet.faces.footage import Picture, encode_command, raw_of
from callsheet.media.ffmpeg import writer
from callsheet.media.probe import probe
from callsheet.recipes import UpscaleRecipe
from callsheet.settings import Settings
from callsheet.store.base import Outcome
from tests.faces.portrait import portrait
from tests.support.clips import apart, decoded, ref, room
from tests.tiny.faces import need_models, settings_for, write_upscaler

UPSCALERS_UNDER_TEST = ("realesrgan_gpu", "realesrgan", "realesrgan_photo")
SLOW = ("realesrgan_gpu", "realesrgan_photo")
FRAMES, RATE, SIDE = 2, Fraction(24), (32, 24)


@pytest.fixture(params=[
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in UPSCALERS_UNDER_TEST
])
def upscaler(request: pytest.FixtureRequest, tmp_path: Path) -> Upscaler:
    settings = Settings.load()
    if request.param == "realesrgan_gpu":
        need_models()
        write_upscaler(tmp_path / "models")
        settings = settings_for(tmp_path / "models")
    engine = UPSCALERS[request.param](settings)
    if engine.able():
        pytest.skip(engine.able())
    return engine


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "small.mp4"
    with writer(encode_command(Picture(*SIDE, RATE), 4, path, "write a clip")) as pipe:
        for n in range(FRAMES):
            pipe.write(raw_of(portrait(*SIDE, centre=(0.35 + 0.3 * n, 0.5))))
    return path


def enlarged(upscaler: Upscaler, clip: Path, folder: Path, factor: int = 2) -> Outcome:
    recipe = UpscaleRecipe.model_validate({"engine": upscaler.id, "clip": ref("clip"), "factor": factor})
    return upscaler.upscale(recipe, room(folder, {ref("clip"): clip}))


def test_every_upscaler_that_can_be_chosen_is_held_to_this_contract() -> None:
    assert set(UPSCALERS) == set(UPSCALERS_UNDER_TEST)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_clip_keeps_its_frames_and_rate_and_its_sides_grow(
    upscaler: Upscaler, clip: Path, tmp_path: Path, factor: int
) -> None:
    facts = probe(enlarged(upscaler, clip, tmp_path, factor).files["main"])
    assert (facts.frames, facts.fps) == (FRAMES, RATE)
    assert (facts.width, facts.height) == (factor * SIDE[0], factor * SIDE[1])
    assert (facts.video_codec, facts.pixel_format, facts.has_audio) == ("h264", "yuv420p", False)


def test_it_is_the_same_picture_in_the_same_place_and_colours(upscaler: Upscaler, clip: Path, tmp_path: Path) -> None:
    large, small = decoded(enlarged(upscaler, clip, tmp_path).files["main"]), decoded(clip)
    for n in range(FRAMES):
        reduced = large[n].reshape(SIDE[1], 2, SIDE[0], 2, 3).mean((1, 3))
        mine, others = apart(reduced, small[n]), apart(reduced, small[(n + 1) % FRAMES])
        assert mine < 8 and mine < others / 2, f"frame {n}: {mine:.1f} apart, another frame {others:.1f}"


def test_the_same_clip_gives_the_same_bytes(upscaler: Upscaler, clip: Path, tmp_path: Path) -> None:
    one, other = (enlarged(upscaler, clip, tmp_path / name).files["main"].read_bytes() for name in "ab")
    assert one == other


def test_what_is_no_clip_is_refused_by_name(upscaler: Upscaler, tmp_path: Path) -> None:
    broken = tmp_path / "broken.bin"
    broken.write_bytes(b"neither sound nor picture" * 20)
    with pytest.raises(MediaUnreadable, match=r"broken\.bin"):
        enlarged(upscaler, broken, tmp_path / "room")


def test_progress_grows_to_one(upscaler: Upscaler, clip: Path, tmp_path: Path) -> None:
    told: list[float] = []
    recipe = UpscaleRecipe(engine=upscaler.id, clip=ref("clip"), factor=2)
    upscaler.upscale(
        recipe, replace(room(tmp_path, {ref("clip"): clip}), progress=lambda share, _: told.append(share)))
    assert told == [n / FRAMES for n in range(1, FRAMES + 1)]


def test_progress_is_told_and_may_cancel(upscaler: Upscaler, clip: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def progress(share: float, what: str) -> None:
        raise Stop

    recipe = UpscaleRecipe(engine=upscaler.id, clip=ref("clip"), factor=2)
    here = replace(room(tmp_path, {ref("clip"): clip}), progress=progress)
    with pytest.raises(Stop):
        upscaler.upscale(recipe, here)
