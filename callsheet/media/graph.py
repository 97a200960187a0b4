"""The ffmpeg graph of an encoded run: transitions mixed where clips overlap, everything else passed through.

Each clip is split and trimmed into head window, body and tail window; xfade sees the windows alone, and the concat
filter puts the parts in a row. Pure: commands are values; reel.py runs them. Times are counted in frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from callsheet.media.encode import SCALER, WINDOW_BITS, Zone, encode_timeout_s, tagged, ticks, timescale, x264_options
from callsheet.media.ffmpeg import HOSTILE_VIDEO, Command, keywords, local_input
from callsheet.media.transitions import XFADE
from callsheet.presets import TransitionKind
from callsheet.recipes import EncodeSettings, Join

THREADS = 1
"""Of each decoder, and of the graph: more cost memory and make nothing faster, as the encoder is the limit."""


@dataclass(frozen=True)
class Strip:
    """Frames `first` to `end` (excluded) of a file, counted as it decodes."""

    path: Path
    first: int
    end: int
    foreign_colour: bool = False
    """Whether its matrix has to be brought to bt709, or its range to that of video."""

    @property
    def frames(self) -> int:
        return self.end - self.first


def run_command(
    strips: Sequence[Strip], joins: Sequence[Join], fps: Fraction, encode: EncodeSettings, size: tuple[int, int],
    target: Path,
) -> Command:
    """Encode strips in a row, like a conformed clip; `joins[n].frames` of strips n and n+1 overlap.

    `size` is width and height in pixels, of every strip. The number of frames that come out is to be checked: a
    file with too few frames shortens the result without an error.
    """
    import ffmpeg

    parts = [_parts(n, strip, *around) for n, (strip, around) in
             enumerate(zip(strips, _overlaps(strips, joins), strict=True))]
    row: list[Any] = []
    for n, (before, body, _) in enumerate(parts):
        if before is not None:
            row.append(_mixed(parts[n - 1][2], before, joins[n - 1], fps))
        if body is not None:
            row.append(body)
    whole = ffmpeg.concat(*row, v=1, a=0) if len(row) > 1 else row[0]
    frames = sum(strip.frames for strip in strips) - sum(join.frames for join in joins)
    paced = _on_the_clock(whole, fps).filter("settb", f"{fps.denominator}/{fps.numerator}")
    made = tagged(paced).output(local_input(target), **x264_options(encode, *size, fps, zones=_windows(strips, joins)))
    arguments = ffmpeg.get_args(made.global_args("-filter_complex_threads", str(THREADS)))
    return Command(tuple(arguments), what=_words(joins, frames), timeout_s=encode_timeout_s(frames, *size))


def _windows(strips: Sequence[Strip], joins: Sequence[Join]) -> Iterator[Zone]:
    """Where the transitions lie among the frames that come out."""
    end = 0
    for strip, join in zip(strips, joins, strict=False):
        end += strip.frames
        yield Zone(end - join.frames, end, WINDOW_BITS)
        end -= join.frames


def _overlaps(strips: Sequence[Strip], joins: Sequence[Join]) -> list[tuple[int, int]]:
    """Frames of each strip's head and tail windows."""
    return list(pairwise((0, *(join.frames for join in joins), 0)))[: len(strips)]


def _parts(number: int, strip: Strip, head: int, tail: int) -> tuple[Any, Any, Any]:
    """Head window, body and tail window of a strip, as streams; None for one without frames."""
    from ffmpeg.nodes import InputNode

    # not ffmpeg.input: to that, two inputs of one file are the same one; a number tells them apart and is not written
    opened = InputNode("input", args=[number], kwargs={
        "filename": local_input(strip.path), "threads": THREADS, **keywords(HOSTILE_VIDEO)})
    stream = opened.stream()["v:0"]
    matrix = {"flags": SCALER, "out_color_matrix": "bt709"} if strip.foreign_colour else {}
    stream = stream.filter("scale", **matrix, out_range="tv")             # costs nothing where nothing is converted
    stream = stream.filter("format", "yuv420p").filter("setsar", "1")
    edges = (strip.first, strip.first + head, strip.end - tail, strip.end)
    ranges = list(pairwise(edges))
    wanted = sum(first < end for first, end in ranges)
    copies = stream.split() if wanted > 1 else {0: stream}
    parts: list[Any] = []
    taken = 0
    for first, end in ranges:
        if first < end:
            parts.append(copies[taken].filter("trim", start_frame=first, end_frame=end))
            taken += 1
        else:
            parts.append(None)
    return parts[0], parts[1], parts[2]


def _mixed(tail: Any, head: Any, join: Join, fps: Fraction) -> Any:
    """A transition. Frame j of n is mixed (j + 1/2) / n, so that both ends differ from a cut symmetrically."""
    import ffmpeg

    frame = 1 / fps
    mixed = ffmpeg.filter(
        [_on_the_clock(tail, fps), _on_the_clock(head, fps)], "xfade", transition=XFADE[join.kind],
        duration=f"{float(join.frames * frame):.6f}", offset=f"{float(-frame / 2):.6f}",
    )
    if join.kind is TransitionKind.FADE:              # xfade's black is 0; in limited range it is 16
        mixed = mixed.filter("limiter", min=16, planes=1)
    return mixed.filter("format", "yuv420p")


def _on_the_clock(stream: Any, fps: Fraction) -> Any:
    """Frame n at n/fps, marked as a constant rate, on a clock that can tell half a frame: xfade's offset is one."""
    clock = f"1/{timescale(fps)}"
    stream = stream.filter("settb", clock).filter("setpts", f"N*{ticks(fps)}")
    return stream.filter("fps", str(fps)).filter("settb", clock)


def _words(joins: Sequence[Join], frames: int) -> str:
    windows = [join for join in joins if join.frames]
    if len(windows) == 1 and windows[0].frames == frames:
        return f"make a {windows[0].kind} of {frames} frames"
    return f"encode {frames} frames with {len(windows)} transitions"
