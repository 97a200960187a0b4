"""The strip under the picture: the scene's own words, who plays how, the sampling settings, and the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from callsheet.engines.drawing.dice import Colour
from callsheet.engines.drawing.lettering import Font, balanced, font, line_height, wrapped, write
from callsheet.engines.drawing.planes import Frame, to_yuv
from callsheet.recipes import ClipRecipe

_SMALLEST = (128, 96)
"""Pictures below this size have no margin: nobody could read it."""
_PAPER: Colour = (24, 23, 32)
_WORDS: Colour = (255, 255, 255)
_SMALL: Colour = (196, 200, 214)


@dataclass(frozen=True)
class _Layout:
    words: Font
    small: Font
    pad: int
    rows: list[str]
    """The scene's words."""
    height: int


def _layout(recipe: ClipRecipe) -> _Layout:
    short = min(recipe.width, recipe.height)
    words, small = font(round(short * 0.046), 600), font(round(short * 0.032), 500, 75)
    pad = round(short * 0.028)
    rows = balanced(recipe.scene, words, recipe.width - 2 * pad)
    height = round(pad * 1.5 + len(rows) * line_height(words) + line_height(small))
    return _Layout(words, small, pad, rows, height + height % 2)


def margin_height(recipe: ClipRecipe) -> int:
    """Pixels at the lower edge that belong to the margin; 0 where it is switched off, or too small to be read."""
    if not recipe.margin or recipe.width < _SMALLEST[0] or recipe.height < _SMALLEST[1]:
        return 0
    return _layout(recipe).height


class Margin:
    """Drawn once; only the time changes."""

    def __init__(self, recipe: ClipRecipe, names: Sequence[str], accent: Colour) -> None:
        """For a recipe whose margin_height is not 0."""
        layout = _layout(recipe)
        small, pad = layout.small, layout.pad
        clock = small.getlength("0000.00 s")
        label = wrapped(_label(recipe, names), small, round(recipe.width - 3 * pad - clock), 1)
        strip = Image.new("RGBA", (recipe.width, layout.height), (*to_yuv(_PAPER), 255))
        line = max(1, round(min(recipe.width, recipe.height) * 0.006))
        ImageDraw.Draw(strip).rectangle((0, 0, recipe.width, line), fill=(*to_yuv(accent), 255))
        write(strip, (pad, pad * 0.6), layout.rows, layout.words, to_yuv(_WORDS))
        below = pad * 0.75 + len(layout.rows) * line_height(layout.words)
        write(strip, (pad, below), label, small, to_yuv(_SMALL))
        self._strip = Frame.drawn(strip)
        self._top = recipe.height - layout.height
        self._glyphs = {c: _glyph(c, small) for c in "0123456789. s"}
        digit, narrow = max(small.getlength(c) for c in "0123456789"), small.getlength(".")
        self._advance = {c: narrow if c in ". " else digit for c in self._glyphs}
        self._clock = (recipe.width - pad, round(self._top + below))

    def put(self, frame: Frame, seconds: float) -> None:
        """Paste the strip and write the time, in seconds of the scene."""
        for plane, mine, top in (
            (frame.y, self._strip.y, self._top),
            (frame.u, self._strip.u, self._top // 2),
            (frame.v, self._strip.v, self._top // 2),
        ):
            plane.paste(mine, (0, top))
        text = f"{seconds:.2f} s"
        x = self._clock[0] - sum(self._advance[letter] for letter in text)
        for letter in text:
            frame.y.paste(to_yuv(_SMALL)[0], (round(x), self._clock[1]), self._glyphs[letter])
            x += self._advance[letter]


def _label(recipe: ClipRecipe, names: Sequence[str]) -> str:
    who = ", ".join(names)
    how = f"{recipe.emotion} {recipe.intensity:g} · {recipe.angle}"
    sampling = f"{recipe.steps} steps · cfg {recipe.cfg:g} · seed {recipe.seed}"
    return " · ".join(part for part in (who, how, sampling) if part)


def _glyph(letter: str, letters: Font) -> Image.Image:
    mask = Image.new("L", (int(letters.size), line_height(letters) + 2), 0)
    ImageDraw.Draw(mask).text((0, 0), letter, fill=255, font=letters)
    return mask
