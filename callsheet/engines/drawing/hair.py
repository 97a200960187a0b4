"""Haircuts: what lies behind the head, and the cap with its fringe in front.

All shapes are for a head of radius about 1 at (0, 0) that turns to the right by `yaw` radians.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import asin, cos, degrees, pi, radians, sin

from callsheet.engines.drawing.dice import mix
from callsheet.engines.drawing.looks import Look
from callsheet.engines.drawing.pen import INK, Canvas, Point, oval, smooth

Hairline = Sequence[tuple[float, float]]
"""(angle around the head in degrees, height), from the right temple to the left one."""

_SWEPT: Hairline = (
    (84, 0.12),
    (66, -0.22),
    (40, -0.5),
    (5, -0.66),
    (-22, -0.8),
    (-30, -0.78),
    (-48, -0.5),
    (-68, -0.16),
    (-84, 0.16),
)
_BANGS: Hairline = (
    (84, 0.2),
    (70, -0.2),
    (52, -0.38),
    (26, -0.46),
    (0, -0.48),
    (-26, -0.46),
    (-52, -0.38),
    (-70, -0.2),
    (-84, 0.2),
)
_HIGH: Hairline = (
    (84, 0.1),
    (72, -0.3),
    (56, -0.56),
    (28, -0.68),
    (0, -0.72),
    (-28, -0.68),
    (-56, -0.56),
    (-72, -0.3),
    (-84, 0.1),
)
_JAGGED: Hairline = (
    (84, 0.14),
    (70, -0.3),
    (54, -0.34),
    (46, -0.56),
    (28, -0.4),
    (16, -0.62),
    (-4, -0.4),
    (-16, -0.64),
    (-34, -0.42),
    (-46, -0.6),
    (-60, -0.32),
    (-72, -0.34),
    (-84, 0.14),
)

_HAIRLINES: dict[str, Hairline] = {
    "long": _SWEPT,
    "bob": _BANGS,
    "ponytail": _SWEPT,
    "bun": _HIGH,
    "curly": _HIGH,
    "pixie": _SWEPT,
    "short": _HIGH,
    "quiff": _HIGH,
    "spiky": _JAGGED,
}


def shows_ears(cut: str) -> bool:
    return cut not in ("long", "bob", "curly")


def hair_back(canvas: Canvas, look: Look, yaw: float) -> None:
    """What hangs or bulges behind head and shoulders; nothing for short hair."""
    back = -0.42 * sin(yaw)
    dark = mix(look.hair, INK, 0.28)
    if look.haircut == "long":
        half = [(0.7, -0.9), (1.12, -0.3), (1.2, 0.5), (1.26, 1.3), (1.3, 2.0), (1.02, 2.34), (0.7, 2.2)]
        _mirrored(canvas, half, back, dark)
    elif look.haircut == "bob":
        half = [(0.7, -0.9), (1.16, -0.3), (1.26, 0.4), (1.3, 0.92), (1.1, 1.16), (0.7, 1.12)]
        _mirrored(canvas, half, back, dark)
    elif look.haircut == "curly":
        _curls(canvas, look, back)
    elif look.haircut == "ponytail":
        tail = [
            (-0.7, -0.75),
            (-1.2, -0.8),
            (-1.62, -0.2),
            (-1.6, 0.7),
            (-1.34, 1.4),
            (-1.2, 1.5),
            (-1.3, 0.8),
            (-1.1, 0.1),
            (-0.75, -0.2),
        ]
        canvas.shape(smooth(tail), dark)
        canvas.line(smooth([(-1.0, -0.6), (-1.4, -0.1), (-1.42, 0.8)], closed=False), mix(dark, INK, 0.5), 0.03)
    elif look.haircut == "bun":
        canvas.shape(oval(back - 0.02, -1.32, 0.5, 0.44), look.hair)
        canvas.line(oval(back - 0.02, -1.3, 0.28, 0.24, 150, 330), mix(look.hair, INK, 0.4), 0.035)


def _mirrored(canvas: Canvas, half: Sequence[Point], shift: float, colour: tuple[int, int, int]) -> None:
    right = [(x + shift * (0.4 if y < 0 else 1), y) for x, y in half]
    left = [(-x + shift * (0.4 if y < 0 else 1), y) for x, y in reversed(half)]
    canvas.shape(smooth([*right, *left]), colour)


def _curls(canvas: Canvas, look: Look, shift: float) -> None:
    ring = [
        (shift * 0.5 + 1.06 * cos(a), -0.28 + 1.0 * sin(a)) for a in (pi * (0.86 + n / 9.2 * 1.28) for n in range(10))
    ]
    ring += [(shift + 1.06 * side, 0.32) for side in (-1, 1)]
    for x, y in ring:
        canvas.line(oval(x, y, 0.4, 0.4), INK, 0.09)
    for x, y in ring:
        canvas.fill(oval(x, y, 0.4, 0.4), look.hair)
    canvas.fill(oval(shift * 0.5, -0.2, 1.0, 0.95), look.hair)


def hair_front(canvas: Canvas, look: Look, yaw: float) -> None:
    """The cap: from the nape over the crown to the hairline."""
    seen = [(degrees(yaw) + angle, y) for angle, y in _HAIRLINES[look.haircut]]
    front = [point for point in seen if point[0] <= 82]
    line = smooth([_on_head(angle, y, yaw) for angle, y in front], closed=False, steps=6)
    crown = _crown(look.haircut, yaw, front[0][1])
    cap = [*crown, *line]
    canvas.fill(cap, look.hair)
    inside = canvas.mask(cap)
    back = -0.3 * sin(yaw)
    shine = smooth(
        [(back - 0.5, -0.62), (back - 0.1, -0.93), (back + 0.42, -0.9), (back + 0.1, -0.8), (back - 0.2, -0.74)]
    )
    canvas.fill(shine, mix(look.hair, (255, 255, 255), 0.2), clip=inside)
    shade = [*oval(back, 0, 1.3, 1.35, 120, 200), *oval(back + 0.2, 0.06, 1.14, 1.22, 200, 120)]
    canvas.fill(shade, mix(look.hair, INK, 0.26), clip=inside)
    canvas.line([*cap, cap[0]])
    if look.haircut in ("long", "bob"):
        _curtains(canvas, look, yaw)


def _on_head(seen: float, y: float, yaw: float) -> Point:
    """A point of the hairline at an angle from the camera; a profile's forehead is flatter than a ball."""
    flat = 1 - (0.14 * max(0.0, sin(radians(seen))) if yaw > 1 else 0.0)
    return 0.95 * flat * sin(radians(max(seen, -88))) * (1 - 0.1 * max(0.0, -y - 0.3)), y


def _crown(cut: str, yaw: float, ends_at: float) -> list[Point]:
    """The outer edge, from the nape over the top to the height where the hairline begins."""
    high, back = {"quiff": 1.3, "spiky": 1.2, "curly": 1.22}.get(cut, 1.19), -0.06 * sin(yaw)
    last = degrees(asin(min(max((ends_at + 0.04) / high, -0.9), 0.9)))
    arc = oval(back, -0.04, 1.03, high, 180 - 13 - 0.5 * degrees(yaw), 360 + last)
    if cut == "spiky":
        return [
            (x * far, (y + 0.1) * far - 0.1)
            for n, (x, y) in enumerate(arc)
            for far in ((1.16, 0.97, 1.02)[n % 3] if y < -0.25 else 1.0,)
        ]
    if cut == "quiff":
        return [(x + 0.14 * max(0.0, -y - 0.5), y - 0.16 * max(0.0, x + 0.2) * (y < -0.5)) for x, y in arc]
    if cut == "curly":
        return [(x * far, y * far) for n, (x, y) in enumerate(arc) for far in (1 + 0.05 * sin(n * 1.9),)]
    return arc


def _curtains(canvas: Canvas, look: Look, yaw: float) -> None:
    """Hair that falls beside the face, in front of ears and shoulders."""
    low = 1.8 if look.haircut == "long" else 1.02
    for side in (-1, 1):
        seen = degrees(yaw) + side * 84
        if seen > 100:
            continue
        x = 0.98 * sin(radians(min(seen, 88)))
        wide = 0.17 + 0.36 * max(0.0, cos(radians(seen)))
        edge = side * 1.03 - 0.06 * sin(yaw)
        inner, outer = x - side * wide * 0.55, edge if seen < 0 or yaw < 0.3 else x + side * 0.06
        fall = [
            (inner, -0.22),
            (inner - side * 0.02, low * 0.45),
            (inner + side * 0.05, low * 0.8),
            (x + side * 0.03, low),
            (outer, low * 0.8),
            (outer + side * 0.06, low * 0.4),
            (outer, -0.16),
        ]
        path = smooth(fall, closed=False)
        canvas.fill([(inner + side * 0.06, -0.5), *path, (side * 0.9 if outer == edge else outer, -0.5)], look.hair)
        canvas.line(path, INK)
