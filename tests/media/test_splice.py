"""The laws of splice: exact count, even times, bodies untouched bit by bit, one set of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from callsheet.errors import MediaError, OrderInvalid, SceneTooShort
from callsheet.media.graph import Strip, run_command
from callsheet.media.packets import inspect
from callsheet.media.splice import body_ranges, splice
from callsheet.media.transitions import XFADE
from callsheet.presets import TransitionKind
from callsheet.recipes import EncodeSettings, Join, SpliceRecipe
from tests.media.clips import (
    FAST,
    MEDIUM,
    conform_clip,
    conformed_for,
    decode,
    decode_strictly,
    hashes,
    luma,
    make_clip,
    packet_times,
    read_code,
    room_in,
    splice_recipe,
)

BROADCAST = Fraction(30000, 1001)
CUT = TransitionKind.CUT


def reel_of(recipe: SpliceRecipe, folder: Path, clips: Sequence[Path]) -> Path:
    return splice(recipe, room_in(folder, *clips)).files["main"]


def assert_laws(recipe: SpliceRecipe, reel: Path, clips: Sequence[Path]) -> None:
    """Everything that holds for every reel."""
    count = sum(recipe.clip_frames) - sum(join.frames for join in recipe.joins)
    got = hashes(reel)
    assert len(got) == count, f"{len(got)} frames, not {count}"
    step, times = 1 / recipe.fps, packet_times(reel)
    assert sorted(pts for pts, _ in times) == [n * step for n in range(count)], "frames are shown unevenly"
    assert [dts - times[0][1] for _, dts in times] == [n * step for n in range(count)], "frames are decoded unevenly"
    assert all(dts <= pts for pts, dts in times), "a frame is shown before it is decoded"
    digests = {inspect(path, recipe.fps, path.name).avcc for path in (reel, *clips)}
    assert len(digests) == 1, f"{len(digests)} parameter sets"
    decode_strictly(reel)
    at = 0
    for n, ((first, end), clip) in enumerate(zip(body_ranges(recipe), clips, strict=True)):
        at += recipe.joins[n - 1].frames if n else 0
        assert got[at : at + end - first] == hashes(clip)[first:end], f"the body of clip {n + 1} has changed"
        at += end - first


@pytest.mark.parametrize("encode", [FAST, MEDIUM], ids=["no B-frames", "B-frames"])
@pytest.mark.parametrize("fps", [24, 30, BROADCAST, 60])
def test_a_reel_is_exact_and_its_bodies_are_untouched(
    tmp_path: Path, fps: Fraction | int, encode: EncodeSettings
) -> None:
    recipe = splice_recipe((24, 31, 20), (8, 5), fps, encode)
    clips = conformed_for(recipe, tmp_path)
    assert_laws(recipe, reel_of(recipe, tmp_path / "reel", clips), clips)


@pytest.mark.parametrize("encode", [FAST, MEDIUM], ids=["no B-frames", "B-frames"])
@pytest.mark.parametrize(("frames", "joins"), [
    ((17,), ()),
    ((1,), ()),
    ((20, 15, 20), (7, 8)),
    ((6, 12, 6), (6, 6)),
    ((20, 9, 1, 14), (0, (CUT, 0), 1)),
    ((5, 2, 5), (1, 1)),
], ids=["single clip", "single frame", "clip without a body", "windows only", "hard cuts", "one-frame windows"])
def test_peculiar_reels_obey_the_same_laws(
    tmp_path: Path, frames: tuple[int, ...], joins: tuple[int, ...], encode: EncodeSettings
) -> None:
    recipe = splice_recipe(frames, joins, 30, encode)
    clips = conformed_for(recipe, tmp_path)
    assert_laws(recipe, reel_of(recipe, tmp_path / "reel", clips), clips)


def test_capped_bit_rates_can_be_spliced_too(tmp_path: Path) -> None:
    recipe = splice_recipe((20, 20), (6,), 30, EncodeSettings(crf=20, preset="medium", max_kbit=300))
    clips = conformed_for(recipe, tmp_path)
    assert_laws(recipe, reel_of(recipe, tmp_path / "reel", clips), clips)


def test_hard_cuts_encode_nothing(tmp_path: Path) -> None:
    recipe = splice_recipe((12, 9, 15), (0, (CUT, 0)), 24, MEDIUM)
    clips = conformed_for(recipe, tmp_path)
    outcome = splice(recipe, room_in(tmp_path / "reel", *clips))
    assert outcome.facts["frames_encoded"] == outcome.facts["windows"] == 0
    assert hashes(outcome.files["main"]) == [digest for clip in clips for digest in hashes(clip)]


def test_the_facts_count_what_was_copied_and_what_was_encoded(tmp_path: Path) -> None:
    recipe = splice_recipe((24, 31, 20), (8, 0), BROADCAST)
    facts = dict(splice(recipe, room_in(tmp_path / "reel", *conformed_for(recipe, tmp_path))).facts)
    facts.pop("avcc")
    assert facts == {
        "method": "smart", "reason": "all clips have the same parameter sets, with key frames at their transitions",
        "frames": 67, "frames_encoded": 8, "frames_copied": 59, "windows": 1,
        "duration": pytest.approx(67 * 1001 / 30000),
    }


@pytest.mark.parametrize(("frames", "joins", "method"), [
    ((5, 6), (0,), "copy"), ((5,), (), "copy"), ((5, 6), (2,), "smart"), ((6, 12, 6), (6, 6), "one_pass"),
])
def test_the_facts_name_the_method(
    tmp_path: Path, frames: tuple[int, ...], joins: tuple[int, ...], method: str
) -> None:
    recipe = splice_recipe(frames, joins)
    facts = splice(recipe, room_in(tmp_path / "reel", *conformed_for(recipe, tmp_path))).facts
    assert facts["method"] == method, facts


def test_every_frame_is_where_the_plan_says(tmp_path: Path) -> None:
    recipe = splice_recipe((24, 31, 20), (8, 6), 30, MEDIUM)
    reel = reel_of(recipe, tmp_path / "reel", conformed_for(recipe, tmp_path))
    codes = [read_code(luma(planes)) for planes in decode(reel)]
    assert codes[:16] == [(0, n) for n in range(16)]
    assert codes[24:41] == [(1, n) for n in range(8, 25)]
    assert codes[47:] == [(2, n) for n in range(6, 20)]


@pytest.fixture(scope="module")
def six_reels(tmp_path_factory: pytest.TempPathFactory) -> dict[TransitionKind, Path]:
    """The same two clips joined by 9 frames in each of the six ways."""
    folder = tmp_path_factory.mktemp("six")
    clips = conformed_for(splice_recipe((20, 21), (9,)), folder)
    return {
        kind: reel_of(splice_recipe((20, 21), ((kind, 9),)), folder / kind, clips) for kind in XFADE
    }


def test_there_is_a_transition_for_every_kind_but_the_cut() -> None:
    assert set(XFADE) == set(TransitionKind) - {CUT}


def test_a_transition_changes_nothing_outside_its_window(six_reels: dict[TransitionKind, Path]) -> None:
    outside = {tuple(digests[:11] + digests[20:]) for digests in map(hashes, six_reels.values())}
    assert len(outside) == 1, f"{len(outside)} different outsides"


def test_each_transition_looks_like_no_other(six_reels: dict[TransitionKind, Path]) -> None:
    middles = {kind: luma(decode(reel)[15]).astype(int) for kind, reel in six_reels.items()}
    for a, first in middles.items():
        for b, second in middles.items():
            assert a is b or np.abs(first - second).mean() > 2, f"{a} looks like {b}"


@pytest.mark.parametrize("kind", XFADE)
def test_a_transition_is_neither_clip_in_the_middle_of_its_window(
    six_reels: dict[TransitionKind, Path], kind: TransitionKind, tmp_path: Path
) -> None:
    clips = conformed_for(splice_recipe((20, 21), (9,)), tmp_path)
    before, after = decode(clips[0]), decode(clips[1])
    middle = luma(decode(six_reels[kind])[15]).astype(int)
    for cut in (luma(before[15]), luma(after[4])):
        assert np.abs(middle - cut).mean() > 5, f"{kind} looks like a cut"


def test_a_crossfade_moves_evenly_from_one_clip_to_the_other(
    six_reels: dict[TransitionKind, Path], tmp_path: Path
) -> None:
    clips = conformed_for(splice_recipe((20, 21), (9,)), tmp_path)
    before, after = decode(clips[0]), decode(clips[1])
    for n, planes in enumerate(decode(six_reels[TransitionKind.CROSSFADE])[11:20]):
        start, whole = luma(before[11 + n]).astype(float), luma(after[n]) - luma(before[11 + n]).astype(float)
        share = float(((luma(planes) - start) * whole).sum() / (whole**2).sum())
        assert share == pytest.approx((n + 0.5) / 9, abs=0.02), f"frame {n} of the window is mixed {share:.3f}"


def test_a_fade_to_black_stays_in_the_legal_range(six_reels: dict[TransitionKind, Path]) -> None:
    darkest = min(float(luma(planes).mean()) for planes in decode(six_reels[TransitionKind.FADE]))
    assert 14 <= darkest <= 18, f"the darkest frame has luma {darkest:.1f}"


@pytest.mark.parametrize("kind", XFADE)
def test_even_a_window_of_one_frame_is_a_mixture(tmp_path: Path, kind: TransitionKind) -> None:
    recipe = splice_recipe((4, 4), ((kind, 1),))
    clips = conformed_for(recipe, tmp_path)
    frame = luma(decode(reel_of(recipe, tmp_path / "reel", clips))[3]).astype(int)
    for cut in (luma(decode(clips[0])[3]), luma(decode(clips[1])[0])):
        assert np.abs(frame - cut).mean() > 5


def test_equal_recipes_give_equal_bytes(tmp_path: Path) -> None:
    recipe = splice_recipe((12, 12), (4,), 30, MEDIUM)
    clips = conformed_for(recipe, tmp_path)
    first, second = (reel_of(recipe, tmp_path / name, clips).read_bytes() for name in "ab")
    assert first == second


def test_the_index_comes_before_the_pictures(tmp_path: Path) -> None:
    recipe = splice_recipe((8, 8), (2,))
    reel = reel_of(recipe, tmp_path / "reel", conformed_for(recipe, tmp_path)).read_bytes()
    assert 0 < reel.index(b"moov") < reel.index(b"mdat")


def test_nothing_but_the_reel_and_its_windows_is_left_in_the_room(tmp_path: Path) -> None:
    recipe = splice_recipe((8, 8), (2,))
    reel_of(recipe, tmp_path / "reel", conformed_for(recipe, tmp_path))
    assert sorted(path.name for path in (tmp_path / "reel").iterdir()) == ["reel.mp4"]


def test_a_window_is_encoded_like_its_neighbours() -> None:
    join = Join(kind=TransitionKind.WIPE, frames=15)
    strips = (Strip(Path("/a"), 0, 15), Strip(Path("/b"), 0, 15))
    line = " ".join(run_command(strips, (join,), Fraction(30), MEDIUM, (160, 90), Path("/c")).arguments)
    assert "stitchable=1" in line
    assert "transition=wipeleft" in line
    assert "duration=0.500000" in line
    assert "-crf 23" in line


def test_a_clip_encoded_with_another_preset_is_named(tmp_path: Path) -> None:
    recipe = splice_recipe((10, 10), (0,))
    first, _ = conformed_for(recipe, tmp_path)
    raw = make_clip(tmp_path / "raw.mp4", 10, 30)
    other = conform_clip(tmp_path / "other", raw, 10, encode=MEDIUM).files["main"]
    with pytest.raises(MediaError, match=r"clip 2 .* was encoded with other settings than clip 1"):
        reel_of(recipe, tmp_path / "reel", (first, other))


def test_clips_that_were_not_encoded_as_the_recipe_says_are_refused(tmp_path: Path) -> None:
    recipe = splice_recipe((10, 10), (3,), encode=MEDIUM)
    clips = conformed_for(splice_recipe((10, 10), (3,), encode=FAST), tmp_path)
    with pytest.raises(MediaError, match="other settings than a window encoded as the recipe says"):
        reel_of(recipe, tmp_path / "reel", clips)


def test_a_clip_of_another_length_is_named(tmp_path: Path) -> None:
    clips = conformed_for(splice_recipe((10, 12), (0,)), tmp_path)
    with pytest.raises(MediaError, match="clip 2 has 12 frames, not 11"):
        reel_of(splice_recipe((10, 11), (0,)), tmp_path / "reel", clips)


@pytest.mark.parametrize("encode", [FAST, MEDIUM], ids=["no B-frames", "B-frames"])
def test_a_clip_without_a_key_frame_at_its_window_is_named(tmp_path: Path, encode: EncodeSettings) -> None:
    clips = conformed_for(splice_recipe((10, 12), (0,), encode=encode), tmp_path)
    with pytest.raises(MediaError, match="clip 1 cannot be cut before its frame 7"):
        reel_of(splice_recipe((10, 12), (3,), encode=encode), tmp_path / "reel", clips)


def test_a_clip_at_another_rate_is_named(tmp_path: Path) -> None:
    clips = conformed_for(splice_recipe((10,), (), fps=24), tmp_path)
    with pytest.raises(MediaError, match=r"clip 1 has a frame at 0\.041667 s, which is none of 30 a second"):
        reel_of(splice_recipe((10,), (), fps=30), tmp_path / "reel", clips)


def test_a_clip_that_is_no_film_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film at all")
    with pytest.raises(MediaError, match="clip 1 cannot be read"):
        reel_of(splice_recipe((10,), ()), tmp_path / "reel", (tmp_path / "text.mp4",))


def test_a_target_that_cannot_be_written_is_not_blamed_on_a_clip(tmp_path: Path) -> None:
    clips = conformed_for(splice_recipe((10,), ()), tmp_path)
    (tmp_path / "reel" / "reel.mp4").mkdir(parents=True)
    with pytest.raises(MediaError, match="could not write the copied packets"):
        reel_of(splice_recipe((10,), ()), tmp_path / "reel", clips)


def test_windows_that_overlap_inside_a_clip_are_refused_before_a_clip_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(SceneTooShort, match=r"scene of clip 2 lasts 0\.400 s but needs 0\.433 s for its transitions"):
        reel_of(splice_recipe((20, 12, 20), (6, 7)), tmp_path, ())


@pytest.mark.parametrize(("recipe", "words"), [
    (splice_recipe((10, 10), ()), "2 clips, but 2 lengths and 0 joins"),
    (splice_recipe((10, 10), ((CUT, 3),)), "join 1 is a cut but lasts 3 frames"),
])
def test_a_recipe_that_contradicts_itself_is_refused(tmp_path: Path, recipe: SpliceRecipe, words: str) -> None:
    with pytest.raises(OrderInvalid, match=words):
        reel_of(recipe, tmp_path, ())
