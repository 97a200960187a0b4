"""Layers that are put into frames: those that only glide, and those that turn as well.

Everything that can be done once is done once, so that a frame costs a few pastes. Not covered: scaling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from math import ceil, cos, floor, radians, sin

from PIL import Image, ImageChops, ImageFilter

from callsheet.engines.drawing.pen import Layer, Point
from callsheet.engines.drawing.planes import Frame

_EDGE = 2
"""Transparent pixels around a sprite, so that a moved edge stays soft."""

Plane = tuple[Image.Image, ...]
"""What is pasted into planes of one size, and last the mask."""


_BLENDED_PARTS = 4
"""Places between two pixels on which a blended sprite can be."""
_PICKED_PARTS = 2
"""The same, between two pixels of an oversized one."""
_KEPT = 36
"""Phases of a sprite in memory: all of a sharp one whose layer is three times as large as shown."""


class _Phases:
    """A layer for planes of one size, made for a fraction of a pixel when it is needed; the last few are kept."""

    def __init__(self, parts: int, make: Callable[[int, int], Plane]) -> None:
        """`make` moves it by so many `parts` of a pixel to the right and down."""
        self._parts, self._made = parts, lru_cache(_KEPT)(make)

    def put(self, planes: Plane, left: float, top: float) -> None:
        x, right = divmod(round(left * self._parts), self._parts)
        y, down = divmod(round(top * self._parts), self._parts)
        *mine, mask = self._made(right, down)
        for plane, image in zip(planes, mine, strict=True):
            plane.paste(image, (x, y), mask)


class Sprite:
    """A layer that glides, drawn with the tint `to_yuv`."""

    def __init__(self, whole: _Phases, half: _Phases, at: tuple[float, float]) -> None:
        """For luma and for chroma; `at` is the upper left corner, seen from the origin."""
        self._whole, self._half, self._at = whole, half, at

    @classmethod
    def of(cls, image: Image.Image) -> Sprite | None:
        """Of a picture whose origin is its upper left corner, on quarters of a pixel. None if nothing is visible."""
        box = image.getchannel("A").getbbox()
        if box is None:
            return None
        left, top, right, bottom = box[0] - _EDGE, box[1] - _EDGE, box[2] + _EDGE, box[3] + _EDGE
        whole = image.crop((left, top, right + (right - left) % 2, bottom + (bottom - top) % 2))
        return cls(_blended(_channels(whole, 0, 3)), _blended(_channels(whole.reduce(2), 1, 2, 3)), (left, top))

    @classmethod
    def sharp(cls, layer: Layer) -> Sprite | None:
        """Of an oversized layer, as sharp between two pixels as on them. None if nothing is visible."""
        soft = Softened.of(layer)
        if soft is None:
            return None
        half = soft.image.reduce(2)
        at = (-soft.origin[0] / layer.times, -soft.origin[1] / layer.times)
        return cls(_picked(soft.image, layer.times, 0, 3), _picked(half, layer.times, 1, 2, 3), at)

    def put(self, frame: Frame, x: float, y: float) -> None:
        """Paste with the origin at (x, y), as near as a phase comes to it."""
        left, top = x + self._at[0], y + self._at[1]
        self._whole.put((frame.y,), left, top)
        self._half.put((frame.u, frame.v), left / 2, top / 2)


def _channels(image: Image.Image, *which: int) -> Plane:
    """Those channels, with the colour of what is visible carried on under what is not, or edges would get a fringe."""
    spread = image.convert("RGBa").filter(ImageFilter.BoxBlur(1)).convert("RGBA")
    spread.paste(image, (0, 0), image.getchannel(3).point([0] + [255] * 255))
    return tuple((image if n == 3 else spread).getchannel(n) for n in which)


def _blended(planes: Plane) -> _Phases:
    def moved(plane: Image.Image, parts: int, right: int, down: int) -> Image.Image:
        return Image.blend(plane, ImageChops.offset(plane, right, down), parts / _BLENDED_PARTS) if parts else plane

    return _Phases(_BLENDED_PARTS, lambda x, y: tuple(moved(moved(plane, x, 1, 0), y, 0, 1) for plane in planes))


def _picked(image: Image.Image, times: int, *which: int) -> _Phases:
    """On parts of an oversized picture's pixel."""
    size = (image.width // times + 1, image.height // times + 1)

    @cache
    def pick(x: int, y: int) -> Plane:
        matrix = (times, 0, -x, 0, times, -y)
        seen = image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)
        return tuple(seen.getchannel(n) for n in which)

    def between(one: Plane, other: Plane, parts: int) -> Plane:
        return tuple(Image.blend(a, b, parts / _PICKED_PARTS) for a, b in zip(one, other, strict=True))

    def make(right: int, down: int) -> Plane:
        (x, across), (y, along) = divmod(right, _PICKED_PARTS), divmod(down, _PICKED_PARTS)
        rows = [
            between(pick(x, row), pick(x + 1, row), across) if across else pick(x, row)
            for row in ((y, y + 1) if along else (y,))
        ]
        return between(rows[0], rows[1], along) if along else rows[0]

    return _Phases(times * _PICKED_PARTS, make)


@dataclass(frozen=True)
class Softened:
    """An oversized layer, each pixel already the mean of what a pixel of the frame shows there."""

    image: Image.Image
    origin: Point
    times: int

    @classmethod
    def of(cls, layer: Layer, sealed: bool = False) -> Softened | None:
        """Cut to what is visible; None when nothing is. The rim of a `sealed` one is not softened."""
        box = layer.image.getchannel("A").getbbox()
        if box is None:
            return None
        edge = layer.times // 2
        grow = -2 * edge if sealed else 2 * layer.times
        left, top = (2 * ceil((side - grow) / 2) for side in box[:2])
        right, bottom = (2 * floor((side + grow) / 2) for side in box[2:])
        wide = layer.image.crop((left - edge, top - edge, right + edge, bottom + edge))
        soft = wide.filter(ImageFilter.BoxBlur((layer.times - 1) / 2))
        image = soft.crop((edge, edge, soft.width - edge, soft.height - edge))
        return cls(image, (layer.origin[0] - left, layer.origin[1] - top), layer.times)


class Cutout:
    """A layer that turns and glides. A frame takes the nearest pixels of an oversized one: cheap and smooth."""

    def __init__(self, soft: Softened) -> None:
        self._whole, self._half = soft.image, soft.image.reduce(2)
        self._origin, self._times = soft.origin, soft.times

    @classmethod
    def of(cls, layer: Layer, sealed: bool = False) -> Cutout | None:
        """None when nothing is visible. The rim of a `sealed` one is part of another cutout: it stays hard."""
        soft = Softened.of(layer, sealed)
        return cls(soft) if soft else None

    def put(self, frame: Frame, x: float, y: float, degrees: float = 0.0, pivot_y: float = 0.0) -> None:
        """Paste with the origin at (x, y), turned clockwise about the point `pivot_y` pixels below it."""
        turn = cos(radians(degrees)), sin(radians(degrees))
        y_plane = self._seen(self._whole, 1, frame.y.size, (x, y), turn, pivot_y)
        if y_plane is None:
            return
        at, seen = y_plane
        frame.y.paste(seen.getchannel(0), at, seen.getchannel(3))
        half = self._seen(self._half, 2, frame.u.size, (x, y), turn, pivot_y)
        if half is not None:
            at, seen = half
            _, u, v, mask = seen.split()
            frame.u.paste(u, at, mask)
            frame.v.paste(v, at, mask)

    def _seen(
        self,
        image: Image.Image,
        step: int,
        size: tuple[int, int],
        at: tuple[float, float],
        turn: tuple[float, float],
        pivot_y: float,
    ) -> tuple[tuple[int, int], Image.Image] | None:
        """What shows in a plane of that size, and where; `step` is how many pixels one of the plane is wide."""
        times, (c, s) = self._times, turn
        origin = (self._origin[0] / step, (self._origin[1] + times * pivot_y) / step)
        centre = (at[0] / step, (at[1] + pivot_y) / step)
        corners = [
            ((a - origin[0]) / times, (b - origin[1]) / times) for a in (0, image.width) for b in (0, image.height)
        ]
        across = [centre[0] + c * a - s * b for a, b in corners]
        along = [centre[1] + s * a + c * b for a, b in corners]
        left, top = max(0, floor(min(across))), max(0, floor(min(along)))
        width, height = min(size[0], ceil(max(across))) - left, min(size[1], ceil(max(along))) - top
        if width <= 0 or height <= 0:
            return None
        dx, dy = left - centre[0], top - centre[1]
        matrix = (
            times * c, times * s, origin[0] + times * (c * dx + s * dy),
            -times * s, times * c, origin[1] + times * (c * dy - s * dx),
        )
        return (left, top), image.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)
