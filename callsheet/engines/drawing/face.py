"""The head: outline, ears, eyes, brows, nose, mouth. Hair comes from hair.py.

Features lie on a ball that turns by `yaw`: what turns away gets narrower, then hides.
"""

from __future__ import annotations

from math import cos, radians, sin

from callsheet.engines.drawing.acting import Expression
from callsheet.engines.drawing.dice import Colour, mix
from callsheet.engines.drawing.hair import hair_front, shows_ears
from callsheet.engines.drawing.looks import Look
from callsheet.engines.drawing.pen import INK, Canvas, Point, oval, smooth

_PROFILE_FROM = 0.95
_EYE_ANGLE = radians(25)
_EYE_Y = 0.08
_MOUTH_Y = 0.66
EYE_STRIP = (-1.4, -0.42, 1.4, 0.5)
"""Left, upper, right and lower edge of all that lids change, in figure units."""
_LIP: Colour = (176, 92, 86)
_TURN = 0.88
"""Features turn a little less than the head, or the far eye would leave the face."""

_FRONT: tuple[Point, ...] = (
    (0.0, -1.12),
    (0.6, -0.96),
    (0.9, -0.4),
    (0.92, 0.1),
    (0.84, 0.52),
    (0.58, 0.9),
    (0.22, 1.12),
)
_SIDE: tuple[Point, ...] = (
    (0.1, -1.1),
    (0.62, -0.94),
    (0.86, -0.5),
    (0.87, -0.16),
    (0.83, 0.04),
    (0.95, 0.26),
    (1.1, 0.42),
    (1.04, 0.5),
    (0.9, 0.52),
    (0.95, 0.62),
    (0.89, 0.68),
    (0.93, 0.76),
    (0.85, 0.86),
    (0.86, 1.0),
    (0.72, 1.13),
    (0.35, 1.04),
    (-0.02, 0.78),
    (-0.3, 0.62),
    (-0.85, 0.4),
    (-0.98, -0.3),
    (-0.6, -0.95),
)


def mouth_at(face: Expression, yaw: float) -> tuple[float, float, float]:
    """Centre and width of the mouth in figure units; wide enough to cover an open mouth's height."""
    half = _mouth_half(face, yaw)
    x = 0.72 * sin(yaw) if yaw < _PROFILE_FROM else 0.74
    return x, _MOUTH_Y + 0.1 * _gape(face), 2 * max(half, 0.55 * _gape(face))


def _mouth_half(face: Expression, yaw: float) -> float:
    return 0.29 * (1 + 0.8 * face.mouth_width) * max(0.42, cos(yaw))


def _gape(face: Expression) -> float:
    return min(max(face.mouth_open, 0.0), 0.52)


def draw_head(canvas: Canvas, look: Look, face: Expression, yaw: float, lids: int = 0) -> None:
    """`yaw` from 0 (front) to about 1.4 (profile), radians; `lids` 0 open, 1 half, 2 closed."""
    outline = _outline(look, yaw)
    if shows_ears(look.haircut):
        _ears(canvas, look, yaw, behind=True)
    canvas.fill(outline, look.skin)
    inside = canvas.mask(outline)
    dark = mix(look.skin, (150, 62, 66), 0.3)
    shade = [*oval(-0.05, 0, 1.3, 1.3, 75, 200), *oval(0.16 + 0.2 * sin(yaw), -0.12, 1.1, 1.17, 200, 75)]
    canvas.fill(smooth(shade), dark, clip=inside)
    if face.blush > 0.1:
        for x, wide in _pair(yaw, radians(36)):
            canvas.fill(oval(x, 0.42, 0.19 * wide, 0.11), (236, 96, 96), min(0.5 * face.blush, 0.55), inside)
    canvas.line([*outline, outline[0]])
    eyes = _pair(yaw, _EYE_ANGLE)
    for x, wide in eyes:
        _eye(canvas, look, face, x, wide, _side(x, yaw), lids)
    _nose(canvas, dark, yaw)
    _mouth(canvas, face, yaw)
    if look.detail == "earrings" and not shows_ears(look.haircut):
        _earrings(canvas, look, yaw)
    hair_front(canvas, look, yaw)
    for x, wide in eyes:                               # brows show through a fringe: they tell the mood
        _brow(canvas, look, face, x, wide, _side(x, yaw))
    if shows_ears(look.haircut):
        _ears(canvas, look, yaw, behind=False)
        if look.detail == "earrings":
            _earrings(canvas, look, yaw)
    if look.detail == "glasses":
        _glasses(canvas, look, yaw)


def _pair(yaw: float, apart: float) -> list[tuple[float, float]]:
    """(x, share of full width) of a feature on both sides; one that has turned away is left out."""
    seen = [_TURN * yaw - apart, _TURN * yaw + apart]
    return [(0.93 * sin(angle), cos(angle)) for angle in seen if angle < radians(72)]


def _side(x: float, yaw: float) -> int:
    """1 for the eye on the side of the face that looks away from the left, else -1."""
    return 1 if x > 0.93 * sin(_TURN * yaw) else -1


def _outline(look: Look, yaw: float) -> list[Point]:
    if yaw > _PROFILE_FROM:
        return smooth(_SIDE)
    full = 0.06 * look.young
    right = [(x + full * (0.2 < y < 1), y - 0.05 * look.young * (y > 0.8)) for x, y in _FRONT]
    whole = [*right, *((-x, y) for x, y in reversed(right[1:]))]
    turned = sin(yaw)
    return smooth(
        [
            (x + turned * 0.2 * max(0.0, (y + 0.3) / 1.3) - turned * 0.12 * (x > 0.6) * (-0.3 < y < 0.3), y)
            for x, y in whole
        ]
    )


def _ears(canvas: Canvas, look: Look, yaw: float, behind: bool) -> None:
    for side in (-1, 1):
        angle = yaw + side * radians(90)
        in_front = yaw > 0.3 and side < 0
        if angle > radians(95) or in_front == behind:
            continue
        x = 0.95 * sin(angle)
        canvas.shape(oval(x, 0.14, 0.17, 0.25), mix(look.skin, (150, 62, 66), 0.12))
        canvas.line(oval(x, 0.15, 0.08, 0.13, 110, 320), mix(look.skin, (120, 50, 50), 0.5), 0.03)


def _eye(canvas: Canvas, look: Look, face: Expression, x: float, wide: float, side: int, lids: int) -> None:
    size = 1 + 0.14 * look.young
    rx = 0.2 * size * max(wide, 0.45)
    ry = 0.2 * size * min(max(1 + 0.8 * face.eye_open, 0.35), 1.5) * (1, 0.45, 0)[lids]
    upper = smooth(
        [
            (x - rx * 1.12, _EYE_Y + ry * 0.1),
            (x - rx * 0.5, _EYE_Y - ry * 0.85),
            (x + rx * 0.5, _EYE_Y - ry * 0.85),
            (x + rx * 1.12, _EYE_Y + ry * 0.1),
        ],
        closed=False,
    )
    if lids == 2:
        closed = [(x - rx * 1.1, _EYE_Y + 0.02), (x, _EYE_Y + 0.1), (x + rx * 1.1, _EYE_Y + 0.02)]
        canvas.line(smooth(closed, closed=False), INK, 0.065)
        return
    lower = smooth(
        [
            (x + rx * 1.0, _EYE_Y + ry * 0.25),
            (x + rx * 0.4, _EYE_Y + ry * 0.95),
            (x - rx * 0.4, _EYE_Y + ry * 0.95),
            (x - rx * 1.0, _EYE_Y + ry * 0.25),
        ],
        closed=False,
    )
    ball = [*upper, *lower]
    canvas.fill(ball, (255, 253, 248))
    inside = canvas.mask(ball)
    iris_y = _EYE_Y - 0.02 - 0.06 * face.look_up
    canvas.fill(oval(x, iris_y, 0.15 * size * max(wide, 0.6), 0.165 * size), look.iris, clip=inside)
    canvas.fill(oval(x, iris_y, 0.075 * size * max(wide, 0.6), 0.09 * size), INK, clip=inside)
    canvas.fill(oval(x + 0.05 * wide, iris_y - 0.07, 0.045, 0.05), (255, 255, 255), clip=inside)
    canvas.line(lower, mix(look.skin, INK, 0.5), 0.022)
    canvas.line(upper, INK, 0.075 if look.lashes else 0.06)
    if look.lashes:
        end = upper[-1] if side > 0 else upper[0]
        canvas.line([end, (end[0] + side * 0.08, end[1] - 0.09)], INK, 0.05)


def _brow(canvas: Canvas, look: Look, face: Expression, x: float, wide: float, side: int) -> None:
    half = 0.22 * max(wide, 0.5)
    y = -0.31 - 0.12 * face.brow_lift
    tilt = min(max(face.brow_tilt, -1.5), 1.5) * 0.11
    inner, outer = (x - side * half, y + tilt), (x + side * half, y - tilt * 0.75 + 0.03)
    bow = (x, y - 0.05)
    thick = 0.07 if look.lashes else 0.1
    canvas.line(smooth([inner, bow, outer], closed=False), mix(look.hair, INK, 0.45), thick)


def _nose(canvas: Canvas, dark: Colour, yaw: float) -> None:
    line = mix(dark, INK, 0.45)
    if yaw > _PROFILE_FROM:
        canvas.line(smooth([(0.93, 0.5), (0.88, 0.44), (0.92, 0.4)], closed=False), line, 0.03)
    elif yaw > 0.3:
        x = 0.9 * sin(yaw)
        canvas.line(smooth([(x + 0.02, 0.2), (x + 0.13, 0.38), (x - 0.04, 0.43)], closed=False), line, 0.036)
    else:
        x = 0.9 * sin(yaw)
        canvas.line(smooth([(x + 0.07, 0.3), (x + 0.1, 0.4), (x - 0.02, 0.43)], closed=False), line, 0.042)


def _mouth(canvas: Canvas, face: Expression, yaw: float) -> None:
    x, _, _ = mouth_at(face, yaw)
    half, gape = _mouth_half(face, yaw), _gape(face) * 0.3
    bend = 0.45 * half * min(max(face.smile, -1.2), 1.2) * (0.55 if gape >= 0.03 else 1)
    ends = (-0.6, 1.0) if yaw > _PROFILE_FROM else (1.0, 1.0)  # a profile shows one corner only
    top = [
        (x - half, _MOUTH_Y - bend * ends[1]),
        (x - half * 0.5, _MOUTH_Y + bend * 0.35),
        (x, _MOUTH_Y + bend * 0.6),
        (x + half * 0.5, _MOUTH_Y + bend * 0.35),
        (x + half, _MOUTH_Y - bend * ends[0]),
    ]
    upper = smooth(top, closed=False)
    if gape < 0.03:
        canvas.line(upper, INK, 0.055)
        if yaw <= _PROFILE_FROM:
            below = _MOUTH_Y + bend * 0.6 + 0.14
            canvas.line([(x - half * 0.3, below), (x + half * 0.3, below)], _LIP, 0.028)
        return
    low = gape * 1.7
    bottom = smooth(
        [
            top[-1],
            (x + half * 0.8, _MOUTH_Y + low * 0.66),
            (x + half * 0.42, _MOUTH_Y + bend * 0.5 + low * 0.97),
            (x - half * 0.42, _MOUTH_Y + bend * 0.5 + low * 0.97),
            (x - half * 0.8, _MOUTH_Y + low * 0.66),
            top[0],
        ],
        closed=False,
    )
    hole = [*upper, *bottom]
    canvas.fill(hole, (110, 24, 40))
    within = canvas.mask(hole)
    canvas.fill(oval(x, _MOUTH_Y + bend * 0.6 + low * 1.1, half * 0.6, low * 0.5), (226, 92, 96), clip=within)
    teeth = [*top, *((px, py + min(low * 0.34, 0.1)) for px, py in reversed(top))]
    canvas.fill(teeth, (255, 252, 246), clip=within)
    canvas.line([*hole, hole[0]], INK, 0.05)


def _glasses(canvas: Canvas, look: Look, yaw: float) -> None:
    rims = mix(look.cloth, INK, 0.55)
    pair = _pair(yaw, _EYE_ANGLE)
    for x, wide in pair:
        rim = oval(x, _EYE_Y + 0.02, 0.31 * max(wide, 0.5), 0.29)
        canvas.line([*rim, rim[0]], rims, 0.055)
    if len(pair) == 2:
        (left, a), (right, b) = pair
        canvas.line([(left + 0.31 * max(a, 0.5), _EYE_Y), (right - 0.31 * max(b, 0.5), _EYE_Y)], rims, 0.05)


def _earrings(canvas: Canvas, look: Look, yaw: float) -> None:
    for side in (-1, 1):
        angle = yaw + side * radians(90)
        if angle <= radians(95):
            canvas.shape(oval(0.98 * sin(angle), 0.52, 0.1, 0.13), look.cloth2, 0.04)
