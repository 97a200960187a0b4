"""Neck, shoulders, arms and clothes, down to the lower edge of the picture."""

from __future__ import annotations

from collections.abc import Sequence

from callsheet.engines.drawing.dice import mix
from callsheet.engines.drawing.looks import Look
from callsheet.engines.drawing.pen import INK, Canvas, Point, Stencil, oval, smooth

_SHOULDER = 1.62
"""Half the width of the shoulders, in figure units."""


def draw_body(canvas: Canvas, look: Look, turn: float, height: float) -> None:
    """`turn` moves the near shoulder; `height` in units is where the picture ends."""
    width = 0.05
    skin_dark = mix(look.skin, (150, 62, 66), 0.34)
    torso = _torso(turn, height)
    canvas.shape(torso, look.cloth, width)
    inside = canvas.mask(torso)
    _pattern(canvas, look, height, inside)
    shade = [(-2.6, 1.2), (-1.15, 1.5), (-0.98, 3.0), (-1.02, height + 1), (-2.6, height + 1)]
    canvas.fill(smooth(shade), INK, 0.2, inside)
    canvas.line([*torso, torso[0]], INK, width)
    for side in (-1, 1):  # the inner side of the arms
        canvas.line(
            smooth([(side * 1.12, 2.75), (side * 1.08, 3.6), (side * 1.12, height + 0.2)], closed=False), INK, width
        )
    neck = [(-0.36, 0.6), (-0.36, 1.3), (-0.62, 1.62), (0, 1.9), (0.62, 1.62), (0.36, 1.3), (0.36, 0.6)]
    path = smooth(neck)
    canvas.shape(path, look.skin, width)
    under = [(-0.5, 0.5), (-0.5, 1.22), (-0.1 + turn, 1.46), (0.34 + turn, 1.2), (0.5, 0.5)]
    canvas.fill(smooth(under), skin_dark, clip=canvas.mask(path))
    _collar(canvas, look, width, height)
    _worn(canvas, look, width)


def _torso(turn: float, height: float) -> list[Point]:
    near, far = _SHOULDER + 0.1 * turn, _SHOULDER - 0.35 * turn
    left = [
        (-0.5, 1.42),
        (-1.0, 1.6),
        (-near + 0.12, 1.86),
        (-near - 0.14, 2.6),
        (-near - 0.22, 3.8),
        (-near - 0.1, height + 1),
    ]
    right = [(far + 0.1, height + 1), (far + 0.22, 3.8), (far + 0.14, 2.6), (far - 0.12, 1.86), (1.0, 1.6), (0.5, 1.42)]
    return smooth([*left, left[-1], right[0], *right, (0, 1.5)])


def _pattern(canvas: Canvas, look: Look, height: float, inside: Stencil) -> None:
    if look.pattern == "stripes":
        y = 2.3
        while y < height:
            canvas.fill(
                [(-3, y), (0, y + 0.12), (3, y), (3, y + 0.26), (0, y + 0.38), (-3, y + 0.26)], look.cloth2, clip=inside
            )
            y += 0.66
    elif look.pattern == "dots":
        row = 0
        while 1.9 + row * 0.5 < height:
            for column in range(-4, 5):
                canvas.fill(oval(column * 0.6 + 0.3 * (row % 2), 1.9 + row * 0.5, 0.1, 0.1), look.cloth2, clip=inside)
            row += 1
    elif look.pattern == "block":
        canvas.fill([(-3, 2.55), (3, 2.55), (3, height + 1), (-3, height + 1)], look.cloth2, clip=inside)
        canvas.fill([(-3, 2.55), (3, 2.55), (3, 2.62), (-3, 2.62)], INK, clip=inside)


def _collar(canvas: Canvas, look: Look, width: float, height: float) -> None:
    deep = mix(look.cloth, INK, 0.3)
    if look.clothes == "turtleneck":
        roll: Sequence[Point] = ((-0.5, 1.08), (0, 1.24), (0.5, 1.08), (0.6, 1.62), (0, 1.86), (-0.6, 1.62))
        canvas.shape(smooth(roll), mix(look.cloth, (255, 255, 255), 0.12), width)
        canvas.line(smooth([(-0.52, 1.34), (0, 1.54), (0.52, 1.34)], closed=False), deep, width * 0.7)
    elif look.clothes == "shirt":
        for side in (-1, 1):
            flap = [(side * 0.4, 1.22), (side * 0.78, 1.52), (side * 0.46, 2.12), (side * 0.04, 1.86)]
            canvas.shape([flap[0], flap[1], flap[2], flap[3]], mix(look.cloth, (255, 255, 255), 0.5), width)
        canvas.line([(0, 1.9), (0, height + 0.3)], deep, width * 0.9)
        for n in range(4):
            canvas.fill(oval(0.1, 2.4 + n * 0.7, 0.055, 0.055), INK)
    elif look.clothes == "hoodie":
        for side in (-1, 1):
            hood = [
                (side * 0.42, 1.1),
                (side * 0.95, 1.28),
                (side * 1.08, 1.62),
                (side * 0.5, 2.0),
                (side * 0.02, 1.98),
            ]
            canvas.shape(smooth(hood), mix(look.cloth, INK, 0.16), width)
            canvas.line([(side * 0.26, 2.02), (side * 0.3, 2.8)], (250, 246, 236), width * 1.1)
    elif look.clothes == "jacket":
        canvas.shape([(-0.42, 1.45), (0.42, 1.45), (0.2, height + 0.5), (-0.2, height + 0.5)], look.cloth2, width)
        canvas.fill(smooth([(-0.4, 1.4), (0.4, 1.4), (0.0, 1.78)]), look.skin)
        for side in (-1, 1):
            lapel = [(side * 0.5, 1.3), (side * 0.98, 1.62), (side * 0.86, 2.3), (side * 0.2, 3.1), (side * 0.36, 2.0)]
            canvas.shape(lapel, mix(look.cloth, INK, 0.14), width)
    else:
        canvas.line(
            smooth([(-0.62, 1.5), (-0.3, 1.82), (0, 1.92), (0.3, 1.82), (0.62, 1.5)], closed=False), deep, width * 2.4
        )


def _worn(canvas: Canvas, look: Look, width: float) -> None:
    bright = mix(look.cloth2, (255, 255, 255), 0.2)
    if look.detail == "scarf":
        canvas.shape(smooth([(0.1, 1.7), (0.5, 1.66), (0.62, 2.7), (0.26, 2.84)]), look.cloth2, width)
        canvas.shape(
            smooth([(-0.66, 1.12), (0, 1.3), (0.66, 1.12), (0.72, 1.6), (0, 1.88), (-0.72, 1.6)]), bright, width
        )
    elif look.detail == "necklace":
        canvas.line(
            smooth([(-0.46, 1.5), (-0.24, 1.92), (0, 2.04), (0.24, 1.92), (0.46, 1.5)], closed=False),
            (236, 196, 84),
            0.05,
        )
        canvas.shape(oval(0, 2.14, 0.12, 0.12), (236, 196, 84), width * 0.8)
    elif look.detail == "badge":
        canvas.shape(oval(0.78, 2.3, 0.2, 0.2), bright, width)
        canvas.fill(oval(0.78, 2.3, 0.09, 0.09), look.cloth)
