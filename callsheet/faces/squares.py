"""Square cuts of a clip for programs that want nothing else, and the way back into its frames.

Covers the whole picture, made square by its own edges, or the part of it around a mouth track. Raw YUV 4:2:0 planes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from callsheet.faces.aligned import edges, mix
from callsheet.faces.mouth import Planes
from callsheet.faces.tracks import Mouth

_AROUND = 4.5
"""Widths of a mouth to each side of it: a whole head."""
_SOFT = 16.0
"""Pixels over which the rim of a square fades into the frame."""


@dataclass(frozen=True)
class Square:
    """In pixels of the frame, all even; it may reach beyond the frame."""

    left: int
    top: int
    side: int

    def cut(self, planes: Planes) -> bytes:
        """One raw frame of side x side; what lies beyond the frame repeats its edge."""
        parts = []
        for plane, times in zip(planes, (1, 2, 2), strict=True):
            steps = np.arange(self.side // times)
            rows, columns = (
                np.clip(start // times + steps, 0, limit - 1)
                for start, limit in zip((self.top, self.left), plane.shape, strict=True)
            )
            parts.append(plane[np.ix_(rows, columns)].tobytes())
        return b"".join(parts)

    def lay(self, planes: Planes, square: Planes, amount: float) -> None:
        """Mix such a frame back into the frame that it was cut from, in place; its rim fades."""
        height, width = planes[0].shape
        left, top = max(self.left, 0), max(self.top, 0)
        right, bottom = min(self.left + self.side, width), min(self.top + self.side, height)
        if right <= left or bottom <= top:
            return
        inside = []
        for plane, times in zip(square, (1, 2, 2), strict=True):
            rows = slice((top - self.top) // times, (bottom - self.top) // times)
            inside.append(plane[rows, (left - self.left) // times : (right - self.left) // times])
        share = edges(self.side, self.side, _SOFT)[top - self.top : bottom - self.top, left - self.left :]
        one, two, three = inside
        mix(planes, (left, top), (one, two, three), share[:, : right - left] * np.float32(min(amount, 1.0)))


def whole(width: int, height: int) -> Square:
    """The picture in the middle of a square."""
    side = 2 * ceil(max(width, height) / 2)
    return Square(-2 * floor((side - width) / 4), -2 * floor((side - height) / 4), side)


def around(track: Sequence[Mouth]) -> Square:
    """The heads of a mouth track, wherever they go."""
    reach = np.array([(x, y, _AROUND * width) for x, y, width in track])
    low = (reach[:, :2] - reach[:, 2:]).min(0)
    high = (reach[:, :2] + reach[:, 2:]).max(0)
    middle, side = (low + high) / 2, 2 * ceil(float((high - low).max()) / 2)
    left, top = (2 * floor((value - side / 2) / 2) for value in middle.tolist())
    return Square(left, top, side)
