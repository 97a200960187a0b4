"""A drawn mouth, put into raw YUV 4:2:0 frames (BT.709, limited range). Nothing outside `box_of` is touched.

It is drawn in luma and colour differences from the start, so that no part of a frame is converted.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, cos, floor, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from callsheet.alignment import MouthShape

Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
"""Luma H x W, then both colour differences H/2 x W/2; written to in place."""
Colour = tuple[int, int, int]

_REACH = 0.75
_SHARP = 4
_STEPS = 24
"""Openness is drawn in so many steps, spread and rounding in a third of them: then few mouths are drawn often."""


def yuv_of(red: float, green: float, blue: float) -> Colour:
    """A colour as luma and colour differences."""
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return (
        round(16 + luma * 219 / 255),
        round(128 + (blue - luma) * 224 / 255 / 1.8556),
        round(128 + (red - luma) * 224 / 255 / 1.5748),
    )


_INK, _HOLE, _TEETH, _TONGUE = (
    yuv_of(*rgb) for rgb in ((28, 24, 38), (110, 24, 40), (255, 252, 246), (226, 92, 96))
)


def box_of(x: float, y: float, width: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels, all even, of what a mouth of that centre and width may touch."""
    reach = _REACH * width
    left, top = 2 * floor((x - reach) / 2), 2 * floor((y - reach) / 2)
    return left, top, left + 2 * ceil((2 * reach + 2) / 2), top + 2 * ceil((2 * reach + 2) / 2)


def open_mouth(planes: Planes, mouth: tuple[float, float, float], shape: MouthShape, cover: bool) -> None:
    """Draw a mouth of that shape. `cover` first hides the drawn one below it."""
    left, top, right, bottom = box_of(*mouth)
    sharp = _SHARP if mouth[2] < 64 else _SHARP // 2
    size = ((right - left) * sharp, (bottom - top) * sharp)
    skin = _skin(planes, mouth) if cover else None
    lips, mask, patch = _drawn(
        round(mouth[2] * sharp),
        round(shape.opened * _STEPS) / _STEPS,
        round(shape.spread * _STEPS / 3) * 3 / _STEPS,
        round(shape.rounded * _STEPS / 3) * 3 / _STEPS,
    )
    at = (
        round((mouth[0] - left) * sharp - lips.width / 2),
        round((mouth[1] - top) * sharp - lips.height / 2),
    )
    whole, hidden = Image.new("RGB", size, skin or _INK), Image.new("L", size, 0)
    if skin is not None:
        hidden.paste(patch, at)
    whole.paste(lips, at, mask)
    hidden.paste(255, at, mask)
    for plane, colour, times in zip(planes, whole.split(), (1, 2, 2), strict=True):
        _blend(plane, (left // times, top // times), colour.reduce(sharp * times), hidden.reduce(sharp * times))


@lru_cache(maxsize=64)
def _drawn(
    width: int, opened: float, spread: float, rounded: float
) -> tuple[Image.Image, Image.Image, Image.Image]:
    """A mouth in luma and colour differences, its mask, and the patch that hides another one; centred, square."""
    side = 2 * ceil(_REACH * width)
    image, x, y = Image.new("RGB", (side, side), _INK), side / 2, side / 2
    across = 0.5 * width * (0.78 + 0.18 * spread - 0.06 * opened - 0.36 * rounded)
    down = 0.5 * width * 0.85 * opened * (1 - 0.25 * spread)
    line = max(2.0, 0.075 * width * (1 + 0.5 * rounded))

    def lips(grow: float) -> list[tuple[float, float]]:
        return [
            (x + (across + grow) * _flat(cos(a)), y + ((down * 1.12 if sin(a) > 0 else down * 0.7) + grow) * sin(a))
            for a in (2 * pi * n / 72 for n in range(72))
        ]

    mask, hole = Image.new("L", image.size, 0), Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).polygon(lips(line if down > line / 2 else 0.6 * line), fill=255)
    if down > line / 4:                               # below that the lips touch
        ImageDraw.Draw(hole).polygon(lips(0), fill=255)
    image.paste(_HOLE, (0, 0), hole)
    tongue = _ellipse(image.size, x, y + down * 1.25, across * 0.6, down * 0.75)
    image.paste(_TONGUE, (0, 0), ImageChops.multiply(tongue, hole))
    teeth = Image.new("L", image.size, 0)
    tall = down * (0.45 + 0.5 * spread) * (1 - rounded)
    ImageDraw.Draw(teeth).rectangle((x - across * 0.86, y - down, x + across * 0.86, y - down * 0.7 + tall), fill=255)
    image.paste(_TEETH, (0, 0), ImageChops.multiply(teeth, hole))
    patch = Image.new("L", image.size, 0)
    sides = (x - 0.63 * width, y - 0.4 * width, x + 0.63 * width, y + 0.4 * width)
    ImageDraw.Draw(patch).rounded_rectangle(sides, 0.36 * width, fill=255)
    return image, mask, patch


def _flat(value: float) -> float:
    """A little squarer than a circle."""
    return float(abs(value) ** 0.85) * (1 if value >= 0 else -1)


def _ellipse(size: tuple[int, int], x: float, y: float, across: float, down: float) -> Image.Image:
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).ellipse((x - across, y - down, x + across, y + down), fill=255)
    return mask


def _skin(planes: Planes, mouth: tuple[float, float, float]) -> Colour | None:
    """The colour around the mouth; None where there is no single one, as at the edge of a face."""
    x, y, width = mouth
    luma, u, v = planes
    around = [(x + 0.66 * width * cos(a), y + 0.5 * width * sin(a)) for a in (2 * pi * n / 24 for n in range(24))]
    inside = [(int(px), int(py)) for px, py in around if 0 <= px < luma.shape[1] and 0 <= py < luma.shape[0]]
    if len(inside) < len(around):
        return None
    seen = np.array([(luma[py, px], u[py // 2, px // 2], v[py // 2, px // 2]) for px, py in inside], float)
    middle = np.median(seen, axis=0)
    alike = np.abs(seen - middle).max(1) < 14
    return (round(middle[0]), round(middle[1]), round(middle[2])) if alike.mean() >= 0.6 else None


def _blend(plane: NDArray[np.uint8], at: tuple[int, int], paint: Image.Image, mask: Image.Image) -> None:
    """Mix a picture into a plane by the mask, cut at the plane's edges."""
    left, top = at
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + mask.width, plane.shape[1]), min(top + mask.height, plane.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    under = plane[y0:y1, x0:x1].astype(np.float32)
    share = np.asarray(mask)[part].astype(np.float32) / 255
    plane[y0:y1, x0:x1] = np.rint(under + (np.asarray(paint)[part] - under) * share).astype(np.uint8)
