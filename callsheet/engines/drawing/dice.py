"""Stable choices: the same words always give the same numbers, on every machine and library version."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Sequence
from typing import TypeVar

Choice = TypeVar("Choice")

Colour = tuple[int, int, int]
"""Red, green, blue, each 0 to 255."""


class Dice:
    """Numbers drawn from words. Every draw has a name, so that a new draw never shifts the others."""

    def __init__(self, *words: object) -> None:
        self._words = "\x1f".join(str(word) for word in words)

    def unit(self, name: str) -> float:
        """At least 0 and less than 1."""
        found = hashlib.sha256(f"{self._words}\x1e{name}".encode()).digest()
        return int.from_bytes(found[:6], "big") / 2**48

    def between(self, name: str, low: float, high: float) -> float:
        return low + (high - low) * self.unit(name)

    def pick(self, name: str, options: Sequence[Choice]) -> Choice:
        return options[int(self.unit(name) * len(options))]


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour by hue (turns, any number), saturation and value (0 to 1, clipped)."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return round(red * 255), round(green * 255), round(blue * 255)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`share` 0 gives the one, 1 the other."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
