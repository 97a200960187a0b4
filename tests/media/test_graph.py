"""The graph of an encoded run, as a value: windows alone are mixed, and strangers' files are read under limits."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from callsheet.media.graph import Strip, run_command
from callsheet.presets import TransitionKind
from callsheet.recipes import Join
from tests.media.clips import MEDIUM

FADE = Join(kind=TransitionKind.FADE, frames=15)
CUT = Join(kind=TransitionKind.CUT, frames=0)


def graph(strips: tuple[Strip, ...], joins: tuple[Join, ...], fps: Fraction = Fraction(30)) -> tuple[str, ...]:
    return run_command(strips, joins, fps, MEDIUM, (540, 960), Path("/out.mp4")).arguments


def filters(arguments: tuple[str, ...]) -> str:
    return arguments[arguments.index("-filter_complex") + 1]


def test_a_clip_is_split_into_windows_and_body_and_only_windows_are_mixed() -> None:
    strips = tuple(Strip(Path(f"/{n}.mp4"), 0, 150) for n in range(3))
    drawn = filters(graph(strips, (FADE, FADE)))
    assert drawn.count("xfade") == 2
    assert "split=3" in drawn and drawn.count("split=2") == 2
    assert "concat=a=0:n=5:v=1" in drawn
    for window in ("start_frame=135", "end_frame=15:start_frame=0", "end_frame=135:start_frame=15"):
        assert window in drawn, window


def test_transitions_get_bits_instead_of_search_where_they_lie() -> None:
    strips = (Strip(Path("/a.mp4"), 0, 30), Strip(Path("/b.mp4"), 0, 40), Strip(Path("/c.mp4"), 5, 30))
    joins = (Join(kind=TransitionKind.FADE, frames=10), Join(kind=TransitionKind.CUT, frames=0))
    words = " ".join(graph(strips, joins))
    assert "zones=20,29,b=1.15,subme=2,trellis=0,me=dia " in words, words


def test_hard_cuts_are_put_in_a_row_without_a_mixture() -> None:
    drawn = filters(graph((Strip(Path("/a"), 0, 5), Strip(Path("/b"), 3, 9)), (CUT,)))
    assert "xfade" not in drawn and "split" not in drawn
    assert "concat=a=0:n=2:v=1" in drawn and "end_frame=9:start_frame=3" in drawn


def test_times_are_written_in_full() -> None:
    drawn = filters(graph((Strip(Path("/a"), 0, 15), Strip(Path("/b"), 0, 15)), (FADE,)))
    assert "duration=0.500000:offset=-0.016667" in drawn


def test_colours_are_tagged_by_a_filter_and_foreign_ones_converted() -> None:
    drawn = filters(graph((Strip(Path("/a"), 0, 15), Strip(Path("/b"), 0, 15, foreign_colour=True)), (FADE,)))
    assert "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv" in drawn
    assert drawn.count("out_color_matrix=bt709") == 1


def test_black_stays_in_the_legal_range_in_a_fade_alone() -> None:
    strips = (Strip(Path("/a"), 0, 15), Strip(Path("/b"), 0, 15))
    assert "limiter=min=16:planes=1" in filters(graph(strips, (FADE,)))
    assert "limiter" not in filters(graph(strips, (Join(kind=TransitionKind.WIPE, frames=15),)))


def test_every_file_is_opened_under_limits() -> None:
    arguments = graph((Strip(Path("/a"), 0, 15), Strip(Path("/b"), 0, 15)), (FADE,))
    assert arguments.count("-format_whitelist") == arguments.count("-protocol_whitelist") == 2
    assert arguments.count("file:/a") == arguments.count("file:/b") == 1
