"""What tests of clip pipelines share."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from callsheet.engines.diffusers.work import Job
from callsheet.errors import Cancelled

WIDTH, HEIGHT = 80, 48
"""No multiple of what Wan 5B makes."""


def silent(step: int, steps: int, latents: Any) -> None:
    """A Tell that hears nothing."""


def clip_job(**other: Any) -> Job:
    """Five frames in two steps."""
    plain = {"prompt": "a man on the left", "negative": "dark", "width": WIDTH, "height": HEIGHT, "frames": 5,
             "steps": 2, "guidance": 5.0, "seed": 7}
    return Job(**(plain | other))


def noise(seed: int) -> Image.Image:
    """A picture of WIDTH x HEIGHT."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))


def apart(one: Any, other: Any) -> float:
    """Mean distance of two clips, in levels of 255."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


class CancelAt:
    """A Tell that ends the work at a step."""

    def __init__(self, step: int) -> None:
        self.step, self.told = step, 0

    def __call__(self, step: int, steps: int, latents: Any) -> None:
        self.told += 1
        if step == self.step:
            raise Cancelled()
