"""How music makes room for speech: the gain that follows from where somebody speaks.

A computed envelope, exact in depth and time whatever the level of the voice (a side-chain compressor's
depth depends on it). Pure numpy; where speech is, activity.py finds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from callsheet.media.activity import Span, closed
from callsheet.media.sound import RATE
from callsheet.models import Ducking


@dataclass(frozen=True)
class Envelope:
    """Gain over time: straight lines in dB between points, level before the first and after the last."""

    samples: tuple[float, ...]
    decibels: tuple[float, ...]

    def gain(self, start: int, end: int) -> NDArray[np.float32]:
        """Linear gain of the samples `start` to `end`, float32 of shape (end - start,)."""
        gain = np.empty(end - start, np.float32)
        at, following = start, int(np.searchsorted(self.samples, start, "right"))
        while at < end:
            until = end if following == len(self.samples) else min(end, ceil(self.samples[following]))
            gain[at - start:until - start] = self._line(following, at, until)
            at, following = max(at, until), following + 1
        return gain

    def _line(self, following: int, start: int, end: int) -> NDArray[np.float64] | float:
        """Gain between the point before `following` and that one; a single number where it is level."""
        last = len(self.samples) - 1
        before, after = self.decibels[max(following - 1, 0)], self.decibels[min(following, last)]
        if before == after or end <= start:
            return float(10 ** (before / 20))
        level = np.interp(np.arange(start, end), self.samples[following - 1:following + 1], (before, after))
        return np.power(10.0, level / 20)


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
