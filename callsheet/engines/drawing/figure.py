"""A drawn person as layers: hair behind, body, the head with open eyes, and half or closed eyes to lay over it.

Figure units: the head is about 1 in radius and lies at (0, 0); y goes down. People are drawn turned to the
right and mirrored when they face left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, sin

from PIL import Image, ImageOps

from callsheet.engines.drawing.acting import Expression
from callsheet.engines.drawing.clothing import draw_body
from callsheet.engines.drawing.face import EYE_STRIP, draw_head, mouth_at
from callsheet.engines.drawing.hair import hair_back
from callsheet.engines.drawing.looks import Look
from callsheet.engines.drawing.pen import Canvas, Layer, Point, Tint, as_is, canvas_for

_SHARPNESS = 3


@dataclass(frozen=True)
class Medium:
    """What a figure is drawn for."""

    tint: Tint = as_is
    times: int = 1
    """Layers stay so many times larger than shown: 1, or the sharpness of the canvas."""


PAPER = Medium()


@dataclass(frozen=True)
class Figure:
    """A person, ready to be put into pictures."""

    look: Look
    unit: float
    """Pixels a figure unit."""
    back: Layer
    body: Layer
    head: Layer
    """With open eyes."""
    lids: Callable[[int], Layer]
    """The strip of the head around half (1) or closed (2) eyes, to be laid over it."""
    mouth: Point
    """Centre of the mouth, in pixels from the figure's (0, 0)."""
    mouth_width: float
    """Pixels."""


def draw_figure(
    look: Look,
    face: Expression,
    yaw: float,
    unit: float,
    facing: int = 1,
    height: float = 6.0,
    medium: Medium = PAPER,
) -> Figure:
    """`unit` in pixels, `facing` 1 to the right or -1 to the left, `height` the units from head to lower edge."""

    def layer(box: tuple[float, float, float, float], paint: Callable[[Canvas], None]) -> Layer:
        canvas, origin = canvas_for(*box, unit, _SHARPNESS, medium.tint)
        paint(canvas)
        image = canvas.finish() if medium.times == 1 else canvas.image
        at = (origin[0] * medium.times, origin[1] * medium.times)
        if facing > 0:
            return Layer(image, at, medium.times)
        return Layer(ImageOps.mirror(image), (image.width - at[0], at[1]), medium.times)

    x, y, width = mouth_at(face, yaw)
    return Figure(
        look=look,
        unit=unit,
        back=layer((-2.1, -2.0, 2.1, 2.6), lambda canvas: hair_back(canvas, look, yaw)),
        body=layer((-2.6, 0.3, 2.6, height), lambda canvas: draw_body(canvas, look, 0.3 * sin(yaw), height)),
        head=layer((-1.75, -1.75, 1.75, 2.3), lambda canvas: draw_head(canvas, look, face, yaw)),
        lids=lambda lids: layer(EYE_STRIP, lambda canvas: draw_head(canvas, look, face, yaw, lids)),
        mouth=(x * unit * facing, y * unit),
        mouth_width=width * unit,
    )


def still(figure: Figure, tilt: float = 0.0) -> Layer:
    """The whole person, drawn on paper, as one picture; head tilted by `tilt` degrees."""
    parts = (figure.back, figure.body, figure.head)
    left = ceil(max(part.origin[0] for part in parts))
    top = ceil(max(part.origin[1] for part in parts))
    right = max(part.image.width - part.origin[0] for part in parts)
    bottom = max(part.image.height - part.origin[1] for part in parts)
    whole = Image.new("RGBA", (left + ceil(right), top + ceil(bottom)), (0, 0, 0, 0))
    for part in parts:
        image = part.image
        if tilt and part is not figure.body:
            pivot = (part.origin[0], part.origin[1] + 0.9 * figure.unit)
            image = image.rotate(-tilt, Image.Resampling.BICUBIC, center=pivot)
        whole.alpha_composite(image, (round(left - part.origin[0]), round(top - part.origin[1])))
    return Layer(whole, (float(left), float(top)))
