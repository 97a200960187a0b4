"""The mouth of a real picture, moved. Needs the extra `faces`."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from callsheet.alignment import SHAPES, MouthShape
from callsheet.faces import extra
from callsheet.faces.footage import Picture, planes_of, raw_of
from callsheet.faces.landmarks import Landmarks, around
from callsheet.faces.mouth import Planes
from callsheet.faces.warp import Mouth, box, fit, mouth_of, speak
from tests.faces.portrait import DARK_SKIN, portrait

pytestmark = pytest.mark.skipif(bool(extra.missing(extra.MESH)), reason=extra.missing(extra.MESH))

SIDE = 256
FACES = {"light": {}, "dark": {"skin": DARK_SKIN}, "tilted": {"roll": 0.3}, "open": {"gap": 0.2}}


class Face:
    def __init__(self, **changes: object) -> None:
        self.image = portrait(SIDE, SIDE, **changes)  # type: ignore[arg-type]
        landmarks = Landmarks()
        first = landmarks.mesh(self.image, landmarks.faces(self.image)[0].around)
        assert first is not None
        points = landmarks.mesh(self.image, around(first))
        assert points is not None
        mesh = mouth_of(points)
        self.mouth: Mouth = mesh.fitted(*fit(self.planes(), mesh))

    def planes(self) -> Planes:
        return planes_of(raw_of(self.image), Picture(SIDE, SIDE, Fraction(24)))

    def saying(self, shape: MouthShape, speaking: float = 1.0) -> Planes:
        planes = self.planes()
        speak(planes, self.mouth, shape, speaking)
        return planes

    def gap(self, planes: Planes) -> int:
        """Rows from lip to lip along the middle of the mouth: darker or greyer than any lip."""
        down = np.arange(-0.3, 0.6, 0.01) * self.mouth.face
        x, y = self.mouth.frame(np.zeros_like(down), down)
        luma, v = planes[0][y.astype(int), x.astype(int)], planes[2][y.astype(int) // 2, x.astype(int) // 2]
        skin = np.median(planes[0][y.astype(int), x.astype(int)])
        return int(((luma < 0.62 * skin) | (v < 134)).sum())


@pytest.fixture(scope="module", params=FACES)
def face(request: pytest.FixtureRequest) -> Face:
    return Face(**FACES[request.param])


@pytest.fixture(scope="module")
def closed() -> Face:
    return Face()


def test_outside_its_box_every_byte_stays(face: Face) -> None:
    left, top, right, bottom = box(face.mouth, SIDE, SIDE)
    for plane, before, times in zip(face.saying(SHAPES["AA"]), face.planes(), (1, 2, 2), strict=True):
        changed = plane != before
        assert changed.any()
        changed[top // times : bottom // times, left // times : right // times] = False
        assert not changed.any(), f"{changed.sum()} values"


def test_a_mouth_that_does_not_speak_keeps_every_byte(face: Face) -> None:
    for plane, before in zip(face.saying(SHAPES["AA"], speaking=0.0), face.planes(), strict=True):
        assert np.array_equal(plane, before)


def test_lips_part_on_a_vowel_wider_than_on_a_consonant_and_meet_on_m(closed: Face) -> None:
    m, s, aa = (closed.gap(closed.saying(SHAPES[symbol])) for symbol in ("M", "S", "AA"))
    assert m <= 3 and aa > 1.6 * s > 0, f"m {m}, s {s}, aa {aa}"


def test_a_mouth_that_is_open_in_the_picture_closes_on_m() -> None:
    face = Face(gap=0.2)
    before, after = face.gap(face.planes()), face.gap(face.saying(SHAPES["M"]))
    assert after < 0.75 * before, f"{after} against {before}"


def test_oo_draws_the_corners_in_and_ee_draws_them_apart(closed: Face) -> None:
    def corner(planes: Planes) -> float:
        """Where the redness of the lips ends to the right, in half mouths."""
        along = np.arange(0.5, 1.5, 0.02)
        x, y = closed.mouth.frame(along * closed.mouth.right, np.full_like(along, 0.09 * closed.mouth.face))
        red = planes[2][y.astype(int) // 2, x.astype(int) // 2].astype(int)
        return float(along[red > (red[-10:].mean() + red[:5].mean()) / 2].max())

    oo, rest, ee = (corner(closed.saying(shape)) for shape in (SHAPES["UW"], SHAPES["M"], SHAPES["IY"]))
    assert oo < rest <= ee and oo < ee - 0.08, f"{oo:.2f} {rest:.2f} {ee:.2f}"


def test_the_chin_goes_down_with_the_jaw(closed: Face) -> None:
    def chin(planes: Planes) -> int:
        """Row of the strongest edge between chin and throat."""
        x, y = closed.mouth.frame(0.0, np.arange(0.7, 1.5, 0.01) * closed.mouth.chin)
        return int(np.argmin(np.diff(planes[0][y.astype(int), int(np.mean(x))].astype(int))))

    assert chin(closed.saying(SHAPES["AA"])) > chin(closed.planes()) + 4


def test_teeth_are_lit_as_the_face_is() -> None:
    def teeth(face: Face) -> int:
        down = np.arange(0, 0.2, 0.01) * face.mouth.face
        x, y = face.mouth.frame(np.zeros_like(down), down)
        return int(face.saying(SHAPES["AA"])[0][y.astype(int), x.astype(int)].max())

    light, dark = (teeth(Face(**FACES[name])) for name in ("light", "dark"))
    assert 60 < dark < light - 20, f"{dark} against {light}"


def test_closed_lips_are_found_closed_and_open_ones_open() -> None:
    parted = [Face(gap=gap).mouth.parted for gap in (0.0, 0.2)]
    assert parted == [0.0, 1.0], parted
