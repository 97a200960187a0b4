"""The poster: a comic-book cover of the cast. Bold flat colours, ink outlines, halftone dots, the name in large.

Seed, prompt, negative prompt and style choose the burst behind the figure (or the place that the prompt asks for
as `background: ...`); the style's strength is the strength of the halftone. The settings are printed small, so
that two posters tell what differs.
"""

from __future__ import annotations

import re
from math import cos, hypot, pi, radians, sin

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from callsheet.engines.drawing.acting import Pose, expression_of
from callsheet.engines.drawing.backdrop import draw_backdrop
from callsheet.engines.drawing.dice import Colour, Dice, hsv, mix
from callsheet.engines.drawing.figure import still
from callsheet.engines.drawing.lettering import fitting, plain, wrapped
from callsheet.engines.drawing.looks import Look, cast_of, style_words
from callsheet.engines.drawing.pen import INK, Canvas, oval
from callsheet.engines.drawing.staging import place_cast
from callsheet.recipes import PosterRecipe

PAPER: Colour = (255, 250, 236)
_FIGURE_SHARE = 0.2
_BACKGROUND = re.compile(r"background:\s*(.+)\Z", re.DOTALL)
"""How a prompt says what is to be behind the figure; without it there is a burst of colour."""


def draw_poster(recipe: PosterRecipe) -> Image.Image:
    """An RGB picture of exactly width x height."""
    size = (recipe.width, recipe.height)
    dice = Dice("poster", recipe.seed, recipe.prompt, recipe.negative, style_words(recipe.loras))
    cast = cast_of(recipe.loras)
    wanted = _BACKGROUND.search(recipe.prompt)
    if wanted:
        image = _place(size, dice, plain(wanted[1]), _style_strength(recipe))
    else:
        image = _background(size, dice, cast, _style_strength(recipe))
    face = expression_of("happy", 0.55)
    for placed in place_cast(cast, face, Pose(radians(5)), *size, intensity=0.6, share=_FIGURE_SHARE):
        layer = still(placed.figure, face.head_tilt)
        at = (round(placed.x - layer.origin[0]), round(placed.y - layer.origin[1]))
        _sticker(image, layer.image, at, max(2, round(placed.figure.unit * 0.07)))
    if min(size) >= 64:
        _title(image, recipe, cast, dice)
        _frame(image)
    return image.convert("RGB")


def _style_strength(recipe: PosterRecipe) -> float:
    return min(sum(use.strength for use in recipe.loras if use.role == "style"), 2.0)


def _background(size: tuple[int, int], dice: Dice, cast: tuple[Look, ...], strength: float) -> Image.Image:
    width, height = size
    unit = min(size)
    canvas = Canvas(width, height, unit, (width / 2, height * 0.42), 2)
    hue = _opposite(cast) + dice.between("hue", -0.06, 0.06)
    one, two = hsv(hue, 0.72, 0.98), hsv(hue + dice.pick("second", (0.045, -0.045)), 0.5, 1.0)
    reach = hypot(width, height) / unit
    canvas.fill([(-reach, -reach), (reach, -reach), (reach, reach), (-reach, reach)], one)
    rays, spin = dice.pick("rays", (18, 22, 26, 30)), dice.between("spin", 0, 1)
    for n in range(rays):
        a, b = (2 * pi * (n + spin + part) / rays for part in (0, 0.5))
        canvas.fill([(0, 0), (reach * cos(a), reach * sin(a)), (reach * cos(b), reach * sin(b))], two)
    _halftone(canvas, mix(one, INK, 0.55), dice, width / unit, height / unit, 0.35 + 0.35 * strength)
    points, centre_y = dice.pick("points", (14, 16, 18, 20)), 0.05
    star = [
        (radius * cos(angle), centre_y + radius * sin(angle))
        for n in range(points * 2)
        for radius, angle in ((dice.between("star", 0.44, 0.5) if n % 2 else 0.37, pi * (n + spin) / points),)
    ]
    if cast:
        canvas.shape(star, mix(two, (255, 255, 255), 0.6), 0.012)
    return canvas.finish()


def _place(size: tuple[int, int], dice: Dice, words: str, strength: float) -> Image.Image:
    """The place that was asked for, with a light halftone over it."""
    width, height = size
    backdrop = draw_backdrop(words, dice, width, height)
    image = backdrop.far.convert("RGBA")
    image.alpha_composite(backdrop.near)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    image = image.crop((left, top, left + width, top + height))
    unit = min(size)
    dots = Canvas(width, height, unit, (width / 2, height * 0.42), 2)
    _halftone(dots, INK, dice, width / unit, height / unit, 0.2 + 0.2 * strength)
    layer = dots.finish()
    layer.putalpha(layer.getchannel("A").point([v // 3 for v in range(256)]))
    image.alpha_composite(layer)
    return image


def _opposite(cast: tuple[Look, ...]) -> float:
    """A hue that lets the first actor's clothes stand out."""
    import colorsys

    cloth = cast[0].cloth if cast else (220, 120, 60)
    return colorsys.rgb_to_hsv(*(c / 255 for c in cloth))[0] + 0.5


def _halftone(canvas: Canvas, colour: Colour, dice: Dice, wide: float, high: float, strength: float) -> None:
    """Dots on a slanted grid that grow towards two corners."""
    step = 0.034
    slant = 1 if dice.unit("slant") < 0.5 else -1
    rows, columns = int(high / step) + 2, int(wide / step) + 2
    for row in range(rows):
        for column in range(columns):
            x = (column - columns / 2 + 0.5 * (row % 2)) * step
            y = (row - rows * 0.42) * step
            grow = abs(slant * x / wide + y / high + 0.06) - 0.24
            radius = min(grow * 1.5, 0.52) * step * strength
            if radius > 0.0012:
                canvas.fill(oval(x, y, radius, radius), colour)


def _sticker(image: Image.Image, figure: Image.Image, at: tuple[int, int], rim: int) -> None:
    """Paste with a white rim and a hard shadow, as a cut-out."""
    room = Image.new("L", image.size, 0)
    room.paste(figure.getchannel("A"), at)
    rimmed = room.filter(ImageFilter.GaussianBlur(rim)).point([min(255, max(0, (v - 24) * 8)) for v in range(256)])
    shadow = ImageChops.offset(rimmed, rim, round(rim * 1.3))
    ImageDraw.Draw(shadow).rectangle((0, 0, image.width, rim), fill=0)
    image.paste(Image.new("RGBA", image.size, (*INK, 255)), (0, 0), shadow.point([v // 2 for v in range(256)]))
    image.paste(Image.new("RGBA", image.size, (255, 255, 255, 255)), (0, 0), rimmed)
    image.alpha_composite(figure, (max(at[0], 0), max(at[1], 0)), (max(-at[0], 0), max(-at[1], 0)))


def _title(image: Image.Image, recipe: PosterRecipe, cast: tuple[Look, ...], dice: Dice) -> None:
    width, height = image.size
    short = min(image.size)
    title = plain(" & ".join(look.name for look in cast)) or plain(recipe.prompt)[:40]
    letters = fitting(title, round(width * 0.84), round(short * 0.15), max(10, round(short * 0.045)), 900)
    title = wrapped(title, letters, round(width * 0.86), 1)[0] if title else ""
    tall = letters.size * 1.3
    foot = round(short * 0.062)
    top = height - foot - tall - short * 0.045
    draw = ImageDraw.Draw(image)
    slope = 0.03 * short
    band = cast[0].cloth if cast else hsv(dice.unit("band"), 0.6, 0.8)
    for grow, colour in ((0.016, INK), (0.006, PAPER), (0.0, mix(band, INK, 0.12))):
        edge = grow * short
        draw.polygon(
            [(-9, top + slope - edge), (width + 9, top - edge), (width + 9, height), (-9, height)], fill=colour
        )
    middle = (width / 2, top + slope * 0.5 + tall * 0.5 + short * 0.008)
    thick = max(2, round(letters.size * 0.075))
    drop = max(2, round(letters.size * 0.06))
    draw.text(
        (middle[0] + drop, middle[1] + drop),
        title,
        font=letters,
        anchor="mm",
        fill=INK,
        stroke_width=thick,
        stroke_fill=INK,
    )
    draw.text(middle, title, font=letters, anchor="mm", fill=(255, 228, 92), stroke_width=thick, stroke_fill=INK)
    _footer(draw, recipe, (width, height), foot, short)


def _footer(draw: ImageDraw.ImageDraw, recipe: PosterRecipe, size: tuple[int, int], foot: int, short: int) -> None:
    ids = ", ".join(use.name for use in recipe.loras if use.role == "character")
    styles = ", ".join(f"{use.name} {use.strength:g}" for use in recipe.loras if use.role == "style")
    sampling = (
        f"{recipe.steps} steps · {recipe.sampler_name}/{recipe.scheduler_name} · guidance {recipe.flux_guidance:g}"
        f" · seed {recipe.seed}"
    )
    words = " · ".join(part for part in (ids, styles, sampling) if part)
    small = fitting(words, round(size[0] * 0.93), round(short * 0.021), max(7, round(short * 0.015)), 600)
    text = wrapped(words, small, round(size[0] * 0.93), 1)
    draw.rectangle((0, size[1] - foot, size[0], size[1]), fill=INK)
    draw.text((size[0] / 2, size[1] - foot * 0.6), text[0] if text else "", font=small, anchor="mm", fill=PAPER)


def _frame(image: Image.Image) -> None:
    draw = ImageDraw.Draw(image)
    edge = max(2, round(min(image.size) * 0.012))
    draw.rectangle((0, 0, image.width - 1, image.height - 1), outline=INK, width=edge)
    draw.rectangle(
        (edge, edge, image.width - 1 - edge, image.height - 1 - edge), outline=PAPER, width=max(1, edge // 2)
    )
