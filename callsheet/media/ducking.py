"""How music makes room for speech: where somebody speaks, and the gain that follows from it.

A computed envelope, exact in depth and time whatever the level of the voice (a side-chain compressor's
depth depends on it). Pure numpy; nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callsheet.media.sound import RATE, Samples
from callsheet.models import Ducking

Span = tuple[int, int]
"""First sample, and the one after the last."""

HOP = RATE // 200
"""Speech is looked for in steps of 5 ms."""

PAUSE_SECONDS = 0.35
"""Shorter pauses belong to the speech around them, so that music does not pump between words."""

_BELOW_SPEECH_DB = -35.0
_FLOOR_DB = -60.0


def speech_spans(voice: Samples) -> list[Span]:
    """Where one voice is heard: steps of 5 ms within 35 dB of its loud parts, and above -60 dBFS.

    Pauses are not yet closed; see `closed`.
    """
    steps = -(-len(voice) // HOP)
    energy = np.zeros(steps * HOP)
    energy[:len(voice)] = np.square(voice, dtype=np.float64).mean(axis=1)
    level = 10 * np.log10(energy.reshape(steps, HOP).mean(axis=1) + 1e-12)
    audible = level[level > _FLOOR_DB]
    if not len(audible):
        return []
    threshold = max(_FLOOR_DB, float(np.percentile(audible, 95)) + _BELOW_SPEECH_DB)
    edges = np.flatnonzero(np.diff(level > threshold, prepend=False, append=False))
    return [(int(a) * HOP, min(int(b) * HOP, len(voice))) for a, b in edges.reshape(-1, 2)]


def closed(spans: Iterable[Span], pause: int = round(PAUSE_SECONDS * RATE)) -> list[Span]:
    """The union of spans, in order, with gaps of up to `pause` samples filled.

    It looks ahead, so music rises when speech really ended, not a hang-over later.
    """
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start - joined[-1][1] <= pause:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


@dataclass(frozen=True)
class Envelope:
    """Gain over time: straight lines in dB between points, level before the first and after the last."""

    samples: tuple[float, ...]
    decibels: tuple[float, ...]

    def gain(self, start: int, end: int) -> NDArray[np.float32]:
        """Linear gain of the samples `start` to `end`, float32 of shape (end - start,)."""
        level = np.interp(np.arange(start, end), self.samples, self.decibels)
        return np.power(10.0, level / 20).astype(np.float32)


def envelope(spans: Iterable[Span], ducking: Ducking, rate: int = RATE) -> Envelope:
    """The change of the music bed: 0 dB while nobody speaks, `duck_db` under the spans.

    It starts down where a span starts and is there `attack_ms` later; it starts up where a span ends and
    takes `release_ms` for the whole way. Speech shorter or denser than that turns it around on its way.
    `base_volume` is not in it.
    """
    depth = abs(ducking.duck_db)
    points: list[tuple[float, float]] = [(0.0, 0.0)]
    for start, end in closed(spans) if depth else ():
        _move(points, 0.0, depth / (ducking.release_ms / 1000 * rate), start)
        _move(points, ducking.duck_db, depth / (ducking.attack_ms / 1000 * rate), end)
    if depth:
        _move(points, 0.0, depth / (ducking.release_ms / 1000 * rate), float("inf"))
    samples, decibels = zip(*points, strict=True)
    return Envelope(samples, decibels)


def _move(points: list[tuple[float, float]], goal: float, speed: float, until: float) -> None:
    """Go on from the last point towards `goal`, at `speed` dB a sample, and wait there until sample `until`."""
    at, level = points[-1]
    arrival = at + abs(goal - level) / speed
    if arrival > until:                                # it turns around on its way
        points.append((until, level + (goal - level) * (until - at) / (arrival - at)))
        return
    points.append((arrival, goal))
    if until < float("inf"):
        points.append((until, goal))
