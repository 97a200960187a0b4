"""Drawn places. Each paints something far and something near; (0, 0) is the middle of the picture, and the
shorter side is 1 unit long, so that `wide` and `high` are the picture's sides in units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sin
from types import MappingProxyType

from callsheet.engines.drawing.dice import Colour, Dice, mix
from callsheet.engines.drawing.pen import INK, Canvas, Point, oval, smooth


@dataclass(frozen=True)
class Palette:
    """Colours of the sky or wall, from its upper to its lower edge."""

    top: Colour
    low: Colour
    dark: bool

    def far(self, share: float) -> Colour:
        """A silhouette's colour: 0 melts into the distance, 1 is near."""
        return mix(mix(self.low, self.top, 0.35), mix(self.top, INK, 0.55), share)


Place = Callable[[Canvas, Canvas, Palette, Dice, float, float], None]


def _sun(canvas: Canvas, palette: Palette, dice: Dice, wide: float, high: float) -> None:
    x, y = dice.between("sun x", -0.42, 0.42) * wide, dice.between("sun y", -0.36, -0.16) * high
    bright = (240, 242, 255) if palette.dark else mix(palette.low, (255, 244, 200), 0.8)
    for radius, opacity in ((0.26, 0.16), (0.18, 0.25)):
        canvas.fill(oval(x, y, radius, radius), bright, opacity)
    canvas.fill(oval(x, y, 0.1, 0.1), bright)
    if palette.dark:
        for n in range(46):
            size = dice.between(f"star {n}", 0.0015, 0.0045)
            canvas.fill(
                oval(dice.between(f"sx {n}", -0.5, 0.5) * wide, dice.between(f"sy {n}", -0.5, 0.1) * high, size, size),
                bright,
            )


def _ridge(
    canvas: Canvas, colour: Colour, dice: Dice, name: str, base: float, swing: float, wide: float, high: float
) -> None:
    phase, second = dice.between(f"{name} a", 0, 6.3), dice.between(f"{name} b", 0, 6.3)
    steps = [(-0.5 + n / 60) * wide for n in range(61)]
    line: list[Point] = [(x, base - swing * (0.6 * sin(x * 4.2 + phase) + 0.4 * sin(x * 9.1 + second))) for x in steps]
    canvas.fill([*line, (wide / 2, high), (-wide / 2, high)], colour)


def _hills(back: Canvas, near: Canvas, palette: Palette, dice: Dice, wide: float, high: float) -> None:
    _sun(back, palette, dice, wide, high)
    peaks = 5
    for n in range(peaks):
        x = (-0.5 + (n + dice.between(f"peak {n}", 0.1, 0.9)) / peaks) * wide
        tall, half = dice.between(f"tall {n}", 0.2, 0.42), dice.between(f"half {n}", 0.22, 0.4)
        top = 0.24 * high - tall
        back.fill([(x, top), (x + half, 0.3 * high), (x - half, 0.3 * high)], palette.far(0.2))
        back.fill(
            [
                (x, top),
                (x + half * 0.26, top + tall * 0.3),
                (x + 0.02, top + tall * 0.22),
                (x - half * 0.2, top + tall * 0.26),
            ],
            mix(palette.low, (255, 255, 255), 0.6),
        )
    _ridge(back, mix(palette.far(0.35), (110, 170, 110), 0.35), dice, "mid", 0.2 * high, 0.06, wide, high)
    _ridge(near, mix(palette.far(0.5), (76, 140, 92), 0.55), dice, "near", 0.32 * high, 0.05, wide, high)


def _city(back: Canvas, near: Canvas, palette: Palette, dice: Dice, wide: float, high: float) -> None:
    _sun(back, palette, dice, wide, high)
    lit: Colour = (255, 224, 140)
    for canvas, name, tone, base, tall, step in (
        (back, "far", 0.25, 0.5, 0.62, 0.1),
        (near, "near", 0.55, 0.5, 0.4, 0.15),
    ):
        x, n = -wide / 2 - 0.05, 0
        while x < wide / 2:
            across = step * dice.between(f"{name} w {n}", 0.8, 1.5)
            top = base * high - tall * dice.between(f"{name} h {n}", 0.55, 1.2)
            colour = palette.far(tone + dice.between(f"{name} tone {n}", -0.06, 0.06))
            canvas.fill([(x, top), (x + across, top), (x + across, high), (x, high)], colour)
            _windows(
                canvas,
                mix(colour, lit, 0.8 if palette.dark else 0.3),
                Dice(dice.unit(f"{name} win {n}")),
                x,
                top,
                across,
                high,
            )
            x, n = x + across + 0.006, n + 1


def _windows(canvas: Canvas, colour: Colour, dice: Dice, x: float, top: float, across: float, high: float) -> None:
    row = 0
    while top + 0.03 + row * 0.045 < 0.5 * high:
        columns = int(across / 0.034)
        for column in range(columns):
            if dice.unit(f"{row} {column}") < 0.42:
                left, up = x + (column + 0.5) * across / columns - 0.007, top + 0.025 + row * 0.045
                canvas.fill([(left, up), (left + 0.014, up), (left + 0.014, up + 0.022), (left, up + 0.022)], colour)
        row += 1


def _forest(back: Canvas, near: Canvas, palette: Palette, dice: Dice, wide: float, high: float) -> None:
    _sun(back, palette, dice, wide, high)
    _ridge(back, mix(palette.far(0.25), (90, 150, 110), 0.4), dice, "ridge", 0.16 * high, 0.05, wide, high)
    rows = ((back, "far", 0.4, 0.22, 0.3, 13), (near, "near", 0.6, 0.46, 0.52, 8))
    for canvas, name, tone, base, tall, count in rows:
        for n in range(count):
            x = (-0.5 + (n + dice.between(f"{name} {n}", 0.15, 0.85)) / count) * wide
            size = tall * dice.between(f"{name} size {n}", 0.7, 1.15)
            colour = mix(palette.far(tone), (56, 128, 84), 0.5 + dice.between(f"{name} tint {n}", -0.1, 0.12))
            foot = base * high
            canvas.fill(
                [(x - 0.014, foot - 0.1), (x + 0.014, foot - 0.1), (x + 0.014, foot + 0.02), (x - 0.014, foot + 0.02)],
                mix(colour, (90, 54, 40), 0.6),
            )
            for k in range(3):
                low, half = foot - 0.04 - k * size * 0.22, size * (0.26 - 0.06 * k)
                canvas.fill(
                    [(x, low - size * 0.42), (x + half, low), (x - half, low)], mix(colour, palette.low, 0.07 * k)
                )
        _ridge(
            canvas, mix(palette.far(tone), (64, 124, 80), 0.5), dice, f"{name} floor", base * high, 0.015, wide, high
        )


def _sea(back: Canvas, near: Canvas, palette: Palette, dice: Dice, wide: float, high: float) -> None:
    _sun(back, palette, dice, wide, high)
    water = mix(palette.top, (30, 110, 160), 0.45)
    line = 0.08 * high
    back.fill([(-wide, line), (wide, line), (wide, high), (-wide, high)], water)
    for n in range(40):
        y = line + (0.5 * high - line) * dice.unit(f"y {n}") ** 1.4
        x, half = dice.between(f"x {n}", -0.5, 0.5) * wide, 0.02 + 0.14 * (y - line)
        back.fill(oval(x, y, half, 0.004 + 0.008 * (y - line)), mix(water, palette.low, 0.65))
    x = dice.between("boat", -0.4, 0.4) * wide
    back.fill([(x, line - 0.13), (x + 0.085, line - 0.015), (x, line - 0.015)], (250, 248, 240))
    back.fill(
        [(x - 0.07, line - 0.012), (x + 0.09, line - 0.012), (x + 0.06, line + 0.022), (x - 0.05, line + 0.022)],
        palette.far(0.9),
    )
    _ridge(near, mix((236, 206, 150), palette.top, 0.22), dice, "sand", 0.38 * high, 0.02, wide, high)


def _desert(back: Canvas, near: Canvas, palette: Palette, dice: Dice, wide: float, high: float) -> None:
    _sun(back, palette, dice, wide, high)
    sand: Colour = (232, 184, 120)
    _ridge(back, mix(palette.far(0.2), sand, 0.45), dice, "far", 0.12 * high, 0.07, wide, high)
    _ridge(back, mix(palette.far(0.3), sand, 0.65), dice, "mid", 0.24 * high, 0.06, wide, high)
    _ridge(near, mix(palette.far(0.4), sand, 0.8), dice, "near", 0.36 * high, 0.04, wide, high)


def _room(back: Canvas, near: Canvas, palette: Palette, dice: Dice, wide: float, high: float) -> None:
    wall = mix(mix(palette.low, palette.top, 0.3), (240, 222, 196), 0.45)
    back.fill([(-wide, -high), (wide, -high), (wide, high), (-wide, high)], wall)
    for n in range(9):
        x = (-0.5 + n / 8) * wide
        back.fill(
            [(x - 0.012, -high), (x + 0.012, -high), (x + 0.012, high), (x - 0.012, high)],
            mix(wall, (255, 255, 255), 0.14),
        )
    side = 1 if dice.unit("window") < 0.5 else -1
    x, y, half, tall = side * 0.3 * wide, -0.14 * high, 0.17 * max(1.0, wide * 0.6), 0.24
    back.fill([(x - half, y - tall), (x + half, y - tall), (x + half, y + tall), (x - half, y + tall)], (250, 246, 236))
    for a, b in ((-1, 0), (0, 1)):
        for c, d in ((-1, 0), (0, 1)):
            pane = [
                (x + half * (a + 0.08), y + tall * (c + 0.08)),
                (x + half * (b - 0.08), y + tall * (c + 0.08)),
                (x + half * (b - 0.08), y + tall * (d - 0.08)),
                (x + half * (a + 0.08), y + tall * (d - 0.08)),
            ]
            back.fill(pane, mix(palette.top, palette.low, 0.25 if c < 0 else 0.75))
    for n in range(2):
        px, py = -side * (0.24 + 0.2 * n) * wide, dice.between(f"frame {n}", -0.26, -0.1) * high
        size = dice.between(f"frame size {n}", 0.07, 0.11)
        back.fill(
            [(px - size, py - size), (px + size, py - size), (px + size, py + size), (px - size, py + size)],
            palette.far(0.75),
        )
        back.fill(
            oval(px, py, size * 0.66, size * 0.66),
            mix(palette.low, dice.pick(f"art {n}", ((230, 120, 90), (90, 150, 190), (240, 200, 90))), 0.7),
        )
    shelf = mix(palette.far(0.6), (120, 78, 56), 0.6)
    near.fill([(-wide, 0.34 * high), (wide, 0.34 * high), (wide, high), (-wide, high)], shelf)
    near.fill(
        [(-wide, 0.34 * high), (wide, 0.34 * high), (wide, 0.355 * high), (-wide, 0.355 * high)],
        mix(shelf, (255, 255, 255), 0.2),
    )
    pot = -side * 0.42 * wide
    for n in range(6):
        lean = (n - 2.5) * 0.05
        leaf = smooth(
            [
                (pot, 0.26 * high),
                (pot + lean - 0.03, 0.26 * high - 0.12),
                (pot + lean * 2, 0.26 * high - 0.24 + abs(lean)),
                (pot + lean + 0.03, 0.26 * high - 0.1),
            ]
        )
        near.fill(leaf, mix((70, 140, 90), palette.top, 0.1 + 0.05 * n))
    near.fill(
        [
            (pot - 0.06, 0.25 * high),
            (pot + 0.06, 0.25 * high),
            (pot + 0.045, 0.345 * high),
            (pot - 0.045, 0.345 * high),
        ],
        (206, 108, 78),
    )


def _stage(back: Canvas, near: Canvas, palette: Palette, dice: Dice, wide: float, high: float) -> None:
    cloth = mix(palette.top, (150, 34, 60), 0.6)
    for n in range(14):
        x = (-0.5 + n / 13) * wide
        half = 0.5 / 13 * wide
        back.fill(
            [(x - half, -high), (x + half, -high), (x + half, high), (x - half, high)],
            mix(cloth, INK, 0.12 + 0.22 * (n % 2)),
        )
    for n in range(3):
        x = (n - 1) * 0.3 * wide
        aim = dice.between(f"beam {n}", -0.2, 0.2)
        back.fill(
            [(x - 0.02, -high / 2), (x + 0.02, -high / 2), (x + aim + 0.26, high / 2), (x + aim - 0.26, high / 2)],
            (255, 240, 200),
            0.16,
        )
    near.fill([(-wide, 0.36 * high), (wide, 0.36 * high), (wide, high), (-wide, high)], mix(cloth, (84, 54, 40), 0.7))


def _shapes(back: Canvas, near: Canvas, palette: Palette, dice: Dice, wide: float, high: float) -> None:
    """A painted studio wall."""
    for n in range(7):
        radius = dice.between(f"r {n}", 0.12, 0.42)
        x, y = dice.between(f"x {n}", -0.55, 0.55) * wide, dice.between(f"y {n}", -0.5, 0.4) * high
        back.fill(
            oval(x, y, radius, radius), mix(palette.low, dice.pick(f"c {n}", (palette.top, (255, 255, 255))), 0.5), 0.4
        )
    _ridge(back, palette.far(0.25), dice, "wave", 0.2 * high, 0.07, wide, high)
    _ridge(near, palette.far(0.45), dice, "floor", 0.34 * high, 0.03, wide, high)


PLACES: Mapping[str, Place] = MappingProxyType(
    {
        "hills": _hills,
        "city": _city,
        "forest": _forest,
        "sea": _sea,
        "desert": _desert,
        "room": _room,
        "stage": _stage,
        "shapes": _shapes,
    }
)
