"""A spoken line as samples: its silences, and its file. Every engine's speech ends up here.

Covers trimming to fixed silences, so that a line can be placed to the millisecond, one level for all voices, so
that no character of a dialogue drowns, and reading and writing mono 16-bit WAV.
"""

from __future__ import annotations

import wave
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]
"""Mono, 16 bit, one dimension."""

LEAD_S = 0.030
"""Silence before the first sound."""

TAIL_S = 0.080
"""Silence after the last sound."""

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
