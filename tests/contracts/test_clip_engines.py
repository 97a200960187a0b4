"""What every engine for pictures and clips keeps. A new engine is one more name in ENGINES_UNDER_TEST."""

from __future__ import annotations

import dataclasses
import itertools
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callsheet.engines.base import ClipEngine
from callsheet.engines.choose import ENGINES, choose
from callsheet.errors import EngineUnable, MediaUnreadable
from callsheet.media.probe import probe
from callsheet.recipes import TakeRecipe
from callsheet.store.base import Outcome
from tests.support.clips import (
    AVA,
    LEO,
    MARTA,
    STYLE,
    Frames,
    apart,
    clip_recipe,
    decoded,
    poster_recipe,
    ref,
    room,
)

ENGINES_UNDER_TEST = ("placeholder",)
SEEN = 1.0
"""Two pictures whose mean difference is larger look different, in steps of 255."""


class Studio:
    """An engine, and a fresh room for each job."""

    def __init__(self, engine: ClipEngine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self._jobs = itertools.count()

    def shoot(self, inputs: dict[str, Path] | None = None, **changes: object) -> Outcome:
        known = {ref(name): path for name, path in (inputs or {}).items()}
        recipe = clip_recipe(self.engine.id, **changes)  # type: ignore[arg-type]
        return self.engine.shoot(recipe, room(self.folder / str(next(self._jobs)), known))

    def frames(self, **changes: object) -> Frames:
        return decoded(self.shoot(**changes).files["main"])  # type: ignore[arg-type]

    def paint(self, **changes: object) -> Path:
        recipe = poster_recipe(self.engine.id, **changes)
        return self.engine.paint(recipe, room(self.folder / str(next(self._jobs)))).files["main"]

    def painted(self, **changes: object) -> Frames:
        with Image.open(self.paint(**changes)) as image:
            return np.asarray(image.convert("RGB"), np.float32)


@pytest.fixture(params=ENGINES_UNDER_TEST)
def studio(request: pytest.FixtureRequest, tmp_path: Path) -> Studio:
    return Studio(choose(request.param), tmp_path)


def test_every_engine_that_can_be_chosen_is_held_to_this_contract() -> None:
    assert set(ENGINES) == set(ENGINES_UNDER_TEST)


def test_auto_takes_an_engine_that_is_able() -> None:
    assert choose("auto").able().able


def test_an_unknown_engine_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(EngineUnable) as caught:
        choose("unheard_of")
    assert "unheard_of" in str(caught.value) and all(name in str(caught.value) for name in ("auto", *ENGINES))


@pytest.mark.parametrize(
    ("frames", "fps", "width", "height"), [(1, 24, 320, 192), (7, 24, 192, 320), (5, Fraction(30000, 1001), 256, 256)]
)
def test_a_clip_has_exactly_the_frames_rate_and_size_asked_for(
    studio: Studio, frames: int, fps: Fraction, width: int, height: int
) -> None:
    facts = probe(studio.shoot(num_frames=frames, fps=fps, width=width, height=height).files["main"])
    assert (facts.frames, facts.fps, facts.width, facts.height) == (frames, fps, width, height)


def test_a_clip_is_h264_in_yuv420p_without_sound(studio: Studio) -> None:
    outcome = studio.shoot()
    facts = probe(outcome.files["main"])
    assert (facts.video_codec, facts.pixel_format, facts.has_audio) == ("h264", "yuv420p", False)
    assert outcome.made_by == studio.engine.id.name


def test_the_last_frame_is_a_png_of_the_last_picture(studio: Studio) -> None:
    outcome = studio.shoot()
    with Image.open(outcome.files["last_frame"]) as image:
        assert image.format == "PNG"
        difference = apart(np.asarray(image.convert("RGB"), np.float32), decoded(outcome.files["main"])[-1])
    assert difference < 2.5, f"{difference:.2f}"


def test_a_poster_is_a_jpeg_of_exactly_the_size_asked_for(studio: Studio) -> None:
    for size in ((256, 256), (320, 192), (144, 256)):
        path = studio.paint(width=size[0], height=size[1])
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", size)
        assert path.read_bytes()[:3] == b"\xff\xd8\xff"


def test_the_same_recipe_gives_the_same_bytes(studio: Studio) -> None:
    one, other = studio.shoot(), studio.shoot()
    for name, path in one.files.items():
        assert path.read_bytes() == other.files[name].read_bytes(), name
    assert studio.paint().read_bytes() == studio.paint().read_bytes()


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


def test_a_first_frame_that_is_no_picture_is_refused(studio: Studio, tmp_path: Path) -> None:
    broken = tmp_path / "first.png"
    broken.write_bytes(b"not a picture")
    with pytest.raises(MediaUnreadable, match=r"first\.png cannot be read as a picture"):
        studio.shoot(inputs={"first": broken}, first_frame=ref("first"))


def test_a_mouth_track_has_one_mouth_a_frame_inside_the_picture(studio: Studio) -> None:
    if not studio.engine.has_mouths:
        pytest.skip("this engine does not know where the mouths are")
    track = json.loads(studio.shoot(num_frames=9, loras=(AVA, LEO)).files["mouths"].read_text())
    assert track["fps"] == 24 and set(track["mouths"]) == {AVA.name, LEO.name}
    for mouths in track["mouths"].values():
        assert len(mouths) == 9
        assert all(0 < x < 320 and 0 < y < 192 and 0 < width < 100 for x, y, width in mouths), mouths
    assert track["mouths"][AVA.name][0][0] < track["mouths"][LEO.name][0][0], "the cast stands in its order"


def test_progress_never_goes_back(studio: Studio, tmp_path: Path) -> None:
    told: list[float] = []
    watched = dataclasses.replace(room(tmp_path / "watched"), progress=lambda share, what: told.append(share))
    studio.engine.shoot(clip_recipe(studio.engine.id, kind=TakeRecipe, num_frames=30), watched)
    assert told and told == sorted(told) and told[0] >= 0 and told[-1] <= 1, told


@pytest.mark.parametrize("scene", ["", "x" * 3000, "a\nb\x00{\\b1}%{pts}<i>", "\U0001f600 日本"])
def test_any_text_of_a_scene_is_drawn_literally_or_as_boxes(studio: Studio, scene: str) -> None:
    assert len(studio.frames(scene=scene, num_frames=2)) == 2
