"""Text as pictures: Noto Sans from its wheel, wrapped to a width. Text is literal; nothing in it is markup."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from callsheet.engines.drawing.dice import Colour

Font = ImageFont.FreeTypeFont


@cache
def font(pixels: int, weight: int = 500, width: int = 100) -> Font:
    """Noto Sans at a size; `weight` 100 to 900, `width` 62.5 (narrow) to 100 per cent."""
    import fontpkg_noto_sans

    file = fontpkg_noto_sans.ROOT / "files" / "NotoSans[wdth,wght].ttf"
    loaded = ImageFont.truetype(str(file), max(pixels, 6))
    loaded.set_variation_by_axes([weight, width] if _weight_is_first(loaded) else [width, weight])
    return loaded


def _weight_is_first(loaded: Font) -> bool:
    return float(loaded.get_variation_axes()[0]["maximum"] or 0) > 200


def plain(text: str) -> str:
    """One line: control characters and runs of white space become single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def missing(text: str) -> str:
    """The characters that the font cannot draw, once each, in order; they appear as boxes."""
    known = font(24)
    box = bytes(known.getmask("\uffff"))
    unknown = [c for c in dict.fromkeys(plain(text)) if c != " " and bytes(known.getmask(c)) == box]
    return "".join(unknown)


def wrapped(text: str, letters: Font, pixels: int, lines: int) -> list[str]:
    """Words set in at most `lines` lines of at most `pixels`; what does not fit ends in an ellipsis."""
    rows: list[str] = []
    rest = plain(text).split(" ") if text.strip() else []
    while rest and len(rows) < lines:
        row = ""
        while rest and letters.getlength(f"{row} {rest[0]}".strip()) <= pixels:
            row = f"{row} {rest.pop(0)}".strip()
        if not row:  # one word that is longer than a line
            row, rest[0] = _cut(rest[0], letters, pixels)
        rows.append(row)
    if rest and rows:
        last = f"{rows[-1]} …"
        while letters.getlength(last) > pixels and len(last) > 2:
            last = f"{last[:-2].rstrip()}…"
        rows[-1] = last
    return rows


def balanced(text: str, letters: Font, pixels: int) -> list[str]:
    """At most two lines, of about the same length when there are two."""
    rows = wrapped(text, letters, pixels, 2)
    if len(rows) < 2 or rows[-1].endswith("…"):
        return rows
    for narrower in range(pixels // 2, pixels, 8):
        tried = wrapped(text, letters, narrower, 2)
        if not tried[-1].endswith("…"):
            return tried
    return rows


def _cut(word: str, letters: Font, pixels: int) -> tuple[str, str]:
    """The longest beginning that is no wider than `pixels` (one letter at least), and the rest."""
    fits = bisect_left(range(1, len(word)), True, key=lambda end: letters.getlength(word[: end + 1]) > pixels) + 1
    return word[:fits], word[fits:]


def fitting(text: str, pixels: int, largest: int, smallest: int, weight: int) -> Font:
    """The largest font in which the text is no wider than `pixels`."""
    for size in range(largest, smallest, -1):
        if font(size, weight).getlength(text) <= pixels:
            return font(size, weight)
    return font(smallest, weight, 75)


def write(
    image: Image.Image,
    at: tuple[float, float],
    rows: Sequence[str],
    letters: Font,
    colour: Colour,
    opacity: float = 1,
) -> None:
    """Rows one under the other, from the upper left corner `at`."""
    ink = Image.new("RGBA", image.size, (*colour, 0))
    draw = ImageDraw.Draw(ink)
    for n, row in enumerate(rows):
        draw.text((at[0], at[1] + n * line_height(letters)), row, fill=(*colour, round(255 * opacity)), font=letters)
    image.alpha_composite(ink)


def line_height(letters: Font) -> int:
    return round(letters.size * 1.28)
