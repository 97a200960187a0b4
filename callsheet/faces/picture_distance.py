"""How far two pictures are from each other where no face can be compared: perceptual hash, colours and structure.

0 is the same picture, 1 nothing in common. It tells a picture that shows next to nothing (one flat colour, a failed
decode), not another person: its limit is wide on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PICTURE_LIMIT = 0.93
"""Scenes lie 0.80 to 0.90 from a poster with another background, one flat colour above 0.93."""

_HASH_SIDE, _HASH_KEPT = 32, 8
_STRUCTURE_SIDE = 48
_LEVELS = 4
"""Of each colour in the histogram."""
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""As in the structural similarity of Wang et al., 2004."""


@dataclass(frozen=True)
class Look:
    """What is kept of a picture."""

    hash: NDArray[np.bool_]
    """63 signs of its lowest frequencies."""
    colours: NDArray[np.float64]
    """Shares of 64 colours, as square roots."""
    grey: NDArray[np.float64]
    """48 x 48."""


def look(picture: Image.Image) -> Look:
    """Of an RGB picture; its shape does not count."""
    grey = picture.convert("L")
    small = np.asarray(grey.resize((_HASH_SIDE, _HASH_SIDE), Image.Resampling.BOX), np.float64)
    waves = (_COSINES @ small @ _COSINES.T)[:_HASH_KEPT, :_HASH_KEPT].ravel()[1:]
    pixels = np.asarray(picture.convert("RGB").resize((64, 64), Image.Resampling.BOX), np.int64) * _LEVELS // 256
    index = (pixels * (_LEVELS * _LEVELS, _LEVELS, 1)).sum(-1).ravel()
    shares = np.bincount(index, minlength=_LEVELS**3) / index.size
    side = (_STRUCTURE_SIDE, _STRUCTURE_SIDE)
    return Look(waves > np.median(waves), np.sqrt(shares), np.asarray(grey.resize(side, Image.Resampling.BOX), float))


def apart(one: Look, other: Look) -> float:
    """0 to 1: the mean of the three."""
    hashes = min(1.0, 2 * float((one.hash != other.hash).mean()))     # chance alone makes half the signs equal
    colours = float(np.sqrt(max(0.0, 1 - float(one.colours @ other.colours))))
    return (hashes + colours + _structure(one.grey, other.grey)) / 3


def _structure(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """1 less structural similarity in tiles of 8 x 8, at most 1."""
    a, b = _tiles(one), _tiles(other)
    mean_a, mean_b = a.mean(-1), b.mean(-1)
    together = ((a - mean_a[:, None]) * (b - mean_b[:, None])).mean(-1)
    alike = ((2 * mean_a * mean_b + _C1) * (2 * together + _C2)) / (
        (mean_a**2 + mean_b**2 + _C1) * (a.var(-1) + b.var(-1) + _C2))
    return float(np.clip(1 - alike.mean(), 0, 1))


def _tiles(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    count = _STRUCTURE_SIDE // 8
    return grey.reshape(count, 8, count, 8).swapaxes(1, 2).reshape(count * count, 64)


def _cosines() -> NDArray[np.float64]:
    """The discrete cosine transform, as a matrix."""
    n = np.arange(_HASH_SIDE)
    waves: NDArray[np.float64] = np.cos(np.pi / _HASH_SIDE * (n[None] + 0.5) * n[:, None])
    return waves


_COSINES = _cosines()
