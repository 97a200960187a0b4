"""Cues: dialogue as captions with times, and the cues of a film as one clip sees them. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from callsheet.errors import MediaError
from callsheet.models import Cue
from callsheet.wrapping import captions_of, columns


def shifted(cues: Iterable[Cue], start: float, end: float) -> tuple[Cue, ...]:
    """The cues of a film as seen by a clip that runs from `start` to `end` seconds of it.

    Times become the clip's own; cues are cut at its edges, and those outside (or left with less than a
    millisecond) are not returned.
    """
    inside = []
    for cue in cues:
        first, last = max(cue.start, start), min(cue.end, end)
        if last - first >= 0.001:
            inside.append(Cue(text=cue.text, start=first - start, end=last - start))
    return tuple(inside)


def cues_for(text: str, start: float, end: float) -> tuple[Cue, ...]:
    """What is said from `start` to `end` seconds, as captions of at most two lines of 42 columns.

    Cues follow each other without gaps and last in proportion to their length; a wide (CJK) character
    counts two columns. Empty for text without a visible character. Raises MediaError when `end` is not
    after `start`.
    """
    if end <= start:
        raise MediaError(what="caption a line", detail=f"it ends at {end} s but starts at {start} s")
    parts = captions_of(" ".join(visible_lines(text)))
    total = sum(map(columns, parts)) or 1
    cues, spoken = [], 0
    for part in parts:
        first = start + (end - start) * spoken / total
        spoken += columns(part)
        last = end if spoken == total else start + (end - start) * spoken / total
        cues.append(Cue(text=part, start=first, end=last))
    return tuple(cues)


def visible_lines(text: str) -> Sequence[str]:
    """The visible lines of a text: no blank ones, which end a cue, and no control characters."""
    lines = ("".join(c for c in line.expandtabs(1) if c.isprintable() or c in _KEPT) for line in text.splitlines())
    return [line.strip() for line in lines if line.strip(_KEPT + " ")]


_KEPT = "\u00a0\u200b\u200c\u200d\u200e\u200f\u2060\u3000"
"""Not printable in Python's sense, but part of a text: spaces, joiners and marks of direction."""
