"""A canvas with smooth shapes in figure units, drawn larger and reduced, so that edges are soft."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, cos, floor, pi, sin

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from callsheet.engines.drawing.dice import Colour

Point = tuple[float, float]
Box = tuple[int, int, int, int]
"""Left, upper, right and lower edge, in pixels."""
Tint = Callable[[Colour], Colour]
"""How a colour is written into the picture: as it is, or as luma and colour differences."""

INK: Colour = (28, 24, 38)
"""Outlines, and the colour under transparent pixels, so that edges never get a bright fringe."""


def as_is(colour: Colour) -> Colour:
    """The tint of a picture in red, green and blue."""
    return colour


def smooth(points: Sequence[Point], closed: bool = True, steps: int = 8) -> list[Point]:
    """A Catmull-Rom curve through the points. A point given twice makes a corner."""
    knots = np.asarray(points, dtype=float)
    before, after = (
        (np.roll(knots, 1, 0), np.roll(knots, -1, 0))
        if closed
        else (np.vstack([knots[:1], knots[:-1]]), np.vstack([knots[1:], knots[-1:]]))
    )
    pull = (after - before) / 2
    pull[np.all(np.isclose(knots, after) | np.isclose(knots, before), axis=1)] = 0
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    blend = (2 * t**3 - 3 * t**2 + 1, t**3 - 2 * t**2 + t, 3 * t**2 - 2 * t**3, t**3 - t**2)
    last = len(knots) if closed else len(knots) - 1
    curve = [
        blend[0] * knots[i] + blend[1] * pull[i] + blend[2] * knots[j] + blend[3] * pull[j]
        for i in range(last)
        for j in ((i + 1) % len(knots),)
    ]
    path = np.vstack([*curve, knots[:1] if closed else knots[-1:]])
    return [(float(x), float(y)) for x, y in path]


def oval(
    cx: float, cy: float, rx: float, ry: float, start: float = 0, end: float = 360, turn: float = 0
) -> list[Point]:
    """Points of an ellipse or of its arc; angles in degrees, clockwise from three o'clock."""
    count = max(8, round(abs(end - start) / 7))
    spin = turn * pi / 180
    arc = [(start + (end - start) * n / count) * pi / 180 for n in range(count + 1)]
    return [
        (cx + rx * cos(a) * cos(spin) - ry * sin(a) * sin(spin), cy + rx * cos(a) * sin(spin) + ry * sin(a) * cos(spin))
        for a in arc
    ]


@dataclass(frozen=True)
class Layer:
    """An RGBA picture, and where the figure's (0, 0) lies in it, in its own pixels."""

    image: Image.Image
    origin: Point
    times: int = 1
    """How much larger than shown it is."""


@dataclass(frozen=True)
class Stencil:
    """The inside of a shape: a mask and where its upper left corner lies, in pixels of the canvas."""

    mask: Image.Image
    left: int
    top: int

    def cut(self, box: Box) -> Image.Image:
        """The mask of another part of the canvas; nothing outside is inside."""
        return self.mask.crop((box[0] - self.left, box[1] - self.top, box[2] - self.left, box[3] - self.top))


class Canvas:
    """`unit` pixels are one figure unit, and `origin` is where (0, 0) lies, in pixels; y goes down."""

    def __init__(
        self, width: int, height: int, unit: float, origin: Point, sharpness: int = 3, tint: Tint = as_is
    ) -> None:
        self._times = sharpness
        self._unit = unit * sharpness
        self._origin = (origin[0] * sharpness, origin[1] * sharpness)
        self._size = (width * sharpness, height * sharpness)
        self._tint = tint
        self.image = Image.new("RGBA", self._size, (*tint(INK), 0))
        """The picture, `sharpness` times as large."""
        self._draw = ImageDraw.Draw(self.image)

    def _place(self, points: Sequence[Point]) -> list[Point]:
        (left, top), unit = self._origin, self._unit
        return [(left + x * unit, top + y * unit) for x, y in points]

    def mask(self, points: Sequence[Point], opacity: float = 1) -> Stencil:
        """The inside of a shape, for `clip`."""
        path = self._place(points)
        left, top = max(0, floor(min(x for x, _ in path))), max(0, floor(min(y for _, y in path)))
        right = min(self._size[0], ceil(max(x for x, _ in path)) + 1)
        bottom = min(self._size[1], ceil(max(y for _, y in path)) + 1)
        inside = Image.new("L", (max(0, right - left), max(0, bottom - top)), 0)
        ImageDraw.Draw(inside).polygon([(x - left, y - top) for x, y in path], fill=round(255 * opacity))
        return Stencil(inside, left, top)

    def fill(
        self,
        points: Sequence[Point],
        colour: Colour,
        opacity: float = 1,
        clip: Stencil | None = None,
    ) -> None:
        """Paint a shape; `clip` keeps the paint inside another one."""
        if opacity >= 1 and clip is None:
            self._draw.polygon(self._place(points), fill=(*self._tint(colour), 255))
            return
        shape = self.mask(points, opacity)
        paint, at = shape.mask, (shape.left, shape.top)
        if not all(paint.size):
            return
        box = (*at, at[0] + paint.width, at[1] + paint.height)
        if clip is not None:
            paint = ImageChops.multiply(paint, clip.cut(box))
        if opacity < 1 and clip is None:  # keep what is under it, and its own edge
            top = Image.new("RGBA", paint.size, (*self._tint(colour), 255))
            top.putalpha(paint)
            self.image.alpha_composite(top, at)
        else:
            self.image.paste((*self._tint(colour), 255), box, paint)

    def line(self, points: Sequence[Point], colour: Colour = INK, width: float = 0.045) -> None:
        """A stroke with round ends and joints; `width` in units."""
        path = self._place(points)
        thick = max(1, round(width * self._unit))
        ink = (*self._tint(colour), 255)
        self._draw.line(path, fill=ink, width=thick)
        half = (thick - 1) / 2                        # an ellipse holds both of its edges
        for x, y in path:
            self._draw.ellipse((x - half, y - half, x + half, y + half), fill=ink)

    def shape(self, points: Sequence[Point], colour: Colour, width: float = 0.045) -> None:
        """A painted shape with its ink outline."""
        self.fill(points, colour)
        self.line([*points, points[0]], INK, width)

    def finish(self) -> Image.Image:
        """The picture at its own size, RGBA."""
        return self.image.reduce(self._times)


def canvas_for(
    left: float, top: float, right: float, bottom: float, unit: float, sharpness: int = 3, tint: Tint = as_is
) -> tuple[Canvas, Point]:
    """A canvas for that part of the figure, in units, with even sides; and where its origin lies, in pixels."""
    origin = (float(ceil(-left * unit)), float(ceil(-top * unit)))
    width, height = (2 * ceil((first + last * unit) / 2) for first, last in zip(origin, (right, bottom), strict=True))
    return Canvas(width, height, unit, origin, sharpness, tint), origin
