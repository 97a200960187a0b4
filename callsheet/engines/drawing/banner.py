"""The strip at the lower edge: the scene's own words, who plays how, the sampling settings, and the time."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from callsheet.engines.drawing.dice import Colour
from callsheet.engines.drawing.lettering import Font, balanced, font, line_height, wrapped, write
from callsheet.engines.drawing.planes import Frame, Sprite
from callsheet.recipes import ClipRecipe

_SMALLEST = (128, 96)
"""Pictures below this size have no strip: nobody could read it."""


class Banner:
    """Drawn once; only the time changes."""

    def __init__(self, recipe: ClipRecipe, names: Sequence[str], accent: Colour) -> None:
        self._sprite: Sprite | None = None
        if recipe.width < _SMALLEST[0] or recipe.height < _SMALLEST[1]:
            return
        short = min(recipe.width, recipe.height)
        words, small = font(round(short * 0.046), 600), font(round(short * 0.032), 500, 75)
        pad = round(short * 0.028)
        room = recipe.width - 2 * pad
        rows = balanced(recipe.scene, words, room)
        clock = small.getlength("0000.00 s")
        label = wrapped(_label(recipe, names), small, round(room - clock - pad), 1)
        height = round(pad * 1.5 + len(rows) * line_height(words) + line_height(small))
        height += height % 2
        self._top = float(recipe.height - height)
        strip = Image.new("RGBA", (recipe.width, height), (18, 18, 26, 190))
        ImageDraw.Draw(strip).rectangle((0, 0, recipe.width, max(1, round(short * 0.006))), fill=(*accent, 255))
        write(strip, (pad, pad * 0.6), rows, words, (255, 255, 255))
        below = pad * 0.75 + len(rows) * line_height(words)
        write(strip, (pad, below), label, small, (196, 200, 214))
        self._sprite = Sprite.of(strip)
        self._glyphs = {c: _glyph(c, small) for c in "0123456789. s"}
        digit, narrow = max(small.getlength(c) for c in "0123456789"), small.getlength(".")
        self._advance = {c: narrow if c in ". " else digit for c in self._glyphs}
        self._clock = (recipe.width - pad, round(self._top + below))

    def put(self, frame: Frame, seconds: float) -> None:
        """Paste the strip and write the time, in seconds of the scene."""
        if self._sprite is None:
            return
        self._sprite.put(frame, 0, self._top)
        text = f"{seconds:.2f} s"
        x = self._clock[0] - sum(self._advance[letter] for letter in text)
        for letter in text:
            frame.y.paste(200, (round(x), self._clock[1]), self._glyphs[letter])
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
