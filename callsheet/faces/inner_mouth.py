"""What shows between parted lips: the dark of a mouth, a hint of upper teeth, a tongue; lit as the face is.

Where the picture's own mouth is open already, what it shows there stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callsheet.alignment import MouthShape
from callsheet.faces.mouth import yuv_of

Field = NDArray[np.float32]

_DARK, _TONGUE, _TEETH = yuv_of(52, 16, 18), yuv_of(150, 62, 60), yuv_of(214, 204, 192)
_LIT = 150.0
"""Luma of the skin under which these colours are as written."""
_BLACK, _GREY = 16.0, 128.0


@dataclass(frozen=True)
class Inside:
    """The gap of a mouth, one value a pixel; lengths in pixels, y towards the chin."""

    across: Field
    """-1 and 1 at the corners."""
    y: Field
    top: Field
    bottom: Field
    """Lower edge of the upper lip, upper edge of the lower lip."""
    own_top: Field
    own_bottom: Field
    """The same in the picture as it was."""
    parted: float
    """0 closed in the picture as it was, 1 open."""
    shape: MouthShape


@dataclass(frozen=True)
class Painted:
    """Luma and both colour differences at full size, and how much of them covers the picture, 0 to 1."""

    paint: tuple[Field, Field, Field]
    share: Field


def painted(inside: Inside, skin: tuple[float, float, float], face: float) -> Painted:
    """The inside of a mouth in a face of that length, beside skin of that colour."""
    gap = inside.bottom - inside.top
    soft = max(1.0, 0.014 * face)
    share = _ramp((inside.y - inside.top) / soft) * _ramp((inside.bottom - inside.y) / soft)
    share = share * np.clip(gap / soft - 0.25, 0, 1) * (np.abs(inside.across) < 1)
    kept = inside.parted * _ramp((inside.y - inside.own_top) / soft) * _ramp((inside.own_bottom - inside.y) / soft)
    share = (share * (1 - kept)).astype(np.float32)
    curve = 1 - inside.across**2
    tall = np.minimum(0.085 * face, gap * (0.38 + 0.35 * inside.shape.spread)) * (0.75 + 0.25 * curve)
    teeth = _ramp((inside.top + tall - inside.y) / soft) * np.clip(1.25 * curve, 0, 1) * (1 - inside.shape.rounded)
    teeth = teeth * np.clip(gap / (0.05 * face) - 0.4, 0, 0.85) * (1 - inside.parted)
    low = np.clip((inside.y - inside.bottom + 0.55 * gap) / (0.4 * gap + soft), 0, 1)
    tongue = low * np.clip(curve * 1.6 - 0.5, 0, 1) * np.clip(gap / (0.1 * face) - 0.6, 0, 0.8)
    shadow = 0.55 + 0.45 * np.clip((inside.y - inside.top) / (0.05 * face), 0, 1)
    light = (skin[0] - _BLACK) / (_LIT - _BLACK)
    layers = [np.full(gap.shape, part, np.float32) for part in _DARK]
    for colour, amount in ((_TONGUE, tongue), (_TEETH, teeth)):
        layers = [under + (part - under) * amount for under, part in zip(layers, colour, strict=True)]
    luma = _BLACK + (layers[0] - _BLACK) * light * shadow
    hue = min(light, 1.0)
    return Painted(
        (luma.astype(np.float32), *((_GREY + (part - _GREY) * hue).astype(np.float32) for part in layers[1:])), share
    )


def _ramp(distance: Field) -> Field:
    """Half at an edge, 1 a pixel's width inside."""
    share: Field = np.clip(distance + 0.5, 0, 1)
    return share
