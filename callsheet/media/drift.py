"""Whether voices are heard when they should be: the delivered sound against each voice that went in.

Streams of equal length say nothing about that; a cross-correlation does, also under music and effects. Each
voice is compared in pieces, so that sound which runs too fast shows as well; and a voice of which no piece is
found, though it would be loud enough, is missing. Pure numpy.
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
_SMOOTH = 9
"""Values of a spectrum that are taken together."""
_CLEAR = 8.0
"""A peak counts when it is so many times what there is elsewhere (of noise: 4 to 5; of a voice in music: 30)."""
_SURE = 20.0
"""Out of place it has to be clearer: in music alone there is 17 somewhere, but hardly just where it should be."""
_AS_GOOD = 0.75
"""Of peaks almost as high, the one nearest to the plan is meant: the same words can be said twice."""
_NEAR_S = 0.025
_SHARE = 0.35
"""Of a voice that is there at least half shows (12 dB under music, rain or a crowd); in its absence of music and
effects up to 0.3, of another voice that says something else 0.1 (0.4 once in 1800 times)."""
_COVERED = 10 ** (-9 / 20)
"""A voice that is so far below what else is heard may be there and not be found."""


@dataclass(frozen=True)
class Placed:
    """One piece of a voice, in seconds of the film, and how much later than planned it is heard."""

    start: float
    end: float
    late: float
    """Seconds; negative is early."""
    gain: float = 1.0
    """By how much louder the film has it than the voice itself is, as a factor."""
    level: float = 1.0
    """The voice itself against all that the film has there, as a factor of amplitude."""


@dataclass(frozen=True)
class Lost:
    """One piece of a voice, in seconds of the film, that was looked for and not found."""

    start: float
    end: float
    gain: float
    """As that of Placed, of what is most like it where it should be."""
    level: float


Line = Sequence[Placed | Lost]
"""What came of a voice."""


def seek(film: Sound, voice: Sound, start: float) -> Iterator[Placed | Lost]:
    """What came of each piece of a voice that is long and loud enough to be looked for.

    Both sounds are mono at `COARSE_RATE`; `start` is when the voice is planned, in seconds of the film.
    """
    begin = round(start * COARSE_RATE)
    first, last = max(0, -begin), min(len(voice), len(film) - begin)
    for a, b in _pieces(first, last):
        if _rms(voice[a:b]) >= _QUIETEST:
            yield _sought(film, voice[a:b], begin + a)


def heard(lines: Iterable[Line], gain: float | None = None) -> Iterator[Placed]:
    """Pieces of all lines that are heard somewhere; not those that are found by chance, in another voice, say.

    `gain` is by how much louder the film has voices than they are, as a factor. None: nobody knows.
    """
    return (piece for line in lines for piece in line if isinstance(piece, Placed) and _is_there(piece, gain))


def missing(lines: Iterable[Line], gain: float | None = None) -> Iterator[Span]:
    """From where to where lines should be heard of which nothing is there.

    A line that is covered by what else is heard is not told: that cannot be known.
    """
    for line in lines:
        there = [_is_there(piece, gain) for piece in line]
        if False in there and True not in there:
            yield line[0].start, line[-1].end


def _is_there(piece: Placed | Lost, gain: float | None) -> bool | None:
    """None where it cannot be known."""
    least = _COVERED / piece.level                     # what is heard has at least that gain
    if gain is not None and gain < least:
        return True if isinstance(piece, Placed) else None
    return piece.gain >= _SHARE * (least if gain is None else gain)


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


def _sought(film: Sound, piece: Sound, begin: int) -> Placed | Lost:
    """Looks for a piece that is planned at sample `begin`."""
    start, end = begin / COARSE_RATE, (begin + len(piece)) / COARSE_RATE
    reach = round(REACH_S * COARSE_RATE)
    around = np.zeros(len(piece) + 2 * reach, np.float32)
    first, last = max(0, begin - reach), min(len(film), begin + len(piece) + reach)
    around[first - begin + reach:last - begin + reach] = film[first:last]
    likeness = _likeness(around, piece)[:2 * reach + 1]
    elsewhere = float(np.median(likeness)) / 0.6745    # as the deviation of noise would be
    found = _late(likeness, elsewhere) if elsewhere > 0 else None
    place, slack = reach + (found or 0), round(TOLERANCE_S * COARSE_RATE)
    level = _rms(piece) / max(_rms(around[place:place + len(piece)]), 1e-9)
    gain = _gain(around[place - slack:place + len(piece) + slack], piece)
    return Lost(start, end, gain, level) if found is None else Placed(start, end, found / COARSE_RATE, gain, level)


def _late(likeness: NDArray[np.float64], elsewhere: float) -> int | None:
    """How many samples after its place, the middle, a piece is heard; None where it cannot be told."""
    reach = len(likeness) // 2
    if likeness.max() < _CLEAR * elsewhere:
        return None
    good = np.flatnonzero(likeness >= _AS_GOOD * likeness.max()) - reach
    nearest = int(good[np.abs(good).argmin()]) + reach
    near = round(_NEAR_S * COARSE_RATE)
    window = likeness[max(0, nearest - near):nearest + near + 1]
    late = max(0, nearest - near) + int(window.argmax()) - reach
    return late if abs(late) <= TOLERANCE_S * COARSE_RATE or window.max() >= _SURE * elsewhere else None


def _rms(sound: Sound) -> float:
    return float(np.sqrt(np.square(sound).mean()))


def _gain(around: Sound, piece: Sound) -> float:
    """By how much louder than itself a piece is in what is around it, at most. Loud tones of others count less."""
    size = 1 << (len(around) + len(piece) - 1).bit_length()
    sound, voice = np.fft.rfft(around, size), np.fft.rfft(piece, size)
    power = np.convolve(np.square(np.abs(sound)), np.full(_SMOOTH, 1 / _SMOOTH), "same")
    weight = np.where(_heard_hertz(size) & (power > 0), 1 / np.sqrt(np.maximum(power, 1e-20)), 0.0)
    itself = np.fft.irfft(np.square(np.abs(voice)) * weight, size)[0]
    shifts = np.fft.irfft(sound * np.conj(voice) * weight, size)[:len(around) - len(piece) + 1]
    return float(shifts.max(initial=0.0) / itself) if itself > 0 else 0.0


def _heard_hertz(size: int) -> NDArray[np.bool_]:
    """Which of a spectrum's values lie in the band of speech."""
    hertz = np.fft.rfftfreq(size, 1 / COARSE_RATE)
    return np.asarray((hertz >= _BAND_HZ[0]) & (hertz <= _BAND_HZ[1]))


def _likeness(around: Sound, piece: Sound) -> NDArray[np.float64]:
    """Correlation at each shift of `piece` within `around`, its spectrum half whitened: tones count less."""
    size = 1 << (len(around) + len(piece) - 1).bit_length()
    cross = np.fft.rfft(around, size) * np.conj(np.fft.rfft(piece, size))
    cross[~_heard_hertz(size)] = 0
    weight = np.sqrt(np.abs(cross))
    flat = np.divide(cross, weight, out=np.zeros_like(cross), where=weight > 0)
    return np.abs(np.fft.irfft(flat, size))
