"""The laws of planning: every frame once, copies begin and end at cuts, windows are never parted, graphs stay small."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from callsheet.media.runs import Copied, Encoded, Method, Run, Span, chunked, encoded_frames, method, plan
from callsheet.presets import TransitionKind
from callsheet.recipes import Join

Reel = tuple[list[int], list[Join], list[set[int]]]


def fade(frames: int) -> Join:
    return Join(kind=TransitionKind.FADE if frames else TransitionKind.CUT, frames=frames)


@st.composite
def reels(draw: st.DrawFn) -> Reel:
    """Lengths, joins that fit, and for each clip some cuts, its ends among them, or none at all."""
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=14))
    joins, head = [], 0
    for length, following in pairwise(lengths):
        head = draw(st.integers(0, min(length - head, following, 9)))
        joins.append(fade(head))
    cuts = [
        {0, length, *draw(st.sets(st.integers(0, length), max_size=4))} if draw(st.booleans()) else set()
        for length in lengths
    ]
    return lengths, joins, cuts


def spans(runs: tuple[Run, ...]) -> list[Span]:
    return [span for run in runs for span in (run.spans if isinstance(run, Encoded) else (run.span,))]


@given(reels())
def test_the_runs_have_every_frame_of_every_clip_in_order(reel: Reel) -> None:
    lengths, joins, _ = reel
    runs = plan(*reel, most=4)
    assert sum(run.frames for run in runs) == sum(lengths) - sum(join.frames for join in joins)
    at = [(span.clip, frame) for span in spans(runs) for frame in range(span.first, span.end)]
    assert at == [(n, frame) for n, length in enumerate(lengths) for frame in range(length)]


@given(reels())
def test_only_what_lies_between_cuts_outside_the_windows_is_copied(reel: Reel) -> None:
    lengths, joins, cuts = reel
    for run in plan(*reel):
        if isinstance(run, Copied):
            n, first, end = run.span.clip, run.span.first, run.span.end
            head = joins[n - 1].frames if n else 0
            tail = joins[n].frames if n < len(joins) else 0
            usable = [cut for cut in cuts[n] if head <= cut <= lengths[n] - tail]
            assert (first, end) == (min(usable), max(usable)), f"clip {n} is copied from {first} to {end}"


@given(reels())
def test_no_graph_parts_a_window_or_takes_too_many_clips(reel: Reel) -> None:
    joins = reel[1]
    mixed = dict.fromkeys(range(len(joins)), 0)
    for run in plan(*reel, most=4):
        if isinstance(run, Encoded):
            assert len(run.spans) <= 4 or all(span.frames == join.frames for span, join in
                                              zip(run.spans[3:], run.joins[2:], strict=True)), run
            for join, before, after in zip(run.joins, run.spans[:-1], run.spans[1:], strict=True):
                assert join.frames <= min(before.frames, after.frames)
                mixed[before.clip] += join.frames
    assert mixed == {n: join.frames for n, join in enumerate(joins)}


def test_hard_cuts_between_clips_that_can_be_copied_encode_nothing() -> None:
    runs = plan([5, 6, 7], [fade(0), fade(0)], [{0, 5}, {0, 6}, {0, 7}])
    assert runs == (Copied(Span(0, 0, 5)), Copied(Span(1, 0, 6)), Copied(Span(2, 0, 7)))
    assert method(runs) is Method.COPY


def test_a_clip_is_encoded_up_to_its_nearest_cut_and_copied_from_there() -> None:
    runs = plan([40, 40], [fade(6)], [{0, 12, 24, 36, 40}, {0, 12, 24, 36, 40}])
    assert runs == (
        Copied(Span(0, 0, 24)), Encoded((Span(0, 24, 40), Span(1, 0, 12)), (fade(6),)), Copied(Span(1, 12, 40)),
    )
    assert (method(runs), encoded_frames(runs)) == (Method.SMART, 22)


def test_clips_that_cannot_be_copied_become_one_pass() -> None:
    runs = plan([10, 10, 10], [fade(2), fade(0)], [(), (), ()])
    assert runs == (Encoded((Span(0, 0, 10), Span(1, 0, 10), Span(2, 0, 10)), (fade(2), fade(0))),)
    assert method(runs) is Method.ONE_PASS


def test_a_long_pass_is_parted_right_after_a_window() -> None:
    run = Encoded(tuple(Span(n, 0, 10) for n in range(5)), (fade(2), fade(3), fade(0), fade(4)))
    assert chunked(run, 3) == (
        Encoded((Span(0, 0, 10), Span(1, 0, 10), Span(2, 0, 3)), (fade(2), fade(3))),
        Encoded((Span(2, 3, 10), Span(3, 0, 10), Span(4, 0, 4)), (fade(0), fade(4))),
        Encoded((Span(4, 4, 10),)),
    )
