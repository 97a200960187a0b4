"""Real-ESRGAN x4plus in torch: enlarges clips on a GPU, in half precision there, many tiles at a time.

The weights are any single-image network that spandrel knows, in the place of RealESRGAN_x4plus.pth. Frames are
enlarged one by one; the same clip gives the same bytes on the same device.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from callsheet.errors import EngineUnable
from callsheet.faces.enlarging import enlarge_clip, reduced
from callsheet.faces.footage import Picture, image_of, planes_of, raw_of
from callsheet.faces.local_models import files_of, missing, require
from callsheet.faces.spandrel_models import Network, Pictures, load
from callsheet.recipes import EngineId, UpscaleRecipe
from callsheet.settings import Settings
from callsheet.store.base import Outcome, Room

_MODULES, _WEIGHTS = ("spandrel", "einops", "safetensors"), ("realesrgan",)

TILE, OVERLAP, BATCH = 256, 16, 4
"""Pixels of a side that are enlarged at a time, what is looked at around them, and how many tiles go together: this
bounds the memory."""


class RealEsrganGpu:
    """Enlarges clips. Able where the extra `models`, the weights and a device are."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def id(self) -> EngineId:
        return EngineId(name="realesrgan_gpu", version=1, model="realesrgan-x4plus")

    def able(self) -> str:
        """Empty, or what is missing and how to get it."""
        return missing(self._settings, _MODULES, _WEIGHTS)

    def upscale(self, recipe: UpscaleRecipe, room: Room) -> Outcome:
        """Files: main, as many frames at the same rate, sides `factor` times as long.

        Raises EngineUnable without the weights, for a network that enlarges less than `factor` and for a result of
        more than 8192 pixels a side; OutOfMemory; MediaUnreadable for a clip that is none.
        """
        name = self.id.name
        device = require(self._settings, _MODULES, _WEIGHTS, engine=name, what="larger pictures")
        network = load(files_of(self._settings, "realesrgan")[0], device)
        if network.scale < recipe.factor:
            raise EngineUnable(
                engine=name, what="larger pictures",
                detail=f"{network.name} enlarges {network.scale} times, {recipe.factor} were asked",
                remedy="put weights there that enlarge 4 times, or choose the upscaler realesrgan",
            )
        return enlarge_clip(recipe, room, name, partial(_each, network=network, factor=recipe.factor))


def _each(frames: Iterator[bytes], small: Picture, network: Network, factor: int) -> Iterator[bytes]:
    """A frame that is equal to the one before is not worked out again."""
    before, made = b"", b""
    for raw in frames:
        if raw != before:
            large = enlarge(np.asarray(image_of(planes_of(raw, small))), network)
            made = raw_of(reduced(large, small.width * factor, small.height * factor))
        before = raw
        yield made


def enlarge(picture: np.ndarray, network: Network) -> np.ndarray:
    """An RGB picture (H x W x 3, 0 to 255), enlarged by the network's own scale, in tiles of equal size."""
    (height, width), scale = picture.shape[:2], network.scale
    tall, wide = (min(TILE, side) for side in (height, width))
    rows, columns = -(-height // tall), -(-width // wide)
    rest = ((OVERLAP, rows * tall - height + OVERLAP), (OVERLAP, columns * wide - width + OVERLAP), (0, 0))
    padded = np.pad(picture, rest, mode="edge")
    places = [(row * tall, column * wide) for row in range(rows) for column in range(columns)]
    large = np.empty((rows * tall * scale, columns * wide * scale, 3), np.uint8)
    edge = OVERLAP * scale
    for n in range(0, len(places), BATCH):
        now = places[n : n + BATCH]
        seen: Pictures = np.stack([
            padded[top : top + tall + 2 * OVERLAP, left : left + wide + 2 * OVERLAP] for top, left in now
        ])
        for (top, left), made in zip(now, network(seen), strict=True):
            part = made[edge:-edge, edge:-edge]
            large[top * scale : (top + tall) * scale, left * scale : (left + wide) * scale] = part
    return large[: height * scale, : width * scale]
