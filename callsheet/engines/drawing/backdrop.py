"""The place behind the people: sky or wall, something far, something near, and what drifts through.

The scene's own words choose time and place where they name them, otherwise their hash does; so every scene
has its own backdrop, and the same words always have the same one. `details` (seed, style) varies the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from PIL import Image

from callsheet.engines.drawing.dice import Colour, Dice, hsv, mix
from callsheet.engines.drawing.pen import Canvas, Tint, as_is, oval, smooth
from callsheet.engines.drawing.places import PLACES, Palette

MARGIN_X, MARGIN_Y = 0.09, 0.06
"""How much larger than the frame a backdrop is on each side, as shares of the frame."""

_TIMES: dict[str, tuple[Colour, Colour]] = {
    "day": ((74, 156, 222), (206, 234, 246)),
    "dawn": ((122, 132, 204), (255, 208, 176)),
    "sunset": ((86, 62, 134), (255, 160, 96)),
    "night": ((18, 24, 62), (74, 84, 150)),
    "grey": ((112, 128, 150), (196, 206, 212)),
    "mint": ((60, 150, 160), (214, 240, 214)),
    "rose": ((170, 96, 150), (255, 214, 206)),
}
_TIME_WORDS = {
    "night": "night midnight moon moonlit stars evening dark nacht",
    "sunset": "sunset dusk golden twilight",
    "dawn": "dawn sunrise morning",
    "grey": "rain rainy fog foggy storm cloudy mist snow winter",
    "day": "day noon sunny sunlight sunlit summer",
}
_PLACE_WORDS = {
    "city": "city street streets town rooftop rooftops skyline market traffic downtown alley bridge station train",
    "hills": "hill hills mountain mountains valley field fields meadow park garden road village",
    "forest": "forest wood woods tree trees jungle orchard",
    "sea": "sea ocean beach harbour harbor river lake boat ship coast shore island water pier",
    "room": "room kitchen office house home cafe café bar studio library bedroom desk window table school shop indoors "
    "classroom workshop laboratory lab hall",
    "desert": "desert dune dunes sand canyon",
    "stage": "stage theatre theater concert spotlight audience",
}


@dataclass(frozen=True)
class Drifter:
    """Something small that moves on its own: a cloud, a mote of light."""

    image: Image.Image
    x: float
    y: float
    speed_x: float
    """Pixels a second; it comes back on the other side."""
    swing_y: float


@dataclass(frozen=True)
class Backdrop:
    """Far and near layers, both larger than the frame by the margins, and what drifts between them."""

    far: Image.Image
    near: Image.Image
    drifters: tuple[Drifter, ...]
    accent: Colour
    place: str


def _named(words: set[str], table: dict[str, str]) -> str:
    return next((name for name, known in table.items() if words & set(known.split())), "")


def draw_backdrop(scene: str, details: Dice, width: int, height: int, tint: Tint = as_is) -> Backdrop:
    """For frames of width x height pixels."""
    words = set(re.findall(r"\w+", scene.lower()))
    dice = Dice("scene", " ".join(scene.split()))
    place = _named(words, _PLACE_WORDS) or dice.pick("place", ("hills", "city", "forest", "sea", "shapes"))
    top, low = _TIMES[_named(words, _TIME_WORDS) or dice.pick("time", ("day", "dawn", "sunset", "mint", "rose"))]
    shift = dice.between("hue", -0.045, 0.045)
    palette = Palette(_turned(top, shift), _turned(low, shift), dark=sum(top) + sum(low) < 420)
    wide, high = _even(width * (1 + 2 * MARGIN_X)), _even(height * (1 + 2 * MARGIN_Y))
    far = _gradient(tint(palette.top), tint(palette.low), wide, high)
    back, near = (Canvas(wide, high, min(wide, high), (wide / 2, high / 2), 2, tint) for _ in range(2))
    PLACES[place](
        back, near, palette, Dice(scene, details.unit("place")), wide / min(wide, high), high / min(wide, high)
    )
    far.alpha_composite(back.finish())
    return Backdrop(
        far=far.convert("RGB"),
        near=near.finish(),
        drifters=_drifters(place, palette, details, width, height, tint),
        accent=hsv(dice.unit("accent"), 0.55, 0.98),
        place=place,
    )


def _turned(colour: Colour, shift: float) -> Colour:
    import colorsys

    hue, saturation, value = colorsys.rgb_to_hsv(*(c / 255 for c in colour))
    return hsv(hue + shift, saturation, value)


def _even(pixels: float) -> int:
    return 2 * round(pixels / 2)


def _gradient(top: Colour, low: Colour, width: int, height: int) -> Image.Image:
    share = np.linspace(0, 1, height)[:, None, None] ** 0.9
    rows = np.asarray(top) * (1 - share) + np.asarray(low) * share
    dither = (np.arange(height)[:, None, None] * 7 + np.arange(8)[None, :, None] * 3) % 8 / 8
    eight = (rows + dither).clip(0, 255).astype(np.uint8)
    return Image.fromarray(np.tile(eight, (1, -(-width // 8), 1))[:, :width]).convert("RGBA")


def _drifters(
    place: str, palette: Palette, dice: Dice, width: int, height: int, tint: Tint
) -> tuple[Drifter, ...]:
    indoors = place in ("room", "stage", "shapes") or palette.dark
    made, count = [], 7 if indoors else 4
    for n in range(count):
        size = dice.between(f"size {n}", 0.02, 0.055) if indoors else dice.between(f"size {n}", 0.12, 0.2)
        pixels = size * min(width, height)
        image = _mote(pixels, palette, tint) if indoors else _cloud(pixels, palette, dice, n, tint)
        made.append(
            Drifter(
                image=image,
                x=(n + dice.unit(f"x {n}")) / count * (width + image.width),
                speed_x=dice.between(f"speed {n}", 0.012, 0.03) * width,
                y=dice.between(f"y {n}", 0.05, 0.75 if indoors else 0.3) * height,
                swing_y=pixels * (0.6 if indoors else 0.05),
            )
        )
    return tuple(made)


def _mote(pixels: float, palette: Palette, tint: Tint) -> Image.Image:
    side = _even(pixels * 2)
    grid = np.hypot(*np.meshgrid(*[(np.arange(side) + 0.5) / side * 2 - 1] * 2))
    alpha = (np.clip(1 - grid, 0, 1) ** 1.4 * 150).astype(np.uint8)
    glow = Image.new("RGBA", (side, side), tint(mix(palette.low, (255, 246, 220), 0.75)))
    glow.putalpha(Image.fromarray(alpha))
    return glow


def _cloud(pixels: float, palette: Palette, dice: Dice, number: int, tint: Tint) -> Image.Image:
    width, height = _even(pixels * 2.7), _even(pixels * 1.2)
    canvas = Canvas(width, height, pixels, (width / 2, height * 0.8), 2, tint)
    white, shade = mix(palette.low, (255, 255, 255), 0.72), mix(palette.low, palette.top, 0.12)
    puffs = [
        (x, dice.between(f"puff {number} {x}", 0.8, 1.15) * (0.46 - 0.3 * abs(x)))
        for x in (-0.8, -0.42, 0.04, 0.46, 0.86)
    ]
    for lift, colour in ((0.07, shade), (0.0, white)):
        for x, radius in puffs:
            canvas.fill(oval(x, lift - radius * 0.75, radius, radius * 0.8), colour)
        canvas.fill(
            smooth(
                [
                    (-1.15, lift - 0.06),
                    (-0.8, lift - 0.2),
                    (0.8, lift - 0.2),
                    (1.15, lift - 0.06),
                    (0.9, lift + 0.04),
                    (-0.9, lift + 0.04),
                ]
            ),
            colour,
        )
    image = canvas.finish()
    image.putalpha(image.getchannel("A").point([round(v * 0.85) for v in range(256)]))
    return image
