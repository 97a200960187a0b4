"""What is shown from moment to moment: cues that overlap, and the words that are being spoken.

Pure functions over cues. There is one value for every change that a viewer sees, not one a frame.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from callsheet.cues import letters, visible_lines
from callsheet.graphemes import solid
from callsheet.models import Cue


@dataclass(frozen=True)
class Shown:
    """What is to be seen from `start` to `end`, in seconds; `lit` is highlighted."""

    start: float
    end: float
    lines: tuple[str, ...]
    lit: tuple[tuple[int, int], ...]
    """Ranges [first, last) of the lines' letters, counted without white space."""


def one_at_a_time(cues: Iterable[Cue], karaoke: bool) -> list[Shown]:
    """The same picture at every moment, without overlaps: cues shown together become one of several lines."""
    lined = [(cue, visible_lines(cue.text), _words(cue) if karaoke else ()) for cue in cues]
    lined = [(cue, lines, words) for cue, lines, words in lined if lines]
    moments = {t for cue, _, _ in lined for t in (cue.start, cue.end)}
    moments |= {t for cue, _, words in lined for word in words for t in (word.start, word.end)
                if cue.start < t < cue.end}
    flat: list[Shown] = []
    for start, end in itertools.pairwise(sorted(moments)):
        now = [(lines, words) for cue, lines, words in lined if cue.start <= start and cue.end >= end]
        if not now:
            continue
        lit, at = [], 0
        for lines, words in now:
            lit += [(at + word.first, at + word.last) for word in words if word.start <= start and word.end >= end]
            at += sum(len(solid(line)) for line in lines)
        shown = Shown(start, end, tuple(line for lines, _ in now for line in lines), tuple(lit))
        if flat and (flat[-1].end, flat[-1].lines, flat[-1].lit) == (start, shown.lines, shown.lit):
            shown = Shown(flat.pop().start, end, shown.lines, shown.lit)
        flat.append(shown)
    return flat


def unlit(cues: Iterable[Cue]) -> int:
    """How many cues karaoke cannot highlight, because nobody knows when their words are heard."""
    return sum(1 for cue in cues if letters(cue.text) and not _words(cue))


@dataclass(frozen=True)
class _Word:
    """When letters `first` to `last` of a cue are spoken."""

    first: int
    last: int
    start: float
    end: float


def _words(cue: Cue) -> tuple[_Word, ...]:
    """Empty where the words are not those of the cue's text."""
    if "".join(letters(word.text) for word in cue.words) != letters(cue.text):
        return ()
    ends = list(itertools.accumulate(len(letters(word.text)) for word in cue.words))
    return tuple(
        _Word(first, last, word.start, word.end)
        for word, first, last in zip(cue.words, [0, *ends], ends, strict=False)
    )
