"""Time is planned in whole frames: films last exactly as long as their scenes, and transitions fit."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import SceneTooShort
from callsheet.models import Actor, Format, Order, Scene, Transition
from callsheet.orders import Disk
from callsheet.presets import TransitionKind
from callsheet.timeline import Timeline, raw_frames, segment_lengths, timeline

RATES = [Fraction(24), Fraction(25), Fraction(30), Fraction(60), Fraction(24000, 1001), Fraction(30000, 1001)]


def order(*scenes: Scene, fps: Fraction = Fraction(30), fit: str = "grow") -> Order:
    actor = Actor(id="ava", lora="ava.safetensors")
    return Order(title="t", cast=(actor,), scenes=scenes, format=Format(width=640, height=360, fps=fps), fit=fit)


def silent(made: Order) -> Timeline:
    return timeline(made, [() for _ in made.scenes])


def test_a_12_3_second_order_lasts_369_frames_at_30() -> None:
    film = silent(order(Scene(prompt="x", seconds=12.3)))
    assert film.frames == 369
    assert [s.raw_frames for s in film.segments] == [120, 120, 56]


@pytest.mark.parametrize(
    ("seconds", "raw"), [(1.0, [24]), (5.0, [120]), (10.0, [120, 120]), (30.0, [120] * 6), (5.04, [120, 1])]
)
def test_a_segment_has_min_120_duration_times_24_frames(seconds: float, raw: list[int]) -> None:
    assert [s.raw_frames for s in silent(order(Scene(prompt="x", seconds=seconds), fps=Fraction(24))).segments] == raw


@pytest.mark.parametrize("seconds", [1.0, 2.0, 3.0, 4.0, 5.0])
def test_the_old_caps_of_8_16_and_24_frames_are_gone(seconds: float) -> None:
    assert raw_frames(round(seconds * 24), Fraction(24)) == min(120, int(seconds * 24))


def test_dialogue_makes_its_scene_grow() -> None:
    film = timeline(order(Scene(prompt="x", seconds=1.0)), [(2.0, 1.5)])
    assert film.seconds == pytest.approx(0.3 + 2.0 + 0.25 + 1.5 + 0.4, abs=1 / 30)
    assert [round(line.start, 3) for line in film.scenes[0].lines] == [0.3, 2.55]


def test_dialogue_that_does_not_fit_is_refused_when_the_order_says_error() -> None:
    with pytest.raises(SceneTooShort, match=r"scene 1 lasts 1\.0 s but needs 2\.7 s for its dialogue"):
        timeline(order(Scene(prompt="x", seconds=1.0), fit="error"), [(2.0,)])


def test_a_transition_longer_than_its_scenes_is_refused() -> None:
    scenes = [Scene(prompt="x", seconds=1.0, transition=Transition(seconds=3.0)) for _ in range(3)]
    with pytest.raises(SceneTooShort, match="transitions"):
        silent(order(*scenes))


def test_the_kind_of_a_transition_keeps_every_segment() -> None:
    def segments(kind: TransitionKind) -> object:
        scene = Scene(prompt="x", seconds=4.0, transition=Transition(kind=kind))
        return silent(order(scene, scene)).segments

    assert segments(TransitionKind.WIPE) == segments(TransitionKind.DISSOLVE)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.8, 40).map(lambda x: round(x, 2)),
            st.sampled_from(list(TransitionKind)),
            st.floats(0, 0.6).map(lambda x: round(x, 2)),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(RATES),
)
def test_every_film_adds_up(scenes: list[tuple[float, TransitionKind, float]], fps: Fraction) -> None:
    made = order(
        *(Scene(prompt="x", seconds=s, transition=Transition(kind=k, seconds=t)) for s, k, t in scenes), fps=fps
    )
    film = silent(made)
    assert film.frames == round(sum((Fraction(str(s)) for s, _, _ in scenes), Fraction(0)) * fps)
    assert sum(s.frames for s in film.segments) - sum(j.frames for j in film.joins) == film.frames
    assert len(film.joins) == len(film.segments) - 1
    for segment in film.segments:
        assert 1 <= segment.raw_frames <= 120
        assert segment.raw_frames * fps >= segment.frames * 24, "the raw clip covers its place"
        assert segment.frames >= segment.head + segment.tail
    for before, join, after in zip(film.segments, film.joins, film.segments[1:], strict=False):
        assert before.film_frame + before.frames - join.frames == after.film_frame, "the reel has no hole"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.2, 3), st.floats(0, 4), st.sampled_from(list(TransitionKind))), min_size=2,
             max_size=5),
    st.sampled_from(RATES),
)
def test_an_order_is_refused_for_its_transitions_just_when_it_cannot_be_laid_out(
    scenes: list[tuple[float, float, TransitionKind]], fps: Fraction
) -> None:
    made = order(*(Scene(prompt="x", seconds=s, transition=Transition(kind=k, seconds=t)) for s, t, k in scenes),
                 fps=fps)
    refused = Disk().misfit(made)
    try:
        silent(made)
    except SceneTooShort as error:
        assert str(refused) == str(error)
    else:
        assert refused is None


@given(st.integers(1, 20_000), st.sampled_from(RATES))
def test_segments_cover_all_frames_and_only_the_last_is_short(frames: int, fps: Fraction) -> None:
    lengths = segment_lengths(frames, fps)
    assert sum(lengths) == frames
    assert len(set(lengths[:-1])) <= 1
    assert all(length * 24 / fps <= 120 for length in lengths)


def test_transitions_that_do_not_fit_are_no_matter_of_growing() -> None:
    scenes = [Scene(prompt="x", seconds=1.0, transition=Transition(seconds=3.0)) for _ in range(3)]
    with pytest.raises(SceneTooShort) as refused:
        silent(order(*scenes))
    assert refused.value.fix == "make the scene longer or the transition shorter"


@pytest.mark.parametrize("fps", RATES)
def test_a_scene_of_the_length_that_its_refusal_asks_for_is_taken(fps: Fraction) -> None:
    lengths = [1.0, 1.0, 1.0]
    for n in (1, 2, 3):
        film = order(*(Scene(prompt="x", seconds=s, transition=Transition(seconds=3.0)) for s in lengths), fps=fps)
        with pytest.raises(SceneTooShort) as refused:
            silent(film)
        assert refused.value.facts["scene"] == n, "the one before it is long enough now"
        lengths[n - 1] = refused.value.facts["needed"]
    assert lengths == pytest.approx([1.5, 3.0, 1.5], abs=0.1), "neighbours lend each other half of three seconds"
    last = order(*(Scene(prompt="x", seconds=s, transition=Transition(seconds=3.0)) for s in lengths), fps=fps)
    assert len(silent(last).scenes) == 3


def test_a_transition_that_no_segment_could_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="less than or equal to 4"):
        Transition(seconds=4.1)
