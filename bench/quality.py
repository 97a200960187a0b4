"""How much of the clips' picture is left in a film: PSNR of frames that no transition touches.

Planes are compared as they are stored, frame by frame at the same place: a film whose colours were turned
into another matrix shows it. Where captions are burned, only the half above them is compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from bench.job import Job

EVERY = 5
"""One frame in so many is compared."""


@dataclass(frozen=True)
class Quality:
    """PSNR in dB of the mean error over all compared frames; infinite where they are equal to the bit."""

    luma: float
    chroma: float
    frames: int
    """Frames in the film."""


def quality(film: Path, job: Job) -> Quality:
    """Compare a film with the clips it was made from."""
    planes = _planes(film)
    at = 0
    errors: list[tuple[float, float]] = []
    for n, first, end, film_first in job.bodies():
        at += sum(1 for _ in islice(planes, film_first - at))
        for wanted, made in zip(_body(Path(job.clips[n]), first, end), planes, strict=False):
            if at % EVERY == 0:
                errors.append(_error(wanted, made, job))
            at += 1
    at += sum(1 for _ in planes)
    if not errors:
        return Quality(math.nan, math.nan, at)
    luma, chroma = np.mean(errors, axis=0)
    return Quality(_decibels(luma), _decibels(chroma), at)


def _planes(path: Path) -> Iterator[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)


def _body(clip: Path, first: int, end: int) -> Iterator[NDArray[np.uint8]]:
    return islice(_planes(clip), first, end)


def _error(wanted: NDArray[np.uint8], made: NDArray[np.uint8], job: Job) -> tuple[float, float]:
    """Mean squared error of luma and chroma."""
    height = job.height
    square = np.square(wanted.astype(np.float32) - made)
    luma, chroma = square[:height], square[height:].reshape(2, height // 2, -1)
    if job.burned:
        luma, chroma = luma[:height // 2], chroma[:, :height // 4]
    return float(luma.mean()), float(chroma.mean())


def _decibels(error: float) -> float:
    return 10 * math.log10(255**2 / error) if error else math.inf
