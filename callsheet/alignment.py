"""When each word and phone of a spoken line is heard, and the mouth that goes with a phone.

Pure values: speech/align.py finds them, captions highlight by the words, lip-sync follows the phones. Phones
are ARPAbet without stress marks, as in the CMU pronouncing dictionary; `SIL` is silence.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import model_validator

from callsheet.models import SpokenWord
from callsheet.units import Frozen, Seconds

SILENCE = "SIL"


class Phone(Frozen):
    """One sound of speech, in seconds of its line."""

    symbol: str
    start: Seconds
    end: Seconds


class Alignment(Frozen):
    """A line's words and phones in order of time, both within the line, neither overlapping its neighbours."""

    words: tuple[SpokenWord, ...]
    """Together they hold every visible letter of the line. One that is not spoken has no length."""
    phones: tuple[Phone, ...] = ()
    """From the line's beginning to its end. Empty where no aligner knows the language: lip-sync then follows the
    loudness."""
    method: Literal["aligned", "engine", "estimated"]
    """Forced alignment with an acoustic model; the speech engine's own times; or spread by length."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for what, parts in (("word", self.words), ("phone", self.phones)):
            times = [t for part in parts for t in (part.start, part.end)]
            if any(later < earlier for earlier, later in pairwise(times)):
                raise ValueError(f"a {what} begins before the one before it has ended, or ends before it begins")
        return self


def words_in(facts: Mapping[str, Any]) -> tuple[SpokenWord, ...]:
    """The words that the facts of an alignment's record tell."""
    return tuple(SpokenWord(text=text, start=start, end=end) for text, start, end in facts["words"])


@dataclass(frozen=True)
class MouthShape:
    """A mouth at one moment; each 0 to 1."""

    opened: float
    """0 lips closed, 1 as far as an open vowel."""
    spread: float
    """Corners drawn apart, as in `ee`."""
    rounded: float
    """Lips pushed forward, as in `oo`."""


CLOSED = MouthShape(0.0, 0.0, 0.0)

_SHAPES: Mapping[MouthShape, str] = MappingProxyType({
    CLOSED: f"{SILENCE} P B M",
    MouthShape(0.14, 0.25, 0.0): "F V",
    MouthShape(0.20, 0.35, 0.0): "S Z T D N L TH DH",
    MouthShape(0.22, 0.10, 0.45): "SH ZH CH JH R ER",
    MouthShape(0.30, 0.20, 0.0): "K G NG HH Y",
    MouthShape(0.32, 0.85, 0.0): "IY IH EY",
    MouthShape(0.55, 0.50, 0.0): "EH AE AY",
    MouthShape(0.95, 0.25, 0.0): "AA AH AW",
    MouthShape(0.60, 0.0, 0.70): "AO OW OY",
    MouthShape(0.30, 0.0, 1.0): "UW UH W",
})
SHAPES: Mapping[str, MouthShape] = MappingProxyType(
    {symbol: shape for shape, symbols in _SHAPES.items() for symbol in symbols.split()}
)
"""Mouth of each phone. Closed lips of P, B, M are what a viewer notices first when they are missing."""

BLEND_S = 0.07
"""A mouth is on its way from one phone to the next for so long, half of it on either side; of a shorter phone
it takes half, so that each is reached: lips that should close do."""


def mouth_at(phones: Sequence[Phone], seconds: float) -> MouthShape:
    """The mouth at a moment of the line: the phone's own, blended into its neighbours near its edges.

    Closed before the first and after the last phone, between phones that do not touch, and for a symbol that
    is unknown.
    """
    here, start, end = _around(phones, seconds)
    before, earliest, _ = _around(phones, math.nextafter(start, -math.inf))
    after, _, latest = _around(phones, end)
    leaving, arriving = (min(BLEND_S, end - start, other) / 2 for other in (start - earliest, latest - end))
    if seconds - start < leaving:
        return _between(before, here, 0.5 + (seconds - start) / leaving / 2)
    if end - seconds < arriving:
        return _between(here, after, 0.5 - (end - seconds) / arriving / 2)
    return here


def _around(phones: Sequence[Phone], seconds: float) -> tuple[MouthShape, float, float]:
    """The phone, or the silence between two, that holds a moment: its mouth, its start and its end."""
    n = bisect_right(phones, seconds, key=lambda phone: phone.start) - 1
    if n >= 0 and seconds < phones[n].end:
        return SHAPES.get(phones[n].symbol, CLOSED), phones[n].start, phones[n].end
    return CLOSED, phones[n].end if n >= 0 else -math.inf, phones[n + 1].start if n + 1 < len(phones) else math.inf


def _between(one: MouthShape, other: MouthShape, share: float) -> MouthShape:
    return MouthShape(
        one.opened + (other.opened - one.opened) * share,
        one.spread + (other.spread - one.spread) * share,
        one.rounded + (other.rounded - one.rounded) * share,
    )
