"""Cuts a face out upright, always in the same place and size, and lays such a picture back into a frame.

Frames are raw YUV 4:2:0 planes: where nothing is laid, not one byte of them changes. Networks that work on faces expect
them where those were that they learnt from (FFHQ's places: eyes, nose and corners of the mouth in 512 pixels).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from callsheet.faces.footage import raw_of
from callsheet.faces.landmarks import Points
from callsheet.faces.mouth import Planes

Share = NDArray[np.float32]
"""H x W, 0 to 1."""
Affine = NDArray[np.float64]
"""2 x 3: places of one picture (x, y, 1) to places of another, in pixels."""

SIDE = 512
_PLACES = np.array(((192.98, 239.95), (318.90, 240.19), (256.63, 314.02), (201.26, 371.41), (313.09, 371.15)))
"""Left and right eye of the picture, tip of the nose, left and right corner of the mouth."""
_EYES = ((33, 133, 159, 145), (263, 362, 386, 374))
_NOSE, _CORNERS = 1, (61, 291)


@dataclass(frozen=True)
class Cut:
    """A face that was cut out."""

    picture: Image.Image
    """RGB, SIDE x SIDE."""
    to_frame: Affine
    """From places of the picture to places of the frame."""


def cut(frame: Image.Image, points: Points) -> Cut:
    """The face of a mesh, upright."""
    places = np.stack([
        *(points[list(eye)].mean(0) for eye in _EYES), points[_NOSE], *(points[corner] for corner in _CORNERS)
    ])
    to_frame = _similarity(_PLACES, places)
    return Cut(warped(frame, to_frame, (SIDE, SIDE)), to_frame)


def lay(planes: Planes, picture: Image.Image, share: Share, to_frame: Affine) -> None:
    """Mix a picture into a frame, in place; `share` says how much of it counts at each of its pixels."""
    height, width = planes[0].shape
    corners = np.array(((0, 0, 1), (picture.width, 0, 1), (0, picture.height, 1), (picture.width, picture.height, 1)))
    low, high = (corners @ to_frame.T).min(0), (corners @ to_frame.T).max(0)
    left, top = (max(0, 2 * floor(value / 2)) for value in low)
    right, bottom = (min(limit, 2 * ceil(value / 2)) for value, limit in zip(high, (width, height), strict=True))
    if right <= left or bottom <= top:
        return
    back = _inverse(to_frame)
    back[:, 2] += back[:, :2] @ (left, top)
    size = (right - left, bottom - top)
    mask = Image.fromarray(np.rint(share * 255).astype(np.uint8))
    amount: Share = np.asarray(warped(mask, back, size), np.float32) / np.float32(255)
    blend(planes, (left, top), warped(picture, back, size), amount)


def blend(planes: Planes, at: tuple[int, int], picture: Image.Image, share: Share) -> None:
    """Mix an RGB picture into a frame, in place. Its place and sides are even, and it lies within the frame."""
    (width, height), area = picture.size, picture.width * picture.height
    raw, half = np.frombuffer(raw_of(picture), np.uint8), (height // 2, width // 2)
    over = (
        raw[:area].reshape(height, width),
        raw[area : area + area // 4].reshape(half),
        raw[area + area // 4 :].reshape(half),
    )
    mix(planes, at, over, share)


def mix(planes: Planes, at: tuple[int, int], over: Planes, share: Share) -> None:
    """Mix raw planes into a frame, in place. Their place and sides are even, and they lie within the frame."""
    left, top = at
    for plane, part, times in zip(planes, over, (1, 2, 2), strict=True):
        rows, columns = part.shape
        under = plane[top // times : top // times + rows, left // times : left // times + columns]
        amount = share.reshape(rows, times, columns, times).mean((1, 3))
        under[:] = np.rint(under + (part.astype(np.float32) - under) * amount).astype(np.uint8)


def warped(picture: Image.Image, to_source: Affine, size: tuple[int, int]) -> Image.Image:
    """What lies at each place of a picture of `size`; black beyond the source. Shrinking takes means, not samples."""
    times = max(1, floor(float(np.hypot(*to_source[:, 0])) + 0.01))
    if times > 1:
        picture, to_source = picture.reduce(times), to_source / times
    rows = tuple(float(value) for value in to_source.reshape(-1))
    return picture.transform(size, Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR)


def edges(width: int, height: int, soft: float) -> Share:
    """1 inside, falling to 0 at the edges over `soft` pixels."""
    across, down = (np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5 for n in (width, height))
    away = np.minimum(down[:, None], across[None, :]) / soft
    return smooth_step(away)


def smooth_step(values: NDArray[np.floating]) -> Share:
    """0 below 0, 1 above 1, without a kink between them."""
    share = np.clip(values, 0, 1).astype(np.float32)
    stepped: Share = share * share * (3 - 2 * share)
    return stepped


def _similarity(start: NDArray[np.float64], end: NDArray[np.float64]) -> Affine:
    """Turn, scale and shift that bring places nearest to others, in the least squares; as complex numbers."""
    one, other = start @ (1, 1j), end @ (1, 1j)
    middle, aim = one.mean(), other.mean()
    turn = np.vdot(one - middle, other - aim) / np.vdot(one - middle, one - middle)
    shift = aim - turn * middle
    return np.array(((turn.real, -turn.imag, shift.real), (turn.imag, turn.real, shift.imag)))


def _inverse(affine: Affine) -> Affine:
    turn = np.linalg.inv(affine[:, :2])
    return np.concatenate((turn, -turn @ affine[:, 2:]), 1)
