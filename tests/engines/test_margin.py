"""The strip under a clip, and clips without it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callsheet.engines.drawing.margin import margin_height
from callsheet.engines.drawing.planes import Frame
from callsheet.engines.drawing.stage import ClipStage
from callsheet.engines.placeholder import PlaceholderEngine
from tests.support.clips import AVA, apart, clip_recipe, room

ENGINE = PlaceholderEngine()
SIZE = {"width": 640, "height": 360}


def frame(index: int = 0, **changes: object) -> Frame:
    return ClipStage(clip_recipe(ENGINE.id, **(SIZE | changes)), None).frame(index)[0]  # type: ignore[arg-type]


def picture(index: int = 0, **changes: object) -> NDArray[np.float32]:
    return np.asarray(frame(index, **changes).y, np.float32)


def test_the_margin_tells_the_scene_and_the_time_and_stands_still() -> None:
    strip = margin_height(clip_recipe(ENGINE.id, **SIZE))  # type: ignore[arg-type]
    one, later = picture()[-strip + 4 :], picture(1)[-strip + 4 :]
    assert 0 < np.count_nonzero(one != later) < 0.01 * one.size, "only the clock changes"
    assert apart(one, picture(scene="Leo reads aloud.")[-strip + 4 :]) > 1


def test_without_its_margin_a_clip_has_no_words_and_no_settings() -> None:
    assert margin_height(clip_recipe(ENGINE.id, margin=False, **SIZE)) == 0  # type: ignore[arg-type]
    one = picture(margin=False)
    assert apart(one, picture(margin=False, steps=50, cfg=3.0)) == 0
    assert apart(one, picture(steps=50)) > 1


def test_without_a_margin_people_use_the_whole_picture(tmp_path: Path) -> None:
    tracks = {}
    for margin in (True, False):
        recipe = clip_recipe(ENGINE.id, num_frames=1, margin=margin, **SIZE)  # type: ignore[arg-type]
        files = ENGINE.shoot(recipe, room(tmp_path / str(margin))).files
        tracks[margin] = json.loads(files["mouths"].read_text())["mouths"][AVA.name][0]
    assert tracks[False][1] > tracks[True][1] and tracks[False][2] > 1.1 * tracks[True][2], tracks
    below = picture(margin=False)[-6:, 200:440]
    assert apart(below, picture(margin=False, loras=())[-6:, 200:440]) > 5, "the body ends above the lower edge"


def test_a_picture_too_small_to_read_has_no_margin() -> None:
    assert margin_height(clip_recipe(ENGINE.id, width=120, height=90)) == 0


def test_a_margin_has_room_for_two_lines_of_the_scene() -> None:
    one, two = (margin_height(clip_recipe(ENGINE.id, scene=words, **SIZE)) for words in ("Short.", "long " * 60))  # type: ignore[arg-type]
    assert one % 2 == two % 2 == 0 and one < two < 0.35 * 360, (one, two)
