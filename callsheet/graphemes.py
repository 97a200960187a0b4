"""Letters as people see them: what may not be parted, how wide a character is, which pieces of a text are spoken.

Pure functions over text. Covers combining marks, conjuncts, joined emoji and scripts that write without spaces
between words (of those, CJK; a Thai or Khmer phrase is one word). Lines are broken in wrapping.py.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_ZWJ = "\u200d"
_CLINGING = (_ZWJ, "\u200c", "\u2060")
_VIRAMA = 9
"""Canonical combining class of the marks that join two consonants."""

_SAID = frozenset("&@#%+=$€£¥₹°")
"""Symbols with a name of their own in speech; others are not spoken."""


@lru_cache(maxsize=4096)
def columns_of(character: str) -> int:
    """Width of a character in columns: a wide (CJK) one takes two, a combining mark none."""
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def columns(text: str) -> int:
    """Width of a text in columns."""
    return sum(columns_of(character) for character in text)


def clusters(text: str) -> list[str]:
    """The text in pieces that are drawn as one: a letter and its marks, a conjunct, a flag, a joined emoji."""
    found: list[str] = []
    for character in text:
        if found and _belongs(found[-1], character):
            found[-1] += character
        else:
            found.append(character)
    return found


def solid(text: str) -> str:
    """The text without white space: what two versions of it, broken differently, have in common."""
    return "".join(text.split())


def spoken_spans(text: str) -> list[tuple[int, int]]:
    """The words of a text as [start, end) in characters, in order. Together they hold all but white space.

    A word is what stands between spaces; between wide characters there need be none. What is not spoken, such
    as a dash, belongs to the word before it (at the beginning, to the one after it).
    """
    spans: list[tuple[int, int]] = []
    for start, end in breakable_spans(text):
        if spans and not (_is_spoken(text[start:end]) and _is_spoken(text[slice(*spans[-1])])):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def is_unspaced(character: str) -> bool:
    """Whether it is of a script that writes words side by side: Chinese, Japanese. Korean has spaces."""
    return bool(character) and columns_of(character) == 2 and not "\uac00" <= character <= "\ud7a3"


def breakable_spans(text: str) -> list[tuple[int, int]]:
    """What a line may be broken between, as [start, end): between spaces, and beside an unspaced letter.

    No piece begins with a closing mark, and none ends with an opening one.
    """
    cuts: list[tuple[int, int]] = []
    at = 0
    before = ""
    for cluster in clusters(text):
        start, at = at, at + len(cluster)
        if cluster.isspace():
            before = ""
            continue
        unspaced = is_unspaced(cluster[0]) or is_unspaced(before[:1])
        if not before or (unspaced and _begins(cluster) and not _opens(before)):
            cuts.append((start, at))
        else:
            cuts[-1] = (cuts[-1][0], at)
        before = cluster
    return cuts


def _begins(cluster: str) -> bool:
    """Whether a word may begin here: with a letter, a digit or an opening bracket, not with a length mark."""
    category = unicodedata.category(cluster[0])
    return _opens(cluster) or (category[0] in "LN" and category != "Lm")


def _opens(cluster: str) -> bool:
    return unicodedata.category(cluster[0]) in ("Ps", "Pi")


def _is_spoken(text: str) -> bool:
    return any(c.isalnum() or c in _SAID for c in text)


def _belongs(cluster: str, character: str) -> bool:
    category, last = unicodedata.category(character), cluster[-1]
    if category in ("Mn", "Me", "Mc") or character in _CLINGING or "\U0001f3fb" <= character <= "\U0001f3ff":
        return not cluster.isspace()
    if _is_flag_letter(character):
        return len(cluster) == 1 and _is_flag_letter(cluster)
    joined = last == _ZWJ and len(cluster) > 1
    after_virama = unicodedata.combining(last.rstrip(_ZWJ) or cluster[-2:-1] or "a") == _VIRAMA
    return category[0] in "LS" and (joined or (after_virama and category == "Lo"))


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
