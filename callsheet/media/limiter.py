"""A limiter that sees the peaks between samples and can tell beforehand what it will cost in loudness.

All it needs to know of a sound is, for every 2 ms, the highest true peak and the energy: its profile. From
that follow the curve of its gain and the loudness after it, so a gain that reaches a target is found without
making the sound. Covers the profile, the curve and that gain; nothing is read or written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from callsheet.media.sound import RATE, Samples, blocks

Floats = NDArray[np.float32]

WINDOW = RATE // 500
"""Samples of a window: 2 ms."""

_ATTACK_DB = 1.0
_RELEASE_DB = 0.1
"""Fastest change of the gain in dB a window: down 1 dB in 2 ms before a peak, up 1 dB in 20 ms after it."""

_PHASES = 4
_SIDE = 8
_ROW = 16
"""True peaks are looked for at four times the rate, between 8 samples on either side, 16 samples at a time."""

_AT_A_TIME = 20
"""Windows whose matrices are small enough for the processor's cache, and not worth a second thread."""

_CHUNK = 1 << 16
_STEP = RATE // 10 // WINDOW
_SEARCH = 12
_CLOSE_DB = 0.02
MOST_EXTRA_DB = 6.0
"""More gain into the limiter than this would squash the sound for the sake of a figure."""


@dataclass(frozen=True)
class Profile:
    """Of every window of a sound, highest true peak (linear) and energy (sum of squares over both channels)."""

    peaks: Floats
    energies: Floats

    @property
    def silent(self) -> bool:
        return not self.peaks.any()

    @property
    def peak_db(self) -> float:
        """Highest true peak in dBTP; far below anything audible for silence."""
        return 20 * float(np.log10(max(self.peaks.max(initial=0.0), 1e-9)))


class Profiler:
    """Makes the profile of a sound that comes in pieces of shape (n, 2).

    Every piece but the last has a whole number of windows.
    """

    def __init__(self) -> None:
        self._before = np.zeros((2, 2 * _SIDE - 1), np.float32)
        self._peaks: list[Floats] = []
        self._energies: list[Floats] = []

    def add(self, piece: Samples) -> None:
        windows = -(-len(piece) // WINDOW)
        channels = np.zeros((2, windows * WINDOW), np.float32)
        channels[:, :len(piece)] = piece.T
        joined = np.concatenate([self._before, channels], axis=1)
        self._before = joined[:, -(2 * _SIDE - 1):].copy()
        shaped = channels.reshape(2, windows, WINDOW)
        self._energies.append(np.einsum("cws,cws->w", shaped, shaped))
        self._peaks.append(np.maximum(_true_peaks(joined[0]), _true_peaks(joined[1])))

    def profile(self) -> Profile:
        """What has come in; the sound ends here."""
        rest = np.concatenate([self._before, np.zeros((2, WINDOW), np.float32)], axis=1)
        after = max(_true_peaks(channel)[0] for channel in rest)
        if self._peaks:
            self._peaks[-1][-1] = max(self._peaks[-1][-1], after)
        nothing = [np.zeros(0, np.float32)]
        return Profile(np.concatenate(self._peaks or nothing), np.concatenate(self._energies or nothing))


@dataclass(frozen=True)
class Master:
    """A gain, and the limiter's gain on top of it at the edges of all windows (linear, one more than windows)."""

    gain_db: float
    edges: Floats

    @property
    def reduced_db(self) -> float:
        """How far the limiter goes down at most; 0 where it has nothing to do."""
        return max(0.0, -20 * float(np.log10(self.edges.min(initial=1.0))))

    def apply(self, piece: Samples, start: int) -> Samples:
        """`piece` begins at sample `start`, the first of a window."""
        level = np.float32(10 ** (self.gain_db / 20))
        windows = -(-len(piece) // WINDOW)
        edges = self.edges[start // WINDOW:start // WINDOW + windows + 1]
        if edges.min() == 1:
            return piece * level
        share = np.linspace(0, 1, WINDOW, endpoint=False, dtype=np.float32)
        gain = level * (edges[:-1, None] + np.diff(edges)[:, None] * share)
        return piece * gain.reshape(-1)[:len(piece), None]


def master(profile: Profile, gain_db: float, ceiling_dbtp: float) -> Master:
    """A gain, and what the limiter then does to keep true peaks at or below the ceiling."""
    with np.errstate(divide="ignore"):
        peaks_db = 20 * np.log10(profile.peaks)
    need = np.minimum(ceiling_dbtp - gain_db - peaks_db, 0).astype(np.float32)
    edges = np.zeros(len(need) + 1, np.float32)
    if need.any():
        _slow(need)
        edges[:-1] = need
        edges[1:] = np.minimum(edges[1:], need)        # both edges of a window are as low as it needs
        edges = _with_neighbours(edges, np.minimum)
        edges = _with_neighbours(edges, np.add) / np.float32(3)        # smooth, still nowhere above what is needed
    return Master(gain_db, np.power(np.float32(10), edges / 20))


def master_for(profile: Profile, lufs: float, target_lufs: float, ceiling_dbtp: float) -> tuple[Master, float]:
    """What brings a sound of `lufs` to the target below the ceiling, and the loudness it will come to.

    Sound whose peaks leave no room ends below the target.
    """
    wanted = gain = target_lufs - lufs
    before = _gated(profile.energies)
    for _ in range(_SEARCH):
        made = master(profile, gain, ceiling_dbtp)
        level: Floats = (made.edges[:-1] + made.edges[1:]) * np.float32(10 ** (gain / 20) / 2)
        reached = lufs + _gated(profile.energies * level**2) - before
        asked = min(gain + target_lufs - reached, wanted + MOST_EXTRA_DB)
        if abs(asked - gain) < _CLOSE_DB:
            break
        gain = asked
    return made, reached


def _true_peaks(channel: Floats) -> Floats:
    """Highest of each window, at four times the rate; the first 15 samples are those before the first window.

    Eight samples late, which the limiter's look-ahead covers.
    """
    windows = (len(channel) - 2 * _SIDE + 1) // WINDOW
    a_window = WINDOW // _ROW
    overlapping = as_strided(channel, (windows * a_window, _ROW + 2 * _SIDE - 1), (4 * _ROW, 4), writeable=False)
    peaks = np.empty(windows, np.float32)
    for first, end in blocks(windows, _AT_A_TIME):
        finer = (overlapping[first * a_window:end * a_window] @ _interpolation()).reshape(end - first, -1)
        np.maximum(finer.max(axis=1), -finer.min(axis=1), out=peaks[first:end])
    return peaks


@cache
def _interpolation() -> Floats:
    """Matrix from 31 samples to 16 of them and the three values after each: a windowed sinc."""
    matrix = np.zeros((_ROW + 2 * _SIDE - 1, _ROW, _PHASES))
    taps = np.arange(-_SIDE + 1, _SIDE + 1)
    for phase in range(_PHASES):
        away = taps - phase / _PHASES
        window = np.i0(5 * np.sqrt(np.clip(1 - (away / _SIDE) ** 2, 0, 1))) / np.i0(5)
        kernel = np.sinc(away) * window
        for n in range(_ROW):
            matrix[n:n + 2 * _SIDE, n, phase] = kernel / kernel.sum()
    return matrix.reshape(len(matrix), -1).astype(np.float32)


def _slow(need: Floats) -> None:
    """Lower `need`, in place and in chunks, until it changes no faster than attack and release allow."""
    for values, speed in ((need, _RELEASE_DB), (need[::-1], _ATTACK_DB)):
        last = 0.0
        for start in range(0, len(values), _CHUNK):
            chunk = values[start:start + _CHUNK]
            steps = speed * np.arange(1, len(chunk) + 1)
            lowest = np.minimum.accumulate(np.concatenate([[last], chunk - steps]))[1:]
            chunk[:] = lowest + steps
            last = float(chunk[-1])


def _with_neighbours(edges: Floats, what: np.ufunc) -> Floats:
    """`what` of each edge and its two neighbours."""
    outer = np.pad(edges, 1, mode="edge")
    found: Floats = what(what(outer[:-2], outer[2:]), edges)
    return found


def _gated(energies: Floats) -> float:
    """Loudness with the gates of BS.1770, but without its weighting: good for the difference of two."""
    count = len(energies) // _STEP
    if count < 4:
        mean = float(energies.sum()) / max(1, len(energies) * WINDOW)
        return float(-0.691 + 10 * np.log10(mean + 1e-12))
    steps = energies[:count * _STEP].reshape(count, _STEP).sum(axis=1, dtype=np.float64) / (_STEP * WINDOW)
    power = np.convolve(steps, np.full(4, 0.25), "valid")
    power = power[power > 10 ** ((-70 + 0.691) / 10)]
    if not len(power):
        return -70.0
    loud = power[power > power.mean() / 10]
    return float(-0.691 + 10 * np.log10(loud.mean()))
