"""How captions are broken: a text into cues, and a cue into lines of even width.

Pure functions over words and widths. Covers scripts with and without spaces (a word too long for a line is
cut between its letters); it knows nothing of files, times, fonts or colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from callsheet.graphemes import breakable_spans, clusters, columns, is_unspaced

LINE_COLUMNS = 42
CUE_LINES = 2

Width = Callable[[str], float]


class Piece(NamedTuple):
    """What is not broken any further."""

    text: str
    spaced: bool
    """Whether a space parts it from the piece before it."""


@lru_cache(maxsize=1024)
def captions_of(text: str) -> tuple[str, ...]:
    """A text as captions of at most two lines of 42 columns, broken where sentences and clauses end.

    Lines within a caption are parted by a newline. Every word is kept, in order.
    """
    pieces = _pieces(text, columns, LINE_COLUMNS)
    best: list[tuple[float, int]] = [(0.0, 0)]         # cost of the first n pieces, and where the last cue starts
    for end in range(1, len(pieces) + 1):
        options = []
        for start in range(end - 1, -1, -1):
            chosen = pieces[start:end]
            if len(_filled(chosen, columns, LINE_COLUMNS)) > CUE_LINES:
                break
            options.append((best[start][0] + _cost(chosen), start))
        best.append(min(options))
    cuts, at = [], len(pieces)
    while at:
        cuts.append((best[at][1], at))
        at = best[at][1]
    return tuple("\n".join(_even(pieces[start:end], columns, LINE_COLUMNS)) for start, end in reversed(cuts))


def _even(pieces: Sequence[Piece], width: Width, limit: float) -> list[str]:
    """As few lines as `limit` allows, and those as even as they can be."""
    lines = _filled(pieces, width, limit)
    low, high = 0.0, limit
    for _ in range(12):
        middle = (low + high) / 2
        narrower = _filled(pieces, width, middle)
        if len(narrower) <= len(lines) and max(map(width, narrower), default=0) <= limit:
            lines, high = narrower, middle
        else:
            low = middle
    return lines


class Ruler(Protocol):
    """Measures text as it will be drawn, in ems."""

    def width(self, text: str) -> float:
        """Width of a line."""

    def height(self, line: str) -> float:
        """Height of a line: that of its tallest font."""


def fitted(
    lines: Sequence[str], em: float, ruler: Ruler, width: float, height: float
) -> tuple[list[str], float]:
    """Lines that fit into `width` x `height` pixels, and the em in pixels they are drawn with.

    Given lines are kept when they fit; else the whole text is broken anew, and drawn smaller than `em`
    when it would be too tall.
    """
    text = _rejoined(lines)
    while True:
        limit = width / em
        kept = list(lines)
        if any(ruler.width(line) > limit for line in lines):
            kept = _even(_pieces(text, ruler.width, limit), ruler.width, limit)
        tall = sum(map(ruler.height, kept)) * em > height
        if not tall and all(ruler.width(line) <= limit for line in kept):
            return kept, em
        em *= 0.92


_SENTENCE_END = tuple(".!?…。！？؟।")
_CLAUSE_END = tuple(",;:–—、，；：،؛")


def _cost(pieces: Sequence[Piece]) -> float:
    """What one caption costs: each counts, more so when it breaks inside a clause or is nearly empty."""
    last = pieces[-1].text.rstrip("\"'”’»)」』")
    broken = 0 if last.endswith(_SENTENCE_END) else 15 if last.endswith(_CLAUSE_END) else 30
    unused = 1 - columns(_line(pieces)) / (LINE_COLUMNS * CUE_LINES)
    return 40 + broken + 40 * max(unused, 0) ** 2


def _line(pieces: Sequence[Piece]) -> str:
    return "".join(" " * (piece.spaced and n > 0) + piece.text for n, piece in enumerate(pieces))


def _filled(pieces: Sequence[Piece], width: Width, limit: float) -> list[str]:
    """Pieces put into lines one after the other; one wider than `limit` has a line of its own."""
    lines: list[str] = []
    room = 0.0
    space = width(" ")
    for piece in pieces:
        wide, gap = width(piece.text), space if piece.spaced else 0.0
        if lines and wide + gap <= room:
            lines[-1] += " " * piece.spaced + piece.text
            room -= wide + gap
        else:
            lines.append(piece.text)
            room = limit - wide
    return lines


def _pieces(text: str, width: Width, limit: float) -> list[Piece]:
    """What may stand in different lines; a word wider than `limit` is cut (but whole letters are kept)."""
    pieces: list[Piece] = []
    for word in text.split():
        for start, end in breakable_spans(word):
            parts = _cut(word[start:end], width, limit)
            pieces += (Piece(part, spaced=start == 0 and n == 0) for n, part in enumerate(parts))
    return pieces


def _cut(word: str, width: Width, limit: float) -> list[str]:
    """A word in as few pieces as `limit` allows, of about the same width."""
    whole = width(word)
    if whole <= limit:
        return [word]
    share = min(limit, 1.1 * whole / math.ceil(whole / limit))     # a letter may not fit: a little more than even
    parts, part = [], ""
    for cluster in clusters(word):
        if part and width(cluster) and width(part + cluster) > share:
            parts.append(part)
            part = ""
        part += cluster
    return [*parts, part]


def _rejoined(lines: Sequence[str]) -> str:
    """Lines as one text; where both sides write without spaces there was none."""
    text = ""
    for line in lines:
        text += " " * (not (is_unspaced(text[-1:]) and is_unspaced(line[:1]))) + line
    return text
