"""Clips that are made after other clips, or keep to control pictures: how they are read, cast, and made."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from callsheet.engines.base import Asked
from callsheet.engines.choose import ENGINES
from callsheet.engines.diffusers.casting import cast
from callsheet.engines.frames import read_clip, write_clip
from callsheet.errors import EngineUnable, MediaUnreadable
from callsheet.models import Family
from callsheet.settings import Settings
from tasks.casting import asked_of
from tests.support.clips import apart, decoded, ref, room


def film(folder: Path, frames: int = 12, side: int = 64, fps: int = 24) -> Path:
    """A clip that goes from dark to bright."""
    path = folder / "shown.mp4"
    greys = (np.full((side, side, 3), 20 + 200 * n // frames, np.uint8) for n in range(frames))
    write_clip(greys, side, side, Fraction(fps), path, "write a clip")
    return path


def test_a_clip_is_read_in_the_size_and_rate_that_are_asked(tmp_path: Path) -> None:
    read = read_clip(film(tmp_path, frames=24, side=96, fps=48), 64, 32, Fraction(24), 10)
    assert len(read) == 10 and {picture.size for picture in read} == {(64, 32)}
    assert np.asarray(read[9]).mean() > np.asarray(read[0]).mean() + 100, "every second frame of 24 was taken"


def test_what_is_no_clip_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"neither sound nor picture" * 20)
    with pytest.raises(MediaUnreadable, match=r"broken\.mp4"):
        read_clip(tmp_path / "broken.mp4", 64, 64, Fraction(24), 5)


def test_control_pictures_and_clips_to_follow_choose_the_model_that_can() -> None:
    assert cast(Asked(controlled=True)).clips == "animatediff-sd15"
    assert cast(Asked(follows=True)).clips == "wan2.2-ti2v-5b"
    assert cast(Asked(families={"a": Family.SD15}, follows=True)).follows


@pytest.mark.parametrize(("name", "asked"), [
    ("placeholder", Asked(follows=True)), ("placeholder", Asked(controlled=True)),
    ("diffusers", Asked(families={"a": Family.SDXL}, follows=True)),
    ("diffusers", Asked(families={"a": Family.WAN}, controlled=True)),
])
def test_who_cannot_do_it_says_so_before_anything_is_made(name: str, asked: Asked) -> None:
    with pytest.raises(EngineUnable, match=r"cannot make a clip .*use the engine diffusers"):
        asked_of(ENGINES[name](Settings.load()), asked)


@pytest.mark.slow
def test_a_clip_follows_another_as_closely_as_its_freedom_says(tmp_path: Path) -> None:
    from tests.support.engine_benches import BENCHES

    bench = BENCHES["diffusers-flux-wan"].bench(tmp_path)
    shown, changes = film(tmp_path), {"num_frames": 9, "width": 64, "height": 64, "steps": 4}
    far = []
    for freedom in (0.0, 0.9):
        recipe = bench.clip(follows=ref("shown"), freedom=freedom, **changes)
        made = bench.engine.shoot(recipe, room(tmp_path / str(freedom), {**bench.inputs, ref("shown"): shown}))
        far.append(apart(decoded(made.files["main"]), decoded(shown)[:9]))
    assert far[0] < 3 < far[1], far
