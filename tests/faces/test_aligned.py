"""Faces cut out upright and laid back, squares for programs that want them, and everybody followed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from callsheet.faces import extra
from callsheet.faces.aligned import SIDE, cut, edges, lay, warped
from callsheet.faces.everyone import Everyone, _runs
from callsheet.faces.footage import Picture, image_of, planes_of, raw_of
from callsheet.faces.landmarks import Landmarks
from callsheet.faces.mouth import Planes
from callsheet.faces.squares import Square, around, whole
from callsheet.presets import GENERATION_RATE
from tests.faces.portrait import portrait

needs_mesh = pytest.mark.skipif(bool(extra.missing(extra.MESH)), reason=extra.missing(extra.MESH))


def planes_for(picture: Image.Image) -> Planes:
    return planes_of(raw_of(picture), Picture(*picture.size, GENERATION_RATE))


def everyone_in(*pictures: Image.Image) -> list[int]:
    everyone = Everyone(Landmarks())
    for picture in pictures:
        everyone.see(planes_for(picture))
    return [len(seen) for seen in everyone.meshes()]


@needs_mesh
@pytest.mark.parametrize("roll", [0.0, 0.3, -0.4])
def test_a_face_is_cut_out_upright_wherever_it_is(roll: float) -> None:
    everyone, straight = Everyone(Landmarks()), Everyone(Landmarks())
    everyone.see(planes_for(portrait(400, 300, centre=(0.6, 0.45), half=0.15, roll=roll)))
    face = cut(portrait(400, 300, centre=(0.6, 0.45), half=0.15, roll=roll), everyone.meshes()[0][0])
    straight.see(planes_for(face.picture))
    eyes = [straight.meshes()[0][0][list(eye)].mean(0) for eye in ((33, 133), (263, 362))]
    assert np.abs(np.array(eyes) - ((193, 240), (319, 240))).max() < 12, np.round(eyes)


@needs_mesh
def test_a_face_that_is_laid_back_unchanged_leaves_the_picture_as_it_was() -> None:
    picture = portrait(400, 300, half=0.2)
    planes, before = planes_for(picture), planes_for(picture)
    everyone = Everyone(Landmarks())
    everyone.see(planes)
    face = cut(image_of(planes), everyone.meshes()[0][0])
    lay(planes, face.picture, edges(SIDE, SIDE, 51), face.to_frame)
    apart = np.abs(planes[0].astype(int) - before[0])
    assert apart.mean() < 0.6 and apart.max() < 24, f"{apart.mean():.2f} in the mean, {apart.max()} at most"
    assert (planes[0][:10, :10] == before[0][:10, :10]).all()


def test_what_is_laid_reaches_no_further_than_its_own_place() -> None:
    planes, before = planes_for(portrait(200, 160)), planes_for(portrait(200, 160))
    place = np.array(((0.1, 0.0, 60.0), (0.0, 0.1, 50.0)))
    lay(planes, Image.new("RGB", (SIDE, SIDE), "white"), edges(SIDE, SIDE, 51), place)
    changed = np.argwhere(planes[0] != before[0])
    assert changed.min(0).tolist() >= [50, 60] and changed.max(0).tolist() <= [102, 112], changed.max(0)
    assert planes[0][76, 86] > 230


def test_what_lies_beyond_the_frame_is_left_out() -> None:
    planes = planes_for(portrait(64, 64))
    for x, y in ((-30.0, -30.0), (50.0, 50.0), (500.0, 0.0)):
        lay(planes, Image.new("RGB", (SIDE, SIDE)), edges(SIDE, SIDE, 51), np.array(((0.1, 0, x), (0, 0.1, y))))


def test_shrinking_takes_means() -> None:
    stripes = Image.fromarray(np.tile(np.array((0, 255), np.uint8), (64, 32)))
    small = np.asarray(warped(stripes, np.array(((4.0, 0, 0), (0, 4.0, 0))), (16, 16)))
    assert abs(float(small.mean()) - 127.5) < 2 and small.std() < 2


@needs_mesh
def test_everybody_is_followed_and_who_is_tiny_is_not() -> None:
    two = Image.new("RGB", (512, 192))
    for n in (0, 1):
        two.paste(portrait(256, 192, half=0.16), (256 * n, 0))
    assert everyone_in(two, two) == [2, 2]
    tiny = Image.new("RGB", (256, 192), "gray")
    tiny.paste(portrait(40, 40, half=0.3), (100, 80))
    assert everyone_in(tiny) == [0]


def test_short_gaps_are_bridged_and_long_ones_are_not() -> None:
    assert _runs([0, 1, 5, 6, 12]) == [[0, 1, 5, 6], [12]]


def test_the_whole_picture_is_made_square_by_its_own_edges() -> None:
    planes = planes_for(portrait(100, 60))
    square = whole(100, 60)
    cutout = planes_of(square.cut(planes), Picture(square.side, square.side, GENERATION_RATE))
    assert square == Square(0, -20, 100)
    assert (cutout[0][20:80] == planes[0]).all() and (cutout[0][0] == planes[0][0]).all()


def test_a_square_that_is_laid_back_changes_what_is_inside_and_fades() -> None:
    planes, before = planes_for(portrait(200, 160)), planes_for(portrait(200, 160))
    square = Square(120, -20, 100)
    other = planes_of(bytes([235]) * (100 * 100) + bytes([128]) * (100 * 50), Picture(100, 100, GENERATION_RATE))
    square.lay(planes, other, 1.0)
    assert (planes[0][:, :120] == before[0][:, :120]).all() and (planes[0][80:] == before[0][80:]).all()
    assert planes[0][30, 170] == 235 and planes[0][40, 121] < (235 + int(before[0][40, 121])) / 2


def test_a_square_around_a_mouth_holds_the_head_in_all_frames() -> None:
    square = around([(100.0, 80.0, 20.0), (140.0, 90.0, 20.0)])
    assert square.left <= 10 and square.left + square.side >= 230 and square.side % 2 == square.left % 2 == 0
