"""Pictures that stand still, told apart from slow motion and from what an encoder does to a still picture. Pure.

A frozen picture does not come out of a decoder the same: it gets sharper with each key frame. But between two
such steps it does not change at all, and however many there are it stays like the first. Slow motion changes a
little all the time, or, encoded badly, in steps that add up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from callsheet.media.findings import FrameSpan

Picture = NDArray[np.uint8]

_SAME = (10, 1.0)
"""Two small pictures are the same when no pixel differs by more, nor their mean. A mouth that moves differs by
20, a slow zoom by more with every frame; what is encoded as unchanged, by up to 8."""

_SHARPER = (20, 2.0)
"""By so much a key frame may differ from a stretch that it continues; 13 and 1.2 were measured after quick motion."""


class Standing:
    """Follows pictures, all of one size. `still` is how many frames have to be the same between two steps."""

    def __init__(self, still: int) -> None:
        self._still = still
        self._count = 0
        self._found: list[FrameSpan] = []
        self._begin: tuple[int, NDArray[np.int16]] | None = None
        """The stretch's first frame."""
        self._step: tuple[int, NDArray[np.int16]] | None = None
        """The frame since which nothing changed."""

    def add(self, picture: Picture, other: bool = False) -> None:
        """The next picture. One that is `other` (black, say) ends a stretch and begins none."""
        now = picture.astype(np.int16)
        if other:
            self._end()
        elif self._begin is None or self._step is None:
            self._begin = self._step = self._count, now
        elif not _alike(now, self._step[1], _SAME):
            if self._count - self._step[0] < self._still or not _alike(now, self._begin[1], _SHARPER):
                self._end()
                self._begin = self._count, now
            self._step = self._count, now
        self._count += 1

    def spans(self) -> list[FrameSpan]:
        """Every stretch so far, however short; it is over with that."""
        self._end()
        return self._found

    def _end(self) -> None:
        if self._begin is None or self._step is None:
            return
        lone = self._count - self._step[0] == 1        # a last step that nothing follows is the next motion
        end = self._step[0] if lone and self._step[0] > self._begin[0] else self._count
        self._found.append((self._begin[0], end))
        self._begin = self._step = None


def _alike(one: NDArray[np.int16], other: NDArray[np.int16], limits: tuple[int, float]) -> bool:
    apart = np.abs(one - other)
    return int(apart.max()) <= limits[0] and float(apart.mean()) <= limits[1]
