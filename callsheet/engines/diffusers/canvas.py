"""Sizes that a model can make, and the way back to the size that was asked: pictures in, frames out.

A model wants multiples of 8, 16 or 32 pixels. More is made and the middle is kept, so that nothing is stretched and a
picture that goes in at the asked size comes out where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from callsheet.errors import EngineError

if TYPE_CHECKING:
    from callsheet.engines.diffusers.work import Job

Frames = NDArray[np.uint8]
"""RGB: frames, height, width, 3."""


@dataclass(frozen=True)
class Canvas:
    """What is asked, and the next larger size that the model can make."""

    width: int
    height: int
    wide: int
    high: int

    @classmethod
    def of(cls, job: Job, multiple: int) -> Canvas:
        return cls(job.width, job.height, _up(job.width, multiple), _up(job.height, multiple))

    @property
    def left(self) -> int:
        return (self.wide - self.width) // 2

    @property
    def top(self) -> int:
        return (self.high - self.height) // 2

    def place(self, picture: Image.Image) -> Image.Image:
        """A picture in the model's size: it fills what will be kept, and its edges go on into what will not."""
        exact = picture.convert("RGB")
        if exact.size != (self.width, self.height):
            exact = ImageOps.fit(exact, (self.width, self.height), Image.Resampling.LANCZOS)
        right, below = self.wide - self.width - self.left, self.high - self.height - self.top
        margins = ((self.top, below), (self.left, right), (0, 0))
        return Image.fromarray(np.pad(np.asarray(exact), margins, mode="edge"))

    def cut(self, frames: Frames) -> Frames:
        """Frames of the model's size, in the size that was asked."""
        return np.ascontiguousarray(
            frames[:, self.top:self.top + self.height, self.left:self.left + self.width]
        )


def kept(made: int, wanted: int, skip: int = 0, ends: bool = False) -> Sequence[int]:
    """Which of the frames that were made are taken: the first ones after `skip`; with `ends` the very last is among
    them, and what is too much is left out evenly before it.
    """
    if ends and wanted > 1:
        return [int(n) for n in np.linspace(skip, made - 1, wanted).round()]
    return range(skip, skip + wanted)


def eight_bits(frames: Iterable[NDArray[np.float32]], what: str) -> Frames:
    """Frames from 0 to 1 as bytes, one at a time. Raises EngineError for numbers that are none."""
    done = []
    for frame in frames:
        if not np.isfinite(frame).all():
            raise EngineError(
                engine="diffusers", what=what, detail="the model's numbers ran over: the picture holds NaN",
                remedy="use a card that calculates in bfloat16, or a lower guidance",
            )
        done.append((frame * 255.0).round().clip(0, 255).astype(np.uint8))
    return np.stack(done)


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
