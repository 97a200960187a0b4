"""A canvas with smooth shapes in figure units, drawn larger and reduced, so that edges are soft."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, cos, pi, sin

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from callsheet.engines.drawing.dice import Colour

Point = tuple[float, float]

INK: Colour = (28, 24, 38)
"""Outlines, and the colour under transparent pixels, so that edges never get a bright fringe."""


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


class Canvas:
    """`unit` pixels are one figure unit, and `origin` is where (0, 0) lies, in pixels; y goes down."""

    def __init__(self, width: int, height: int, unit: float, origin: Point, sharpness: int = 3) -> None:
        self._times = sharpness
        self._unit = unit * sharpness
        self._origin = (origin[0] * sharpness, origin[1] * sharpness)
        self._size = (width * sharpness, height * sharpness)
        self.image = Image.new("RGBA", self._size, (*INK, 0))
        self._draw = ImageDraw.Draw(self.image)

    def _place(self, points: Sequence[Point]) -> list[Point]:
        return [(self._origin[0] + x * self._unit, self._origin[1] + y * self._unit) for x, y in points]

    def mask(self, points: Sequence[Point]) -> Image.Image:
        """The inside of a shape, for `clip`."""
        inside = Image.new("L", self._size, 0)
        ImageDraw.Draw(inside).polygon(self._place(points), fill=255)
        return inside

    def fill(
        self,
        points: Sequence[Point],
        colour: Colour,
        opacity: float = 1,
        clip: Image.Image | None = None,
    ) -> None:
        """Paint a shape; `clip` keeps the paint inside another one."""
        if opacity >= 1 and clip is None:
            self._draw.polygon(self._place(points), fill=(*colour, 255))
            return
        paint = self.mask(points).point([round(v * opacity) for v in range(256)])
        if clip is not None:
            paint = ImageChops.multiply(paint, clip)
        top = Image.new("RGBA", self._size, (*colour, 255))
        if opacity < 1 and clip is None:  # keep what is under it, and its own edge
            top.putalpha(paint)
            self.image.alpha_composite(top)
        else:
            self.image.paste(top, (0, 0), paint)

    def line(self, points: Sequence[Point], colour: Colour = INK, width: float = 0.045) -> None:
        """A stroke with round ends; `width` in units."""
        path = self._place(points)
        thick = max(1, round(width * self._unit))
        self._draw.line(path, fill=(*colour, 255), width=thick, joint="curve")
        for x, y in (path[0], path[-1]):
            self._draw.ellipse([x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2], fill=(*colour, 255))

    def shape(self, points: Sequence[Point], colour: Colour, width: float = 0.045) -> None:
        """A painted shape with its ink outline."""
        self.fill(points, colour)
        self.line([*points, points[0]], INK, width)

    def finish(self) -> Image.Image:
        """The picture at its own size, RGBA."""
        return self.image.reduce(self._times)


def canvas_for(
    left: float, top: float, right: float, bottom: float, unit: float, sharpness: int = 3
) -> tuple[Canvas, Point]:
    """A canvas for that part of the figure, in units, with even sides; and where its origin lies, in pixels."""
    origin = (float(ceil(-left * unit)), float(ceil(-top * unit)))
    width, height = (2 * ceil((first + last * unit) / 2) for first, last in zip(origin, (right, bottom), strict=True))
    return Canvas(width, height, unit, origin, sharpness), origin
