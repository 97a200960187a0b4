"""A drawn mouth, put into raw YUV 4:2:0 frames (BT.709, limited range). Nothing outside `box_of` is touched."""

from __future__ import annotations

from math import ceil, cos, floor, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
"""Luma H x W, then both colour differences H/2 x W/2; written to in place."""

CLOSED = 0.07
"""Below this openness the clip's own mouth is left alone."""
_REACH = 0.75
_SHARP = 4
_INK, _HOLE, _TEETH, _TONGUE = (28, 24, 38), (110, 24, 40), (255, 252, 246), (226, 92, 96)


def box_of(x: float, y: float, width: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels, all even, of what a mouth of that centre and width may touch."""
    reach = _REACH * width
    left, top = 2 * floor((x - reach) / 2), 2 * floor((y - reach) / 2)
    return left, top, left + 2 * ceil((2 * reach + 2) / 2), top + 2 * ceil((2 * reach + 2) / 2)


def open_mouth(planes: Planes, mouth: tuple[float, float, float], opened: float, hiss: float, cover: bool) -> None:
    """Draw a mouth opened by `opened` (0 to 1), spread by `hiss`. `cover` first hides the drawn one below it."""
    left, top, right, bottom = box_of(*mouth)
    x, y, width = mouth[0] - left, mouth[1] - top, mouth[2]
    image = Image.new("RGBA", ((right - left) * _SHARP, (bottom - top) * _SHARP), (*_INK, 0))
    if cover and (skin := _skin(planes, mouth)) is not None:
        patch = Image.new("L", image.size, 0)
        sides = [x - 0.63 * width, y - 0.4 * width, x + 0.63 * width, y + 0.4 * width]
        ImageDraw.Draw(patch).rounded_rectangle([side * _SHARP for side in sides], 0.36 * width * _SHARP, fill=255)
        _blend(
            planes, (left, top), [np.full((bottom - top, right - left, 1), part) for part in skin], patch.reduce(_SHARP)
        )
    _draw(image, x * _SHARP, y * _SHARP, width * _SHARP, opened, hiss)
    small = np.asarray(image.reduce(_SHARP))
    _blend(planes, (left, top), to_yuv(small[..., :3].astype(np.float64)), Image.fromarray(small[..., 3]))


def _draw(image: Image.Image, x: float, y: float, width: float, opened: float, hiss: float) -> None:
    """Outline, hole, teeth, tongue: hiss makes it flatter and wider, with more teeth."""
    across = 0.5 * width * (0.78 + 0.16 * hiss - 0.06 * opened)
    down = 0.5 * width * (0.16 + 0.62 * opened) * (1 - 0.45 * hiss)
    line = max(2.0, 0.075 * width)

    def lips(grow: float) -> list[tuple[float, float]]:
        return [
            (x + (across + grow) * _flat(cos(a)), y + ((down * 1.12 if sin(a) > 0 else down * 0.7) + grow) * sin(a))
            for a in (2 * pi * n / 72 for n in range(72))
        ]

    draw = ImageDraw.Draw(image)
    draw.polygon(lips(line), fill=(*_INK, 255))
    hole = Image.new("L", image.size, 0)
    ImageDraw.Draw(hole).polygon(lips(0), fill=255)
    image.paste((*_HOLE, 255), (0, 0), hole)
    tongue = _ellipse(image.size, x, y + down * 1.25, across * 0.6, down * 0.75)
    image.paste((*_TONGUE, 255), (0, 0), ImageChops.multiply(tongue, hole))
    teeth = Image.new("L", image.size, 0)
    edge = y - down * 0.7 + max(down * (0.42 + 0.5 * hiss), line * 0.4)
    ImageDraw.Draw(teeth).rectangle((x - across * 0.8, 0, x + across * 0.8, edge), fill=255)
    image.paste((*_TEETH, 255), (0, 0), ImageChops.multiply(teeth, hole))


def _flat(value: float) -> float:
    """A little squarer than a circle."""
    return float(abs(value) ** 0.85) * (1 if value >= 0 else -1)


def _ellipse(size: tuple[int, int], x: float, y: float, across: float, down: float) -> Image.Image:
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).ellipse((x - across, y - down, x + across, y + down), fill=255)
    return mask


def _skin(planes: Planes, mouth: tuple[float, float, float]) -> tuple[float, float, float] | None:
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
    return (float(middle[0]), float(middle[1]), float(middle[2])) if alike.mean() >= 0.6 else None


def to_yuv(rgb: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Luma and colour differences, each H x W x 1, of an H x W x 3 RGB array."""
    luma = rgb @ np.array((0.2126, 0.7152, 0.0722))
    u, v = 128 + (rgb[..., 2] - luma) * (224 / 255 / 1.8556), 128 + (rgb[..., 0] - luma) * (224 / 255 / 1.5748)
    return [(16 + luma * 219 / 255)[..., None], u[..., None], v[..., None]]


def _blend(planes: Planes, at: tuple[int, int], colours: list[NDArray[np.float64]], mask: Image.Image) -> None:
    """Mix full-size colours into the planes by the mask, cut at the picture's edges."""
    share = np.asarray(mask, np.float64) / 255
    for plane, colour, times in zip(planes, colours, (1, 2, 2), strict=True):
        weight, paint = shrunk(share, times), shrunk(np.broadcast_to(colour[..., 0], share.shape), times)
        left, top = at[0] // times, at[1] // times
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + weight.shape[1], plane.shape[1]), min(top + weight.shape[0], plane.shape[0])
        if x0 >= x1 or y0 >= y1:
            continue
        part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        under = plane[y0:y1, x0:x1]
        plane[y0:y1, x0:x1] = np.rint(under + (paint[part] - under) * weight[part]).astype(np.uint8)


def shrunk(values: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    """Means of `times` x `times` pixels."""
    height, width = values.shape
    small: NDArray[np.float64] = values.reshape(height // times, times, width // times, times).mean((1, 3))
    return small
