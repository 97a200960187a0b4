"""Cues: dialogue as captions with times, and the cues of a film as one clip sees them. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from callsheet.errors import MediaError
from callsheet.graphemes import columns, solid
from callsheet.models import Cue, SpokenWord
from callsheet.wrapping import captions_of

JOINED_S = 0.4
"""A shorter pause between two captions is not shown: the first stays until the second."""

HELD_S = 0.3
"""How long a caption stays after its last word, where nothing follows."""

READ_COLUMNS_PER_S = 20
"""A caption stays long enough to be read at this speed, where nothing follows."""

SHORTEST_S = 0.1
"""Words that leave a caption less than this cannot be right: their times are then not used."""


def shifted(cues: Iterable[Cue], start: float, end: float) -> tuple[Cue, ...]:
    """The cues of a film as seen by a clip that runs from `start` to `end` seconds of it.

    Times become the clip's own; cues are cut at its edges, and those outside (or left with less than a
    millisecond) are not returned. A word that is not heard in the clip has no length there: it keeps its
    place in the text, and is never highlighted.
    """
    inside = []
    for cue in cues:
        first, last = max(cue.start, start), min(cue.end, end)
        if last - first >= 0.001:
            words = tuple(_between(word, first, last, -start) for word in cue.words)
            inside.append(Cue(text=cue.text, start=first - start, end=last - start, words=words))
    return tuple(inside)


def cues_for(text: str, start: float, end: float, words: Sequence[SpokenWord] = ()) -> tuple[Cue, ...]:
    """What is said from `start` to `end` seconds, as captions of at most two lines of 42 columns.

    With `words` in seconds from `start`, each caption begins with its first word and carries its words; it
    ends with its last one, or a little later where nothing follows. Words that are not those of the text are
    not used. Without them cues follow each other without gaps and last in proportion to their length; a wide
    (CJK) character counts two columns. Empty for text without a visible character. Raises MediaError when
    `end` is not after `start`.
    """
    if end <= start:
        raise MediaError(what="caption a line", detail=f"it ends at {end} s but starts at {start} s")
    parts = captions_of(" ".join(visible_lines(text)))
    heard = _shares(parts, [_between(word, 0.0, end - start, start) for word in words])
    return tuple(_spoken(parts, heard, end)) or tuple(_spread(parts, start, end))


def _spoken(parts: Sequence[str], heard: Sequence[Sequence[SpokenWord]], end: float) -> list[Cue]:
    """Parts as long as their words are heard; empty when that is not known, or cannot be."""
    cues: list[Cue] = []
    for n, (part, words) in enumerate(zip(parts, heard, strict=False)):
        limit = heard[n + 1][0].start if n + 1 < len(heard) else end
        first, last = words[0].start, words[-1].end
        wanted = max(last + HELD_S, first + columns(part) / READ_COLUMNS_PER_S)
        last = limit if limit - last < JOINED_S else min(limit, wanted)
        if last - first < SHORTEST_S:
            return []
        cues.append(Cue(text=part, start=first, end=last, words=tuple(words)))
    return cues


def _spread(parts: Sequence[str], start: float, end: float) -> Iterator[Cue]:
    shares = [max(1, columns(part)) for part in parts]
    total, spoken = sum(shares), 0
    for part, share in zip(parts, shares, strict=True):
        first = start + (end - start) * spoken / total
        spoken += share
        last = end if spoken == total else start + (end - start) * spoken / total
        yield Cue(text=part, start=first, end=last)


def _shares(parts: Sequence[str], words: Sequence[SpokenWord]) -> list[list[SpokenWord]]:
    """The words of each part, one that reaches into the next part cut in two; empty when they are not its words."""
    left = [word for word in words if letters(word.text)]
    if "".join(letters(word.text) for word in left) != "".join(map(letters, parts)):
        return []
    shares: list[list[SpokenWord]] = []
    for part in parts:
        share: list[SpokenWord] = []
        room = len(letters(part))
        while room > 0:
            word = left.pop(0)
            text = letters(word.text)
            if len(text) > room:
                middle = round(word.start + (word.end - word.start) * room / len(text), 3)
                left.insert(0, SpokenWord(text=text[room:], start=middle, end=word.end))
                word = SpokenWord(text=text[:room], start=word.start, end=middle)
            room -= len(text)
            share.append(word)
        shares.append(share)
    return shares


def _between(word: SpokenWord, first: float, last: float, later: float) -> SpokenWord:
    """The word cut to what is heard from `first` to `last`, then moved by `later`; to a millisecond."""
    start, end = (round(min(max(t, first), last) + later, 3) for t in (word.start, word.end))
    return SpokenWord(text=word.text, start=max(start, 0.0), end=max(end, 0.0))


def wordless(cues: Iterable[Cue]) -> tuple[Cue, ...]:
    """The cues without the times of their words."""
    return tuple(cue.model_copy(update={"words": ()}) for cue in cues)


def letters(text: str) -> str:
    """What is visible of a text, without white space: equal however it is broken."""
    return solid("".join(visible_lines(text)))


def visible_lines(text: str) -> Sequence[str]:
    """The visible lines of a text: no blank ones, which end a cue, and no control characters."""
    lines = ("".join(c for c in line.expandtabs(1) if c.isprintable() or c in _KEPT) for line in text.splitlines())
    return [line.strip() for line in lines if line.strip(_KEPT + " ")]


_KEPT = "\u00a0\u200b\u200c\u200d\u200e\u200f\u2060\u3000"
"""Not printable in Python's sense, but part of a text: spaces, joiners and marks of direction."""
