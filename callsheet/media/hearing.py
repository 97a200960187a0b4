"""The sound of a film listened to, in one decode: how loud it is when, where it is clipped, where it is silent.

Read in blocks, so that a long film needs little memory. Loudness as EBU R128 defines it is measured in
loudness.py, the place of voices in drift.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callsheet.media.activity import closed
from callsheet.media.ffmpeg import Command, local_input, reader
from callsheet.media.findings import stretches
from callsheet.media.sound import RATE, Samples

HOPS = 100
"""Levels a second."""

SILENT_DB = -55.0
"""dBFS over 10 ms. Room tone of a quiet film is above it once the film is at its loudness."""

SILENT_SECONDS = 0.5
COARSE_RATE = 8000
"""Samples a second of the sound as drift.py compares it."""

Span = tuple[float, float]
"""Start and end in seconds."""

_HOP = RATE // HOPS
_FOLD = RATE // COARSE_RATE
_BLOCK = RATE * 10
_FULL_SCALE = 0.985
_CLIPPED_RUN = 3
_APART_S = 0.5
"""Clipped places that are closer than this are told as one."""


@dataclass(frozen=True)
class Heard:
    """What was heard."""

    seconds: float
    level: NDArray[np.float32]
    """dBFS of both channels together, `HOPS` a second."""
    clipped: tuple[Span, ...]
    coarse: NDArray[np.float32]
    """Both channels as one, `COARSE_RATE` samples a second."""

    @property
    def loudest(self) -> float:
        """Of all levels, in dBFS."""
        return float(self.level.max(initial=-120.0))


def listen(path: Path) -> Heard:
    """Decode the first sound of a film. Raises MediaError."""
    power: list[NDArray[np.float32]] = []
    coarse: list[NDArray[np.float32]] = []
    clipped: list[Span] = []
    at = 0
    for block in _blocks(path):
        power.append(_folded(np.square(block).mean(axis=1), _HOP))
        coarse.append(_folded(block.mean(axis=1), _FOLD))
        clipped += [(a + at / RATE, b + at / RATE) for a, b in _clipped(block)]
        at += len(block)
    level = 10 * np.log10(np.concatenate(power or [np.zeros(0, np.float32)]) + 1e-12)
    return Heard(
        seconds=at / RATE,
        level=level.astype(np.float32),
        clipped=tuple(_joined(clipped)),
        coarse=np.concatenate(coarse or [np.zeros(0, np.float32)]),
    )


def coarse(sound: Samples) -> NDArray[np.float32]:
    """Samples of shape (n, 2) as `Heard.coarse` has them."""
    return _folded(sound.mean(axis=1), _FOLD)


def mute(heard: Heard, spoken: Sequence[Span]) -> list[Span]:
    """Where nothing is heard although somebody speaks, for half a second or for all that is said there.

    `spoken` are seconds in which voices are heard by themselves; short pauses between them belong to the speech.
    """
    found = []
    for start, end in closed([(round(a * RATE), round(b * RATE)) for a, b in spoken]):
        first, last = round(start / _HOP), min(round(end / _HOP), len(heard.level))
        shortest = max(1, min(round(SILENT_SECONDS * HOPS), last - first))
        silent = heard.level[first:last] < SILENT_DB
        found += [((first + a) / HOPS, (first + b) / HOPS) for a, b in stretches(silent.tolist(), shortest)]
    return found


def command(path: Path) -> Command:
    """Decode to interleaved float samples of two channels on standard output."""
    return Command(
        ("-xerror", "-i", local_input(path), "-map", "0:a:0", "-ar", str(RATE), "-ac", "2", "-f", "f32le", "pipe:1"),
        what=f"listen to {path.name}",
    )


def _blocks(path: Path) -> Iterator[Samples]:
    with reader(command(path)) as pipe:
        while data := pipe.read(_BLOCK * 8):
            yield np.frombuffer(data[:len(data) // 8 * 8], "<f4").reshape(-1, 2)


def _folded(samples: NDArray[np.float32], by: int) -> NDArray[np.float32]:
    """Means of `by` samples each; the last one may be of fewer."""
    whole = len(samples) // by * by
    means = samples[:whole].reshape(-1, by).mean(axis=1)
    rest = [samples[whole:].mean()] if whole < len(samples) else []
    return np.concatenate([means, np.array(rest, np.float32)]).astype(np.float32)


def _clipped(block: Samples) -> Iterator[Span]:
    full = np.abs(block) >= _FULL_SCALE
    for channel in full.T[full.any(axis=0)]:
        edges = np.flatnonzero(np.diff(channel, prepend=False, append=False)).reshape(-1, 2)
        for start, end in edges[edges[:, 1] - edges[:, 0] >= _CLIPPED_RUN]:
            yield float(start) / RATE, float(end) / RATE


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    current: Span | None = None
    for start, end in sorted(spans):
        if current is not None and start - current[1] <= _APART_S:
            current = current[0], max(end, current[1])
            continue
        if current is not None:
            yield current
        current = start, end
    if current is not None:
        yield current
