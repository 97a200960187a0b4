"""Measurements on speech: what a test can hear."""

from __future__ import annotations

import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
"""Mono, from -1 to 1."""


def listen(path: Path) -> tuple[Signal, int]:
    """Signal and sample rate of a WAV that must be mono and 16 bit."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2), f"{path.name}: {file.getparams()}"
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768.0, file.getframerate()


def rms_db(signal: Signal) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(signal**2)) + 1e-12))


def pitch(signal: Signal, rate: int) -> float:
    """Median fundamental of the voiced frames by autocorrelation, in Hz between 60 and 450."""
    size, found = 1024, []
    for at in range(0, len(signal) - size, size // 2):
        frame = signal[at:at + size]
        if rms_db(frame) < -34:
            continue
        power = np.abs(np.fft.rfft(frame - frame.mean(), 2 * size)) ** 2
        likeness = np.fft.irfft(power)[:size]
        low, high = rate // 450, rate // 60
        lag = low + int(likeness[low:high].argmax())
        if likeness[lag] > 0.4 * likeness[0]:
            found.append(rate / lag)
    assert found, "no voiced sound"
    return float(np.median(found))


def timbre(signal: Signal, rate: int) -> NDArray[np.float64]:
    """Average level in 24 bands from 100 to 8000 Hz, in dB with a mean of 0: what a voice sounds like."""
    power = np.abs(np.fft.rfft(signal)) ** 2
    hertz = np.fft.rfftfreq(len(signal), 1 / rate)
    edges = np.geomspace(100, 8000, 25)
    bands = [power[(hertz >= a) & (hertz < b)].mean() for a, b in pairwise(edges)]
    levels = 10 * np.log10(np.array(bands) + 1e-12)
    return np.asarray(levels - levels.mean())


def silences(signal: Signal, rate: int) -> tuple[float, float]:
    """Seconds before the first and after the last sample of at least 1/200 of the peak."""
    audible = np.flatnonzero(np.abs(signal) >= np.abs(signal).max() / 200)
    return float(audible[0] / rate), float((len(signal) - 1 - audible[-1]) / rate)
