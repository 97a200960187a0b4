"""How captions are broken: a text into cues, and a cue into lines of even width.

Pure functions over words and widths. Covers scripts with and without spaces (a word too long for a line is
cut); it knows nothing of files, times or colours.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

LINE_COLUMNS = 42
CUE_LINES = 2

Width = Callable[[str], float]


def columns(text: str) -> int:
    """Width of a text in columns: a wide (CJK) character takes two, a combining mark none."""
    return sum(_columns_of(character) for character in text)


def captions_of(text: str) -> list[str]:
    """A text as captions of at most two lines of 42 columns, broken where sentences and clauses end.

    Lines within a caption are parted by a newline. Every word is kept, in order.
    """
    words = _pieces(text.split(), columns, LINE_COLUMNS)
    best: list[tuple[float, int]] = [(0.0, 0)]         # cost of the first n words, and where the last cue starts
    for end in range(1, len(words) + 1):
        options = []
        for start in range(end - 1, -1, -1):
            chosen = words[start:end]
            if len(_filled(chosen, columns, LINE_COLUMNS)) > CUE_LINES:
                break
            options.append((best[start][0] + _cost(chosen), start))
        best.append(min(options))
    cuts, at = [], len(words)
    while at:
        cuts.append((best[at][1], at))
        at = best[at][1]
    return ["\n".join(even_lines(words[start:end], columns, LINE_COLUMNS)) for start, end in reversed(cuts)]


def even_lines(words: Sequence[str], width: Width, limit: float) -> list[str]:
    """As few lines as `limit` allows, and those as even as they can be."""
    lines = _filled(words, width, limit)
    low, high = 0.0, limit
    for _ in range(12):
        middle = (low + high) / 2
        narrower = _filled(words, width, middle)
        if len(narrower) <= len(lines) and max(map(width, narrower), default=0) <= limit:
            lines, high = narrower, middle
        else:
            low = middle
    return lines


class Ruler:
    """Measures text in one font."""

    def __init__(self, font: Path) -> None:
        self._path = font

    @cached_property
    def _font(self) -> FreeTypeFont:
        from PIL import ImageFont

        return ImageFont.truetype(str(self._path), _MEASURED_AT)

    @cached_property
    def line_height(self) -> float:
        """Height of a line in ems: what ASS calls the font's size is that of a line."""
        ascent, descent = self._font.getmetrics()
        return (ascent + descent) / _MEASURED_AT

    def width(self, text: str) -> float:
        """Width in ems. A wide character is drawn by another font, one em wide."""
        return sum(1.0 if _columns_of(c) == 2 else self._advance(c) for c in text)

    @lru_cache(maxsize=4096)                           # noqa: B019  one ruler a font lives as long as the process
    def _advance(self, character: str) -> float:
        return 0.0 if _columns_of(character) == 0 else self._font.getlength(character) / _MEASURED_AT

    def has(self, character: str) -> bool:
        """Whether the font draws it; a character without ink of its own always counts as drawn."""
        if character.isspace() or _columns_of(character) == 0:
            return True
        missing, mask = self._font.getmask("\uffff"), self._font.getmask(character)
        return (mask.size, bytes(mask)) != (missing.size, bytes(missing))


def fitted(
    lines: Sequence[str], em: float, ruler: Ruler, width: float, height: float
) -> tuple[list[str], float]:
    """Lines that fit into `width` x `height` pixels, and the em in pixels they are drawn with.

    Given lines are kept when they fit; else the whole text is broken anew, and drawn smaller than `em`
    when it would be too tall.
    """
    words = " ".join(lines).split()
    while True:
        limit = width / em
        kept = list(lines)
        if any(ruler.width(line) > limit for line in lines):
            kept = even_lines(_pieces(words, ruler.width, limit), ruler.width, limit)
        tall = len(kept) * em * ruler.line_height > height
        if not tall and all(ruler.width(line) <= limit for line in kept):
            return kept, em
        em *= 0.92


_MEASURED_AT = 200
_SENTENCE_END = tuple(".!?…。！？")
_CLAUSE_END = tuple(",;:–—、，；：")


@lru_cache(maxsize=4096)
def _columns_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _cost(words: Sequence[str]) -> float:
    """What one caption costs: each counts, more so when it breaks inside a clause or is nearly empty."""
    last = words[-1].rstrip("\"'”’»)")
    broken = 0 if last.endswith(_SENTENCE_END) else 15 if last.endswith(_CLAUSE_END) else 30
    unused = 1 - columns(" ".join(words)) / (LINE_COLUMNS * CUE_LINES)
    return 40 + broken + 40 * max(unused, 0) ** 2


def _filled(words: Sequence[str], width: Width, limit: float) -> list[str]:
    """Words put into lines one after the other; a word wider than `limit` has a line of its own."""
    lines: list[str] = []
    room = 0.0
    space = width(" ")
    for word in words:
        wide = width(word)
        if lines and wide + space <= room:
            lines[-1] += " " + word
            room -= wide + space
        else:
            lines.append(word)
            room = limit - wide
    return lines


def _pieces(words: Sequence[str], width: Width, limit: float) -> list[str]:
    """The words, those wider than `limit` cut into pieces that are not (but of one character at least)."""
    pieces: list[str] = []
    for word in words:
        piece = ""
        for character in word:
            if piece and width(character) and width(piece + character) > limit:
                pieces.append(piece)
                piece = ""
            piece += character
        pieces.append(piece)
    return pieces
