"""A drawn person as layers: hair behind, body, and the head with open, half and closed eyes.

Figure units: the head is about 1 in radius and lies at (0, 0); y goes down. People are drawn turned to the
right and mirrored when they face left.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sin

from PIL import Image, ImageOps

from callsheet.engines.drawing.acting import Expression
from callsheet.engines.drawing.clothing import draw_body
from callsheet.engines.drawing.face import draw_head, mouth_at
from callsheet.engines.drawing.hair import hair_back
from callsheet.engines.drawing.looks import Look
from callsheet.engines.drawing.pen import Canvas, Point, canvas_for


@dataclass(frozen=True)
class Layer:
    """An RGBA picture, and where the figure's (0, 0) lies in it, in pixels."""

    image: Image.Image
    origin: Point


@dataclass(frozen=True)
class Figure:
    """A person, ready to be put into frames."""

    look: Look
    unit: float
    """Pixels a figure unit."""
    back: Layer
    body: Layer
    heads: tuple[Layer, Layer, Layer]
    """Eyes open, half, closed."""
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
    ink: float = 1.0,
) -> Figure:
    """`unit` in pixels, `facing` 1 to the right or -1 to the left, `height` the units from head to lower edge.

    `ink` thickens the outlines.
    """
    back, back_at = canvas_for(-2.1, -2.0, 2.1, 2.6, unit)
    hair_back(back, look, yaw)
    body, body_at = canvas_for(-2.6, 0.3, 2.6, height, unit)
    draw_body(body, look, 0.3 * sin(yaw), height, ink)
    heads = []
    for lids in (0, 1, 2):
        head, head_at = canvas_for(-1.75, -1.75, 1.75, 2.3, unit)
        draw_head(head, look, face, yaw, lids)
        heads.append(_layer(head, head_at, facing))
    x, y, width = mouth_at(face, yaw)
    return Figure(
        look=look,
        unit=unit,
        back=_layer(back, back_at, facing),
        body=_layer(body, body_at, facing),
        heads=(heads[0], heads[1], heads[2]),
        mouth=(x * unit * facing, y * unit),
        mouth_width=width * unit,
    )


def _layer(canvas: Canvas, origin: Point, facing: int) -> Layer:
    image = canvas.finish()
    if facing > 0:
        return Layer(image, origin)
    return Layer(ImageOps.mirror(image), (image.width - origin[0], origin[1]))


def still(figure: Figure, tilt: float = 0.0) -> Layer:
    """The whole person as one picture, head tilted by `tilt` degrees."""
    parts = (figure.back, figure.body, figure.heads[0])
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
