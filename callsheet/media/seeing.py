"""The pictures of a film looked at, in one decode: black and frozen stretches, and how many frames there are.

Pictures are made small first; what is small and differs by little is the same. Transitions are the plan's
matter: what lies in a window is exempt. Covers no picture's beauty, and not its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callsheet.errors import MediaError
from callsheet.media.ffmpeg import Command, local_input, reader
from callsheet.media.findings import Finding, FrameSpan, Kind, by_scene, outside, stretches
from callsheet.media.standing import Picture, Standing

BLACK_SECONDS = 0.25
FROZEN_SECONDS = 1.0

_LONG_SIDE = 192
_DARK = 26
"""Luma; 16 is black, and an encoder leaves it within a few steps."""
_DARK_SHARE = 0.98
_LIGHT = 64
"""One small pixel of such luma is a candle, a moon or a credit (96 to 209); in black there are at most 29."""
_STILL_SECONDS = 0.25
"""Pictures that stand for less are an encoder's way with slow motion."""
_FEWEST_ROWS = 0.3
_BATCH = 64


@dataclass(frozen=True)
class Seen:
    """What was seen: frames that can be decoded, and stretches of them."""

    frames: int
    black: tuple[FrameSpan, ...]
    frozen: tuple[FrameSpan, ...]
    """Each picture of a stretch is the same as its first. What is black is not told again."""


def look(path: Path, width: int, height: int, fps: Fraction, covered: Sequence[tuple[float, float]] = ()) -> Seen:
    """Decode a film of `width` x `height` pixels and find where it is black or stands still.

    `covered` are bands that captions are drawn into, as shares of the height: they are not looked at.
    Raises MediaError when it cannot be decoded.
    """
    across, down = _small(width, height)
    rows = _rows(down, covered)
    dark: list[bool] = []
    standing = Standing(_least(_STILL_SECONDS, fps))
    for batch in _pictures(path, across, down):
        looked = batch[:, rows]
        unlit = looked.max(axis=(1, 2)) < _LIGHT
        dark += (unlit & ((looked <= _DARK).mean(axis=(1, 2)) >= _DARK_SHARE)).tolist()
        for number, picture in enumerate(looked, len(dark) - len(looked)):
            standing.add(picture, dark[number])
    return Seen(
        frames=len(dark),
        black=tuple(stretches(dark, _least(BLACK_SECONDS, fps))),
        frozen=tuple(span for span in standing.spans() if span[1] - span[0] >= _least(FROZEN_SECONDS, fps)),
    )


def findings(
    seen: Seen, fps: Fraction, scenes: Sequence[int], windows: Sequence[FrameSpan], still: Sequence[FrameSpan] = ()
) -> Iterator[Finding]:
    """Stretches as findings, scene by scene; what lies in planned transitions is left out.

    `still` are frames in which the picture may stand, but not be black.
    """
    anew = "shoot this scene anew (set its retake one higher, or the policy of checks to retry)"
    meant = f"{anew}, or set still, where the picture is meant to stand"
    for kind, spans, exempt, seconds, detail, remedy in (
        (Kind.BLACK, seen.black, windows, BLACK_SECONDS, "the picture is black", anew),
        (Kind.FROZEN, seen.frozen, (*windows, *still), FROZEN_SECONDS, "the picture stands still", meant),
    ):
        shortest = _least(seconds, fps)
        parts = (part for span in spans for part in outside(span, exempt) if part[1] - part[0] >= shortest)
        for scene, (first, end) in (one for part in parts for one in by_scene(part, scenes, shortest)):
            yield Finding(
                kind=kind, start=_seconds(first, fps), end=_seconds(end, fps), scene=scene, detail=detail,
                remedy=remedy,
            )


def command(path: Path, width: int, height: int) -> Command:
    """Decode to raw luma of `width` x `height` on standard output. Deblocking is left out: nobody looks that close."""
    return Command(
        ("-xerror", "-threads", "2", "-skip_loop_filter", "all", "-i", local_input(path), "-map", "0:v:0",
         "-vf", f"format=yuv420p,extractplanes=y,scale={width}:{height}:flags=area",
         "-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"),
        what=f"look at {path.name}",
        timeout_s=4 * 3600.0,
    )


def _pictures(path: Path, width: int, height: int) -> Iterator[Picture]:
    size = width * height
    with reader(command(path, width, height)) as pipe:
        while data := pipe.read(size * _BATCH):
            if len(data) % size:
                raise MediaError(what=f"look at {path.name}", detail="its last picture is not whole")
            yield np.frombuffer(data, np.uint8).reshape(-1, height, width)


def _small(width: int, height: int) -> tuple[int, int]:
    shrink = max(1.0, max(width, height) / _LONG_SIDE)
    return max(1, round(width / shrink)), max(1, round(height / shrink))


def _rows(height: int, covered: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    edges = np.arange(height + 1) / height
    free = np.ones(height, bool)
    for top, bottom in covered:
        free &= (edges[1:] <= top) | (edges[:-1] >= bottom)
    return free if free.mean() >= _FEWEST_ROWS else np.ones(height, bool)


def _least(seconds: float, fps: Fraction) -> int:
    return max(2, round(seconds * fps))


def _seconds(frame: int, fps: Fraction) -> float:
    return round(float(frame / fps), 4)
