"""A spoken line as samples: its silences, and its file. Every engine's speech ends up here.

Covers trimming to fixed silences, so that a line can be placed to the millisecond, one level for all voices, so
that no character of a dialogue drowns, and reading and writing mono 16-bit WAV.
"""

from __future__ import annotations

import itertools
import wave
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]
"""Mono, 16 bit, one dimension."""

Shares: TypeAlias = NDArray[np.float64]

LEAD_S = 0.030
"""Silence before the first sound."""

TAIL_S = 0.080
"""Silence after the last sound."""

PAUSE_S = 0.15
"""Shorter silences are part of speech: stops such as p and k."""

_FLOOR = 16
"""A louder sample than this (-66 dBFS) there must be, or nothing was said."""

_AUDIBLE = 1 / 200
"""Sound begins and ends at this share of the peak, -46 dB: below is breath and noise."""


LEVEL_DBFS = -16.0
"""RMS of the voiced part; espeak-ng's own voices differ by 9 dB."""

_VOICED = 0.1
"""Share of the peak above which a sample counts as voiced."""

_HIGHEST_PEAK = 0.95


def trim(samples: Samples, rate: int) -> tuple[Samples, float]:
    """The line between exactly LEAD_S and TAIL_S, and how many seconds later its sounds now are.

    The second value is negative when silence was cut off the front. Empty samples for pure silence.
    """
    level = np.abs(samples.astype(np.int32))
    peak = int(level.max(initial=0))
    if peak < _FLOOR:
        return samples[:0], 0.0
    audible = np.flatnonzero(level >= peak * _AUDIBLE)
    lead, tail = round(LEAD_S * rate), round(TAIL_S * rate)
    start, stop = int(audible[0]) - lead, int(audible[-1]) + 1 + tail
    kept = samples[max(start, 0):stop]
    return np.pad(kept, (max(-start, 0), max(stop - len(samples), 0))), -start / rate


def levelled(samples: Samples) -> Samples:
    """The line with its voiced part at LEVEL_DBFS, or as near as its highest peak allows."""
    level = np.abs(samples.astype(np.float64)) / 32768
    peak = float(level.max(initial=0))
    if peak == 0:
        return samples
    voiced = level[level >= peak * _VOICED]
    gain = min(10 ** (LEVEL_DBFS / 20) / float(np.sqrt(np.mean(voiced**2))), _HIGHEST_PEAK / peak)
    return np.round(samples * gain).astype(np.int16)


def voiced_clock(samples: Samples, rate: int) -> tuple[Shares, Shares]:
    """A clock that stands still in pauses: shares of all speech from 0 to 1, and the seconds they are reached at.

    Pauses are at least PAUSE_S of silence. For silence throughout it runs evenly.
    """
    size = max(1, rate // 100)
    frames = np.abs(samples[:len(samples) // size * size].astype(np.int32)).reshape(-1, size).max(axis=1, initial=0)
    loud = np.flatnonzero(frames >= max(_FLOOR, int(frames.max(initial=0)) * _AUDIBLE))
    if not loud.size:
        return np.array([0.0, 1.0]), np.array([0.0, len(samples) / rate])
    spoken = np.zeros(len(frames))
    for before, after in itertools.pairwise([loud[0], *loud]):
        spoken[before if after - before < PAUSE_S * 100 else after:after + 1] = 1
    shares = np.concatenate([[0.0], np.cumsum(spoken)]) / spoken.sum()
    return shares, np.arange(len(frames) + 1) * size / rate


def write_wav(path: Path, samples: Samples, rate: int) -> Path:
    """Mono 16-bit WAV; a whole file or none."""
    partial = path.with_name(f"{path.name}.partial")
    with wave.open(str(partial), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.astype("<i2").tobytes())
    return partial.replace(path)


def read_wav(path: Path) -> tuple[Samples, int]:
    """Samples and rate of a mono 16-bit WAV of our own making. Raises wave.Error."""
    with wave.open(str(path), "rb") as file:
        if (file.getnchannels(), file.getsampwidth()) != (1, 2):
            raise wave.Error(f"{path.name} is not mono 16 bit")
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16), file.getframerate()
