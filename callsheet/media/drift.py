"""Whether voices are heard when they should be: the delivered sound against each voice that went in.

Streams of equal length say nothing about that; a cross-correlation does, also under music and effects. Each
voice is compared in pieces, so that sound which runs too fast shows as well. Pure numpy.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callsheet.media.hearing import COARSE_RATE, Span

Sound = NDArray[np.float32]

TOLERANCE_S = 0.040
"""Later or earlier than this is noticed by whoever watches lips."""

REACH_S = 1.5
"""So far from its place a voice is looked for."""

_PIECE_S = 1.5
_SHORTEST_S = 0.3
_QUIETEST = 10 ** (-45 / 20)
_BAND_HZ = (150, 3600)
_CLEAR = 8.0
"""A peak counts when it is so many times what there is elsewhere (of noise: 4 to 5; of a voice in music: 30)."""
_SURE = 20.0
"""Out of place it has to be clearer: in music alone there is 17 somewhere, but hardly just where it should be."""
_AS_GOOD = 0.75
"""Of peaks almost as high, the one nearest to the plan is meant: the same words can be said twice."""
_NEAR_S = 0.025


@dataclass(frozen=True)
class Placed:
    """One piece of a voice, in seconds of the film, and how much later than planned it is heard."""

    start: float
    end: float
    late: float
    """Seconds; negative is early."""


def places(film: Sound, voice: Sound, start: float) -> Iterator[Placed]:
    """Where the pieces of a voice are heard that can be found at all: long, loud and clear enough.

    Both sounds are mono at `COARSE_RATE`; `start` is when the voice is planned, in seconds of the film.
    """
    begin = round(start * COARSE_RATE)
    first, last = max(0, -begin), min(len(voice), len(film) - begin)
    for a, b in _pieces(first, last):
        piece = voice[a:b]
        if np.sqrt(np.square(piece).mean()) < _QUIETEST:
            continue
        late = _late(film, piece, begin + a)
        if late is not None:
            yield Placed((begin + a) / COARSE_RATE, (begin + b) / COARSE_RATE, late)


def drifting(placed: Sequence[Placed]) -> Span | None:
    """From where to where sound is out of place, or runs away; None where it is in time."""
    off = [piece for piece in placed if abs(piece.late) > TOLERANCE_S]
    if not off and placed and max(p.late for p in placed) - min(p.late for p in placed) > TOLERANCE_S:
        off = list(placed)                             # early at one end and late at the other
    return (min(p.start for p in off), max(p.end for p in off)) if off else None


def worst(placed: Iterable[Placed]) -> float | None:
    """The offset farthest from the plan, in seconds; None where nothing could be measured."""
    return max((piece.late for piece in placed), key=abs, default=None)


def _pieces(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Parts of about `_PIECE_S`, all of a length."""
    count = max(1, round((last - first) / (_PIECE_S * COARSE_RATE)))
    bounds = np.linspace(first, last, count + 1).astype(int).tolist()
    for a, b in itertools.pairwise(bounds):
        if b - a >= _SHORTEST_S * COARSE_RATE:
            yield a, b


def _late(film: Sound, piece: Sound, begin: int) -> float | None:
    """How much later than sample `begin` a piece is heard, in seconds; None where it cannot be told."""
    reach = round(REACH_S * COARSE_RATE)
    around = np.zeros(len(piece) + 2 * reach, np.float32)
    first, last = max(0, begin - reach), min(len(film), begin + len(piece) + reach)
    if first >= last:
        return None
    around[first - begin + reach:last - begin + reach] = film[first:last]
    likeness = _likeness(around, piece)[:2 * reach + 1]
    elsewhere = np.median(likeness) / 0.6745           # as the deviation of noise would be
    if elsewhere <= 0 or likeness.max() < _CLEAR * elsewhere:
        return None
    good = np.flatnonzero(likeness >= _AS_GOOD * likeness.max()) - reach
    nearest = int(good[np.abs(good).argmin()]) + reach
    near = round(_NEAR_S * COARSE_RATE)
    window = likeness[max(0, nearest - near):nearest + near + 1]
    late = (max(0, nearest - near) + int(window.argmax()) - reach) / COARSE_RATE
    return late if abs(late) <= TOLERANCE_S or window.max() >= _SURE * elsewhere else None


def _likeness(around: Sound, piece: Sound) -> NDArray[np.float64]:
    """Correlation at each shift of `piece` within `around`, its spectrum half whitened: tones count less."""
    size = 1 << (len(around) + len(piece) - 1).bit_length()
    cross = np.fft.rfft(around, size) * np.conj(np.fft.rfft(piece, size))
    hertz = np.fft.rfftfreq(size, 1 / COARSE_RATE)
    cross[(hertz < _BAND_HZ[0]) | (hertz > _BAND_HZ[1])] = 0
    weight = np.sqrt(np.abs(cross))
    flat = np.divide(cross, weight, out=np.zeros_like(cross), where=weight > 0)
    return np.abs(np.fft.irfft(flat, size))
