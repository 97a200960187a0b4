"""Where somebody speaks in a recording.

An energy gate that sets itself: below the loud parts by a fixed distance, and above a steady background noise
where there is one. It knows nothing of words: what is loud enough is speech. Ends of speech are exact to the
sample in a clean recording. Reads in pieces; for an hour it keeps 3 MB.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from callsheet.media.sound import RATE, Sound, blocks

Span = tuple[int, int]
"""First sample, and the one after the last."""

HOP = RATE // 200
"""Levels are taken every 5 ms."""

PAUSE_SECONDS = 0.35
"""Shorter pauses belong to the speech around them, so that music does not pump between words."""

BELOW_SPEECH_DB = -35.0
"""Gate of a clean voice, against its loud parts."""

ABOVE_NOISE_DB = 5.0
"""Gate of a noisy one, against the louder moments of the noise."""

SILENCE_DBFS = -85.0
"""Nothing below it is speech, however quiet the rest."""

_LEAST_CONTRAST_DB = 10.0
"""Noise is at least so far below the loud parts; what is closer may be speech too."""

_STEADY_DB = 5.0
_STEADY_FRAMES = 8
_FRAME = 10
"""Noise keeps within 5 dB for 0.4 s, in frames of 10 hops; speech does not."""

_UNDERCUT = 0.05
"""Share of frames that may be quieter than the noise floor."""

_FAINT_DBFS = -45.0
"""A recording that goes on without any ups and downs is a voice when it is louder (a test tone), else an empty room."""

_DIGITAL_SILENCE_DBFS = -110.0

_READ = HOP * 2000


def speech_spans(voice: Sound) -> list[Span]:
    """Where a voice is heard, in its own samples, in order; pauses of up to PAUSE_SECONDS are within."""
    levels = hop_levels(voice)
    threshold = gate(levels)
    if threshold is None:
        return []
    edges = np.flatnonzero(np.diff(levels > threshold, prepend=False, append=False)).reshape(-1, 2)
    rough = closed((int(a) * HOP, min(int(b) * HOP, len(voice))) for a, b in edges)
    return [_trimmed(voice, span, 10 ** (threshold / 20)) for span in rough]


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


def hop_levels(voice: Sound) -> NDArray[np.float32]:
    """Power of each 5 ms in dB against full scale, -120 in silence; the last hop may be a shorter one."""
    parts = [np.empty(0, np.float32)]
    for start, end in blocks(len(voice), _READ):
        samples = voice.read(start, end)
        whole = -(-len(samples) // HOP) * HOP
        padded = np.zeros((whole, samples.shape[1]), np.float32)
        padded[:len(samples)] = samples
        hops = padded.reshape(whole // HOP, -1)
        power = np.einsum("ij,ij->i", hops, hops) / hops.shape[1]
        parts.append((10 * np.log10(power + 1e-12)).astype(np.float32))
    return np.concatenate(parts)


def gate(levels: NDArray[np.float32]) -> float | None:
    """The level in dBFS above which a recording with these hops is speech; None when none of it is."""
    audible = levels[levels > SILENCE_DBFS]
    if not len(audible):
        return None
    loud = float(np.percentile(audible, 95))
    frames = _frames(levels)
    if loud < _FAINT_DBFS and len(frames) >= max(_STEADY_FRAMES, 0.9 * len(levels) / _FRAME):
        low, high = np.percentile(frames, (5, 95))
        if high - low < _STEADY_DB:
            return None
    threshold = max(SILENCE_DBFS, loud + BELOW_SPEECH_DB)
    noise = _noise(levels, frames, loud)
    return threshold if noise is None else max(threshold, min(noise + ABOVE_NOISE_DB, loud - _LEAST_CONTRAST_DB / 2))


def _frames(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean power of every ten hops in dB, without those in digital silence (before a recording, say)."""
    count = len(levels) // _FRAME
    power = np.power(10.0, levels[:count * _FRAME] / 10).reshape(count, _FRAME).mean(axis=1)
    found: NDArray[np.float32] = (10 * np.log10(power)).astype(np.float32)
    return found[found > _DIGITAL_SILENCE_DBFS]


def _noise(levels: NDArray[np.float32], frames: NDArray[np.float32], loud: float) -> float | None:
    """Level of the louder moments of a steady noise that is under everything else, None where there is none."""
    if len(frames) < _STEADY_FRAMES:
        return None
    windows = sliding_window_view(frames, _STEADY_FRAMES)
    highest = windows.max(axis=1)
    steady = (highest - windows.min(axis=1) < _STEADY_DB) & (highest < loud - _LEAST_CONTRAST_DB)
    if not steady.any():
        return None
    floor = float(np.median(highest[steady]))
    if np.mean(frames < floor - _STEADY_DB) > _UNDERCUT:   # there is something quieter: it was no floor
        return None
    near = levels[np.abs(levels - floor) < _STEADY_DB]
    return float(np.percentile(near, 95)) if len(near) else floor


def _trimmed(voice: Sound, span: Span, amplitude: float) -> Span:
    """The span from its first to its last sample above the gate: within a hop of where it was."""
    first, last = max(span[0] - HOP, 0), min(span[1] + HOP, len(voice))
    head = np.flatnonzero(np.abs(voice.read(first, min(first + 2 * HOP, last))).max(axis=1) > amplitude)
    tail_from = max(last - 2 * HOP, first)
    tail = np.flatnonzero(np.abs(voice.read(tail_from, last)).max(axis=1) > amplitude)
    start = first + int(head[0]) if len(head) else span[0]
    end = tail_from + int(tail[-1]) + 1 if len(tail) else span[1]
    return (start, end) if start < end else span
