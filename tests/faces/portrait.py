"""A face worked out from nothing: light on a curved surface, soft enough for a detector of real faces to find."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.float64]

SKIN, DARK_SKIN = (214, 164, 138), (120, 80, 60)
_HAIR, _LIPS, _HOLE, _CLOTH, _WALL = (58, 40, 30), (176, 84, 82), (48, 18, 20), (70, 84, 110), (120, 132, 140)


class _Painting:
    def __init__(self, height: int, width: int) -> None:
        self.pixels = np.zeros((height, width, 3))

    def mix(self, share: Plane, colour: NDArray[np.float64] | tuple[int, int, int]) -> None:
        self.pixels += (np.asarray(colour, float) - self.pixels) * share[..., None]


def portrait(
    width: int = 384, height: int = 384, centre: tuple[float, float] = (0.5, 0.5), half: float = 0.27,
    skin: tuple[int, int, int] = SKIN, gap: float = 0.0, roll: float = 0.0,
) -> Image.Image:
    """`centre` and `half`, half the face's width, as shares of the picture's; `gap` 0 to 0.25 opens the mouth."""
    v, u = np.mgrid[0:height, 0:width] + 0.5
    u, v = (u - centre[0] * width) / (half * width), (v - centre[1] * height) / (half * width)
    x, y = np.cos(roll) * u + np.sin(roll) * v, np.cos(roll) * v - np.sin(roll) * u
    light, head = _light(x, y, half * width)
    painting = _Painting(height, width)
    _behind(painting, x, y, light, skin)
    face = _Painting(height, width)
    face.pixels[:] = np.array(skin) * (0.42 + 0.68 * light)[..., None]
    for side in (-1, 1):
        face.mix(0.35 * _blob(x, y, 0.5 * side, 0.32, 0.25, 0.2), (205, 120, 105))
        _eye(face, x, y, side)
        face.mix(0.75 * _blob(x, y, 0.1 * side, 0.44, 0.055, 0.03), (70, 34, 30))
    _mouth(face, x, y, gap)
    painting.mix(head, face.pixels)
    painting.mix(head * _edge(-0.62 - 0.22 * np.cos(2.6 * x) - y, 0.05), _HAIR)
    return Image.fromarray(np.clip(painting.pixels, 0, 255).astype(np.uint8))


def _light(x: Plane, y: Plane, pixels: float) -> tuple[Plane, Plane]:
    """How much light falls on the head, and where it is."""
    jaw = 1 - 0.3 * np.clip(y / 1.35, 0, 1) ** 2
    far = (x / jaw) ** 2 + (y / 1.36) ** 2
    bulge = np.sqrt(np.clip(1 - far, 0, 1))
    hills = [(0.3, 0, 0.22, 0.16, 0.34), (0.1, 0, 0.33, 0.24, 0.12), (0.08, 0, 0.7, 0.32, 0.11),
             (0.06, 0, 0.83, 0.26, 0.08), (-0.05, 0, 0.97, 0.3, 0.06), (0.1, 0, 1.15, 0.28, 0.18)]
    for side in (-1, 1):
        hills += [(-0.16, 0.4 * side, -0.13, 0.24, 0.15), (0.07, 0.4 * side, -0.37, 0.3, 0.1),
                  (0.05, 0.5 * side, 0.3, 0.28, 0.25), (0.05, 0.4 * side, -0.1, 0.15, 0.1)]
    for tall, *where in hills:
        bulge = bulge + tall * _blob(x, y, *where)
    down, across = np.gradient(bulge, 1 / pixels)
    slope = np.sqrt(1 + (0.62 * across) ** 2 + (0.62 * down) ** 2)
    falls = (0.35 * 0.62 * across + 0.5 * 0.62 * down + 0.8) / (slope * np.sqrt(0.35**2 + 0.5**2 + 0.8**2))
    return np.clip(falls, 0, 1), _edge(1 - far, 0.03)


def _behind(painting: _Painting, x: Plane, y: Plane, light: Plane, skin: tuple[int, int, int]) -> None:
    painting.mix(np.ones(x.shape), _WALL)
    painting.mix(_edge(0.52 - np.abs(x), 0.03) * _edge(y - 0.6, 0.05), 0.55 * np.array(skin))
    painting.mix(_edge(y - 1.75 - 0.14 * np.abs(x) ** 1.6, 0.03), _CLOTH)
    mane = _edge(1 - (x / 1.22) ** 2 - ((y + 0.25) / 1.42) ** 2, 0.04)
    painting.mix(mane, np.array(_HAIR) * (0.8 + 0.3 * light)[..., None])


def _eye(face: _Painting, x: Plane, y: Plane, side: int) -> None:
    middle, level = 0.4 * side, -0.12
    arch = np.sqrt(np.clip(1 - ((x - middle) / 0.215) ** 2, 0, 1))
    upper, lower = level - 0.105 * arch, level + 0.075 * arch
    within = _edge(0.21 - np.abs(x - middle), 0.01)
    ball = _edge(y - upper, 0.012) * _edge(lower - y, 0.012) * within
    away = np.hypot(x - middle, y - level + 0.01)
    face.mix(ball, (232, 228, 224))
    face.mix(ball * _edge(0.092 - away, 0.01), (84, 60, 42))
    face.mix(ball * _edge(0.045 - away, 0.008), (18, 14, 14))
    face.mix(ball * _blob(x, y, middle - 0.03, level - 0.04, 0.022, 0.022), (250, 250, 250))
    face.mix(0.85 * np.exp(-(((y - upper) / 0.022) ** 2)) * within, (40, 26, 22))
    face.mix(0.4 * np.exp(-(((y - lower) / 0.015) ** 2)) * within, (120, 76, 64))
    brow = -0.36 + 0.1 * (np.abs(x - 0.36 * side) / 0.3) ** 2
    hair = np.exp(-np.clip((y - brow) / 0.045, -3, 3) ** 4) * _edge(0.29 - np.abs(x - 0.41 * side), 0.02)
    face.mix(0.85 * hair, (62, 42, 34))


def _mouth(face: _Painting, x: Plane, y: Plane, gap: float) -> None:
    half = 0.34
    arch, wide = np.clip(1 - (x / half) ** 2, 0, 1), _edge(half - np.abs(x), 0.008)
    seam, hole = 0.775 + 0.012 * np.cos(9 * x), gap * arch**0.6
    inner, outer = (seam - 0.25 * hole, seam + 0.75 * hole), (0.095 * arch**0.8, 0.125 * arch**0.8)
    lips = _edge(y - inner[0] + outer[0], 0.012) * _edge(inner[1] + outer[1] - y, 0.012) * wide
    face.mix(0.75 * lips, _LIPS)
    face.mix(0.25 * lips * np.exp(-(((y - inner[1] - 0.06) / 0.025) ** 2)), (240, 190, 180))
    if gap:
        face.mix(_edge(y - inner[0], 0.008) * _edge(inner[1] - y, 0.008) * wide, _HOLE)
    else:
        face.mix(0.8 * np.exp(-(((y - seam) / 0.014) ** 2)) * wide, (84, 32, 34))


def _blob(x: Plane, y: Plane, left: float, top: float, across: float, down: float) -> Plane:
    return np.asarray(np.exp(-(((x - left) / across) ** 2) - ((y - top) / down) ** 2))


def _edge(distance: Plane, width: float) -> Plane:
    """0 outside, 1 inside, soft over `width`."""
    return np.asarray(1 / (1 + np.exp(-np.clip(distance / width, -60, 60))))
