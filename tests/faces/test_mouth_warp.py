"""Faces followed through clips, and what happens when there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callsheet.errors import EngineUnable
from callsheet.faces import extra
from callsheet.faces.footage import Picture, encode_command, raw_of
from callsheet.faces.landmarks import Landmarks, Points, Seen, Square
from callsheet.faces.mouth import Planes
from callsheet.faces.mouth_warp import MouthWarp
from callsheet.faces.tracking import HELD, Follower
from callsheet.media.ffmpeg import writer
from callsheet.presets import GENERATION_RATE
from callsheet.recipes import LipsyncRecipe, PlacedVoice
from callsheet.store.base import Outcome
from tests.faces.portrait import portrait
from tests.support.clips import decoded, ref, room, write_voice

needs_extra = pytest.mark.skipif(bool(extra.missing(extra.MESH)), reason=extra.missing(extra.MESH))


def clip(path: Path, pictures: list[Image.Image]) -> Path:
    picture = Picture(*pictures[0].size, GENERATION_RATE)
    with writer(encode_command(picture, 12, path, "write a clip")) as pipe:
        for image in pictures:
            pipe.write(raw_of(image))
    return path


def synced(folder: Path, source: Path) -> Outcome:
    voice = write_voice(folder / "voice.wav", ((0.0, 0.5),), 0.5)
    placed = PlacedVoice(audio=ref("voice"), speaker="ava", start=0.0)
    recipe = LipsyncRecipe(engine=MouthWarp().id, clip=ref("clip"), voices=(placed,), quality="premium")
    return MouthWarp().sync(recipe, room(folder / "room", {ref("clip"): source, ref("voice"): voice}))


@needs_extra
def test_a_picture_without_a_face_is_refused_with_a_remedy(tmp_path: Path) -> None:
    Image.new("RGB", (128, 128), (90, 120, 150)).save(tmp_path / "wall.png")
    with pytest.raises(EngineUnable, match="no face is found in the picture.*shows a face"):
        synced(tmp_path, tmp_path / "wall.png")


@needs_extra
def test_a_clip_without_a_face_is_left_alone_with_a_warning(tmp_path: Path) -> None:
    source = clip(tmp_path / "wall.mp4", [Image.new("RGB", (128, 128), (90, 120, 150))] * 12)
    outcome = synced(tmp_path, source)
    assert any("ava speaks but is not seen" in warning for warning in outcome.warnings), outcome.warnings
    assert np.abs(decoded(outcome.files["main"]) - decoded(source)).max() < 4


@needs_extra
def test_the_mouth_is_moved_where_the_head_goes(tmp_path: Path) -> None:
    places = [0.35 + 0.3 * n / 11 for n in range(12)]
    source = clip(tmp_path / "head.mp4", [portrait(240, 160, (at, 0.45), 0.13, roll=at - 0.5) for at in places])
    changed = np.abs(decoded(synced(tmp_path, source).files["main"]) - decoded(source)).max(-1)
    columns = np.arange(240)
    for n in (3, 6, 9):
        middle = float((changed[n] * (changed[n] > 20)).sum(0) @ columns / (changed[n] * (changed[n] > 20)).sum())
        mouth = 240 * places[n] - 0.78 * 0.13 * 240 * np.sin(places[n] - 0.5)
        assert abs(middle - mouth) < 5, f"frame {n}: {middle:.0f}, the mouth is at {mouth:.0f}"


@needs_extra
def test_the_largest_face_speaks_where_no_track_tells(tmp_path: Path) -> None:
    both = portrait(320, 160, (0.75, 0.5), 0.12)
    both.paste(portrait(160, 160, (0.5, 0.5), 0.13), (0, 0))
    changed = np.abs(
        decoded(synced(tmp_path, clip(tmp_path / "two.mp4", [both] * 12)).files["main"])[6]
        - decoded(tmp_path / "two.mp4")[6]
    ).max(-1)
    assert (changed[:, 160:] > 30).sum() > 20 > (changed[:, :160] > 30).sum()


@needs_extra
def test_an_even_movement_is_followed_evenly() -> None:
    follower = Follower(Landmarks())
    for n in range(10):
        image = portrait(240, 160, (0.4 + n / 120, 0.5), 0.13)
        follower.see(_planes(image))
    x = [mouth.x for mouth in follower.mouths() if mouth]
    steps = np.diff(x)[2:-2]                          # smoothing holds the ends back
    assert len(x) == 10 and np.abs(steps - 2).max() < 0.5, steps.round(2)


class Blinking:
    """Landmarks that see a face in some frames only."""

    def __init__(self, seen: list[bool]) -> None:
        self._seen, self._frame = seen, -1

    def faces(self, picture: Image.Image) -> list[Seen]:
        return [Seen(Square(64, 64, 96), (64, 80), 64)]

    def mesh(self, picture: Image.Image, around: Square) -> Points | None:
        return FACE + self._frame if self._seen[self._frame] else None

    def follow(self) -> list[bool]:
        follower = Follower(self)  # type: ignore[arg-type]
        for n in range(len(self._seen)):
            self._frame = n
            follower.see(_planes(Image.new("RGB", (128, 128), (200, 170, 150))))
        return [mouth is not None for mouth in follower.mouths()]


FACE: Points = np.random.default_rng(1).uniform(40, 80, (468, 2))
"""No face, but points where one could be."""
FACE[[61, 291, 13, 14, 2, 152]] = [(50, 70), (70, 70), (60, 70), (60, 70), (60, 60), (60, 90)]


def _planes(image: Image.Image) -> Planes:
    from callsheet.faces.footage import planes_of

    return planes_of(raw_of(image), Picture(*image.size, GENERATION_RATE))


def test_a_face_that_is_lost_for_some_frames_is_carried_over_them() -> None:
    assert all(Blinking([True] * 5 + [False] * HELD + [True] * 5).follow())


def test_a_face_that_is_gone_for_long_has_no_mouth() -> None:
    known = Blinking([True] * 3 + [False] * (HELD + 4)).follow()
    assert known == [True] * (3 + HELD) + [False] * 4
