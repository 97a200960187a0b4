"""What an engine keeps that draws: whatever a recipe says can be seen, and motion is slow and goes on.

A model promises less: see test_clip_engines.py.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import AVA, LEO, MARTA, STYLE, apart, ref
from tests.support.engine_benches import BENCHES, benches
from tests.support.studio import Studio

SEEN = 1.0
"""Two pictures whose mean difference is larger look different, in steps of 255."""


@pytest.fixture(params=benches(draws=True))
def studio(request: pytest.FixtureRequest, tmp_path: Path) -> Studio:
    return Studio(BENCHES[request.param].bench(tmp_path), tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"loras": (LEO,)},
        {"loras": (AVA, MARTA)},
        {"loras": (AVA.model_copy(update={"sha256": "d" * 64}),)},
        {"scene": "Ava walks through the city at night."},
        {"emotion": "happy"},
        {"emotion": "sad", "intensity": 0.9},
        {"emotion": "mischievous", "intensity": 0.9},
        {"angle": "three_quarter"},
        {"angle": "closeup"},
        {"angle": "profile"},
        {"angle": "dutch"},
        {"seed": 4},
    ],
    ids=lambda change: "-".join(change),
)
def test_what_a_clip_is_asked_for_can_be_seen(studio: Studio, change: dict[str, object]) -> None:
    difference = apart(studio.frames(num_frames=1)[0], studio.frames(num_frames=1, **change)[0])
    limit = 0.25 if "emotion" in change else SEEN                     # a face is a small part of the picture
    assert difference > limit, f"{difference:.2f}"


@pytest.mark.parametrize("change", [{"steps": 50}, {"cfg": 3.0}, {"intensity": 0.9}, {"negative": "blurry"}])
def test_no_setting_of_a_clip_is_without_effect(studio: Studio, change: dict[str, object]) -> None:
    assert apart(studio.frames(num_frames=1)[0], studio.frames(num_frames=1, **change)[0]) > 0.002


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"loras": (STYLE, LEO)}, 10.0),
        ({"loras": (STYLE, AVA.model_copy(update={"sha256": "d" * 64}))}, SEEN),
        ({"loras": (STYLE.model_copy(update={"strength": 0.3}), AVA)}, SEEN),
        ({"seed": 4}, SEEN),
        ({"prompt": "an illustration, background: a forest"}, 10.0),
        ({"steps": 30}, 0.002),
        ({"flux_guidance": 3.0}, 0.002),
        ({"sampler_name": "dpmpp_2m"}, 0.002),
    ],
)
def test_what_a_poster_is_asked_for_can_be_seen(studio: Studio, change: dict[str, object], limit: float) -> None:
    difference = apart(studio.painted(), studio.painted(**change))
    assert difference > limit, f"{difference:.3f}"


def test_neighbouring_frames_differ_and_the_motion_is_slow(studio: Studio) -> None:
    frames = studio.frames(num_frames=24)
    steps = [apart(one, other) for one, other in itertools.pairwise(frames)]
    assert min(steps) > 0.05 and max(steps) < 8, f"{min(steps):.2f} to {max(steps):.2f}"


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_segment_goes_on_where_the_one_before_ended(studio: Studio, cut: int) -> None:
    whole = studio.frames(num_frames=18)
    first, second = studio.frames(num_frames=cut), studio.frames(num_frames=18 - cut, start_frame=cut)
    within = [apart(one, other) for clip in (first, second) for one, other in itertools.pairwise(clip)]
    join = apart(first[-1], second[0])
    assert join < 1.5 * max(within) + 0.5, f"{join:.2f} at the join, {max(within):.2f} within"
    assert apart(second[0], whole[cut]) < 1.5


def test_a_fresh_scene_begins_with_its_first_frame_and_leaves_it(studio: Studio, tmp_path: Path) -> None:
    given = tmp_path / "first.png"
    Image.new("RGB", (640, 640), (200, 30, 60)).save(given)
    with_it = studio.frames(inputs={"first": given}, first_frame=ref("first"), num_frames=8)
    without = studio.frames(num_frames=8)
    flat = np.full_like(with_it[0], (200, 30, 60))
    assert apart(with_it[0], flat) < 0.5 * apart(without[0], flat)
    assert apart(with_it[-1], without[-1]) < 1.5


def test_a_mouth_track_has_one_mouth_a_frame_inside_the_picture(studio: Studio) -> None:
    if not studio.engine.has_mouths:
        pytest.skip("this engine does not know where the mouths are")
    track = json.loads(studio.shoot(num_frames=9, loras=(AVA, LEO)).files["mouths"].read_text())
    assert track["fps"] == 24 and set(track["mouths"]) == {AVA.name, LEO.name}
    for mouths in track["mouths"].values():
        assert len(mouths) == 9
        assert all(0 < x < 320 and 0 < y < 192 and 0 < width < 100 for x, y, width in mouths), mouths
    assert track["mouths"][AVA.name][0][0] < track["mouths"][LEO.name][0][0], "the cast stands in its order"


@pytest.mark.parametrize("scene", ["", "x" * 3000, "a\nb\x00{\\b1}%{pts}<i>", "\U0001f600 日本"])
def test_any_text_of_a_scene_is_drawn_literally_or_as_boxes(studio: Studio, scene: str) -> None:
    assert len(studio.frames(scene=scene, num_frames=2)) == 2
