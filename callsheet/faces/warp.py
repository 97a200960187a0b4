"""Moves the mouth of a real picture: lips part, jaw drops, corners move; teeth and tongue show in the gap.

A displacement field over the lower face, soft towards its edges: outside `box` and wherever nothing moves, not one
byte of the frame changes. Works on raw YUV 4:2:0 planes. Where a face is comes from its mesh (landmarks.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from callsheet.alignment import MouthShape
from callsheet.faces.inner_mouth import Inside, painted
from callsheet.faces.landmarks import Points
from callsheet.faces.mouth import Planes

Field = NDArray[np.float32]

_CORNERS = (61, 291)
_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
"""Inner edges of the lips, from the picture's left to its right."""
_NOSE, _CHIN = 2, 152

_GAPE = 0.25
"""Gap of the widest vowel, as a share of the distance from nose to chin."""
_PARTED = 0.07
"""Lips that are no further apart in the mesh, by the same measure, are closed."""
_UNLIKE = 10.0
"""What lies between open lips differs from skin by more than this, in steps of colour."""
_RAISE, _RAISE_ROUND = 0.22, 0.38
"""Share of the gap by which the upper lip goes up, of a flat and a round mouth; the lower one goes down by the rest."""
_SEAM = 0.07
"""The dark line between closed lips is looked for so far from where the mesh has it, by the same measure."""
_SPREAD, _ROUND = 0.13, -0.24
"""How far the corners move, as shares of half the mouth."""
_WIDE = 1.9
"""Cheeks move up to so many half mouths from its middle."""
_DEEP = 1.75
"""The throat moves down to so many times the distance from lips to chin."""
_STILL = 1 / 32
"""Pixels of displacement that count as none."""


@dataclass(frozen=True)
class Mouth:
    """A mouth in its own axes: x along the lips, y towards the chin, in pixels from between the lips."""

    x: float
    y: float
    """Between the lips, in the frame."""
    along: tuple[float, float]
    """Unit vector from the left to the right corner, in the frame."""
    left: float
    right: float
    """Distance of each corner; unequal where the head is turned."""
    edge: NDArray[np.float64]
    """3 x 11: x of the lips' inner edge, y of the upper lip, y of the lower lip."""
    nose: float
    chin: float
    """y of both; the first is negative."""
    parted: float = 1.0
    """0 closed in the picture, 1 open there."""

    @property
    def face(self) -> float:
        """Distance from nose to chin: what mouths are measured by."""
        return self.chin - self.nose

    def frame(self, x: Any, y: Any) -> tuple[Any, Any]:
        """A place, or arrays of them, in pixels of the frame."""
        (c, s) = self.along
        return self.x + c * x - s * y, self.y + s * x + c * y

    def fitted(self, parted: float, lowered: float) -> Mouth:
        """As the picture shows it: `parted` from 0 to 1, and closed lips meet `lowered` pixels below the mesh."""
        middle = (self.edge[1] + self.edge[2]) / 2 + lowered
        upper, lower = (middle + (edge - middle) * parted for edge in self.edge[1:])
        return replace(self, edge=np.stack((self.edge[0], upper, lower)), parted=parted)


def mouth_of(points: Points) -> Mouth:
    """The mouth of a face mesh, as open as the mesh has it."""
    left, right = points[_CORNERS[0]], points[_CORNERS[1]]
    along = (right - left) / max(float(np.hypot(*(right - left))), 1e-6)
    turn = np.stack((along, (-along[1], along[0])), -1)
    upper, lower = points[list(_UPPER)], points[list(_LOWER)]
    middle = (upper[5] + lower[5]) / 2
    top, bottom = (upper - middle) @ turn, (lower - middle) @ turn
    x = np.maximum.accumulate((top[:, 0] + bottom[:, 0]) / 2 + np.arange(11) * 1e-6)
    nose, chin = (float((points[n] - middle) @ turn[:, 1]) for n in (_NOSE, _CHIN))
    return Mouth(
        float(middle[0]), float(middle[1]), (float(along[0]), float(along[1])),
        max(float((middle - left) @ along), 1.0), max(float((right - middle) @ along), 1.0),
        np.stack((x, top[:, 1], np.maximum(top[:, 1], bottom[:, 1]))), min(nose, -1.0), max(chin, 1.0),
    )


def fit(planes: Planes, mouth: Mouth) -> tuple[float, float]:
    """What the picture says about a mouth of the mesh: how parted its lips are, and how far below they meet.

    The mesh takes a smile for an open mouth now and then, and places closed lips a few pixels off.
    """
    edge, skin = mouth.edge[:, 2:-2], np.array(skin_at(planes, mouth))
    gap = float((edge[2] - edge[1]).max())
    if gap > _PARTED * mouth.face:
        rows = (edge[1] + share * (edge[2] - edge[1]) for share in (0.2, 0.5, 0.8))
        inner = [[_colour(planes, mouth, x, y) for x, y in zip(edge[0], row, strict=True)] for row in rows]
        unlike = (np.median(inner, axis=1) - skin) * (0.5, 1, 1)
        if float(np.hypot.reduce(unlike, axis=1).min()) > _UNLIKE:
            return 1.0, 0.0
    reach = _SEAM * mouth.face + gap / 2
    steps = np.linspace(-reach, reach, 2 * ceil(reach) + 1)
    columns, rows = mouth.frame(edge[0], edge[1:].mean(0) + steps[:, None])
    dark = _sampled(planes[0], columns, rows).mean(1)
    return 0.0, float(steps[int(np.argmin(dark + 0.1 * np.ptp(dark) * np.abs(steps) / reach))])


def box(mouth: Mouth, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in pixels, all even and within the frame, of what may change."""
    corners = [(x, y) for x in (-_WIDE * mouth.left, _WIDE * mouth.right) for y in (mouth.nose, _DEEP * mouth.chin)]
    xs, ys = zip(*(mouth.frame(x, y) for x, y in corners), strict=True)
    left, top = (max(0, 2 * floor(min(values) / 2)) for values in (xs, ys))
    return left, top, min(width, 2 * ceil(max(xs) / 2)), min(height, 2 * ceil(max(ys) / 2))


def speak(planes: Planes, mouth: Mouth, shape: MouthShape, speaking: float) -> None:
    """Give the mouth that shape, in place; `speaking` 0 leaves it as it is in the picture, 1 overrides it."""
    height, width = planes[0].shape
    left, top, right, bottom = box(mouth, width, height)
    if right <= left or bottom <= top or mouth.face < 8 or speaking <= 0:
        return
    x, y = np.meshgrid(np.arange(left, right, dtype=np.float32) + 0.5, np.arange(top, bottom, dtype=np.float32) + 0.5)
    c, s = mouth.along
    lip_x = c * (x - mouth.x) + s * (y - mouth.y)
    lip_y = -s * (x - mouth.x) + c * (y - mouth.y)
    source_x, source_y, inside = _field(mouth, lip_x, lip_y, shape, speaking)
    move_x, move_y = source_x - lip_x, source_y - lip_y
    where = (slice(top, bottom), slice(left, right))
    inner = painted(inside, skin_at(planes, mouth), mouth.face)
    frame_x, frame_y = x + c * move_x - s * move_y, y + s * move_x + c * move_y
    moved = np.maximum(np.abs(move_x), np.abs(move_y)) > _STILL
    for plane, paint, times in zip(planes, inner.paint, (1, 2, 2), strict=True):
        part = (slice(where[0].start // times, where[0].stop // times),
                slice(where[1].start // times, where[1].stop // times))
        share = _means(inner.share, times) * min(4 * speaking, 1.0)
        touched = _any(moved, times) | (share > 0)
        values = _sampled(plane, _means(frame_x, times)[touched] / times, _means(frame_y, times)[touched] / times)
        mixed = values + (_means(paint, times)[touched] - values) * share[touched]
        plane[part][touched] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _field(
    mouth: Mouth, x: Field, y: Field, shape: MouthShape, speaking: float
) -> tuple[Field, Field, Inside]:
    """For each pixel of the result, in the mouth's axes: where its colour comes from, and what lies in the gap."""
    half = np.where(x < 0, mouth.left, mouth.right).astype(np.float32)
    reach = np.abs(x) / half
    pull = speaking * (_SPREAD * shape.spread + _ROUND * shape.rounded)
    level = _fade(-y / -mouth.nose, 0.3, 1.0) * _fade(y / mouth.chin, 0.35, 1.3)
    source_x = (x - pull * x * _fade(reach, 0.8, _WIDE) * level).astype(np.float32)
    across = source_x / half
    own_top, own_bottom = (np.interp(source_x, mouth.edge[0], edge).astype(np.float32) for edge in mouth.edge[1:])
    own = np.where(np.abs(across) < 1, own_bottom - own_top, 0)
    arch = np.clip(1 - np.abs(across) ** 2.4, 0, 1) ** 0.75
    widest = _GAPE * mouth.face * shape.opened
    raised = (_RAISE + (_RAISE_ROUND - _RAISE) * shape.rounded) * (1 - mouth.parted)   # else there is nothing above
    more = speaking * (widest * arch - own)           # negative where lips close
    middle = speaking * (widest - float(mouth.edge[2, 5] - mouth.edge[1, 5]))
    top, bottom = own_top - raised * more, own_bottom + (1 - raised) * more
    above = y + raised * more * _fade((own_top - y) / -mouth.nose, 0.15, 1.0)
    below = y
    cheek = _fade(reach, 0.0, _WIDE)
    for _ in range(4):                                # what moved by d is found where it was before it moved
        depth = (below - own_bottom) / mouth.chin
        jaw = 1 - _fade(depth, 0.0, 0.5)
        move = (1 - raised) * ((1 - jaw) * more + jaw * middle * cheek)
        below = y - move * (1 - 0.4 * (1 - _fade(depth, 0.2, 1.0))) * _fade(depth, 0.9, _DEEP - 0.15)
    source_y = np.where(y < (top + bottom) / 2, np.minimum(above, own_top), np.maximum(below, own_bottom))
    outer = np.abs(across) >= 1
    source_y = np.where(outer, np.where(y < own_top, above, below), source_y).astype(np.float32)
    return source_x, source_y, Inside(across, y, top, bottom, own_top, own_bottom, mouth.parted, shape)


def skin_at(planes: Planes, mouth: Mouth) -> tuple[float, float, float]:
    """The colour around a mouth, which tells how its inside is lit."""
    spots = ((-1.3 * mouth.left, 0.0), (1.3 * mouth.right, 0.0), (0.0, 0.7 * mouth.chin), (0.0, 0.6 * mouth.nose))
    one, two, three = np.median([_colour(planes, mouth, x, y) for x, y in spots], axis=0).tolist()
    return one, two, three


def _colour(planes: Planes, mouth: Mouth, x: float, y: float) -> tuple[int, int, int]:
    luma, u, v = planes
    across, down = mouth.frame(x, y)
    column, row = min(max(int(across), 0), luma.shape[1] - 1), min(max(int(down), 0), luma.shape[0] - 1)
    return int(luma[row, column]), int(u[row // 2, column // 2]), int(v[row // 2, column // 2])


def _fade(values: Field | NDArray[np.float64], start: float, end: float) -> Field:
    """1 below `start`, 0 above `end`, smooth between them."""
    share = np.clip((values - start) / (end - start), 0, 1).astype(np.float32)
    faded: Field = 1 - share * share * (3 - 2 * share)
    return faded


def _means(values: Field, times: int) -> Field:
    height, width = values.shape
    return values.reshape(height // times, times, width // times, times).mean((1, 3)) if times > 1 else values


def _any(values: NDArray[np.bool_], times: int) -> NDArray[np.bool_]:
    height, width = values.shape
    return np.asarray(values.reshape(height // times, times, width // times, times).any((1, 3)))


def _sampled(plane: NDArray[np.uint8], x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> Field:
    """A plane's values at places between its pixels, by Catmull-Rom; at its edges the last pixel goes on."""
    left, top = np.floor(x - 0.5).astype(np.int32), np.floor(y - 0.5).astype(np.int32)
    columns = [np.clip(left + n, 0, plane.shape[1] - 1) for n in (-1, 0, 1, 2)]
    rows = [np.clip(top + n, 0, plane.shape[0] - 1) * plane.shape[1] for n in (-1, 0, 1, 2)]
    across, down = (_weights((at - 0.5 - n).astype(np.float32)) for at, n in ((x, left), (y, top)))
    flat, total = plane.reshape(-1), np.zeros(x.shape, np.float32)
    for row, share in zip(rows, down, strict=True):
        total += share * sum(flat[row + column] * part for column, part in zip(columns, across, strict=True))
    return total


def _weights(t: Field) -> tuple[NDArray[np.floating[Any]], ...]:
    return (
        t * (t * (1 - t / 2) - 0.5), t * t * (1.5 * t - 2.5) + 1, t * (t * (2 - 1.5 * t) + 0.5), t * t * (t - 1) / 2
    )
