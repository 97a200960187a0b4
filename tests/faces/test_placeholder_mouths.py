"""Drawn mouths: their shapes, and where they are drawn when nobody knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callsheet.alignment import SHAPES, MouthShape
from callsheet.faces.mouth import Planes, box_of, open_mouth
from callsheet.faces.placeholder import PlaceholderLipsync
from callsheet.recipes import LipsyncRecipe, PlacedVoice
from tests.support.clips import decoded, ref, room, write_voice

MOUTH = (60.4, 41.7, 40.0)


def blank() -> Planes:
    return np.full((96, 128), 150, np.uint8), np.full((48, 64), 116, np.uint8), np.full((48, 64), 140, np.uint8)


def drawn(shape: MouthShape) -> tuple[int, int]:
    """Width and height in pixels of what a mouth of that shape darkens."""
    planes = blank()
    open_mouth(planes, MOUTH, shape, cover=False)
    rows, columns = np.nonzero(planes[0] < 100)
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def test_closed_lips_are_a_line_and_a_vowel_is_a_hole() -> None:
    line, hole = drawn(SHAPES["M"]), drawn(SHAPES["AA"])
    assert line[1] <= 6 and hole[1] >= 3 * line[1], f"{line} {hole}"


def test_oo_is_narrow_and_ee_is_wide() -> None:
    oo, ee = drawn(SHAPES["UW"]), drawn(SHAPES["IY"])
    assert oo[0] < 0.75 * ee[0], f"{oo} {ee}"


@pytest.mark.parametrize("at", [MOUTH, (2.0, 3.0, 40.0), (127.0, 95.0, 80.0)])
def test_nothing_outside_its_box_is_touched(at: tuple[float, float, float]) -> None:
    planes = blank()
    open_mouth(planes, at, SHAPES["AA"], cover=True)
    left, top, right, bottom = (max(side, 0) for side in box_of(*at))
    for plane, before, times in zip(planes, blank(), (1, 2, 2), strict=True):
        changed = plane != before
        assert changed.any()
        changed[top // times : bottom // times, left // times : right // times] = False
        assert not changed.any(), f"{changed.sum()} values"


def test_without_a_track_the_mouth_is_drawn_low_in_the_middle_and_a_warning_says_so(tmp_path: Path) -> None:
    still, voice = tmp_path / "still", write_voice(tmp_path / "voice.wav", ((0.0, 0.4),), 0.4)
    Image.new("RGB", (384, 224), (180, 150, 130)).save(still, "PNG")
    engine, placed = PlaceholderLipsync(), PlacedVoice(audio=ref("voice"), speaker="ava", start=0.0)
    outcome = engine.sync(
        LipsyncRecipe(engine=engine.id, clip=ref("still"), voices=(placed,)),
        room(tmp_path / "room", {ref("still"): still, ref("voice"): voice}),
    )
    assert any("no face was looked for" in warning for warning in outcome.warnings), outcome.warnings
    changed = np.abs(decoded(outcome.files["main"])[5] - (180, 150, 130)).max(-1)
    middle = changed[int(0.68 * 224) - 6 : int(0.68 * 224) + 6, 192 - 8 : 192 + 8].mean()
    assert middle > 20, f"{middle:.1f}"
