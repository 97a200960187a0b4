"""Rooms, recipes and decoded frames for the suites of clip and lip-sync engines."""

from __future__ import annotations

import wave
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from callsheet.errors import NotInStore
from callsheet.recipe import Ref, Stage, digest
from callsheet.recipes import ClipRecipe, EngineId, LoraUse, PosterRecipe, SegmentRecipe
from callsheet.store.base import Room

Frames = NDArray[np.float32]
"""N x H x W x 3, RGB, 0 to 255."""

AVA = LoraUse(role="character", name="0001_european_20_female", display_name="Ava", sha256="a" * 64, strength=0.7)
MARTA = LoraUse(role="character", name="0002_european_35_female", display_name="Marta", sha256="b" * 64, strength=0.7)
LEO = LoraUse(role="character", name="0000_european_16_male", display_name="Leo", sha256="c" * 64, strength=0.7)
STYLE = LoraUse(role="style", name="SBai_style_101", strength=1.0)


def ref(name: str) -> Ref:
    """A reference that stands for a file of a test."""
    return Ref(stage=Stage.INTAKE, fingerprint=digest(name))


def room(folder: Path, inputs: Mapping[Ref, Path] | None = None) -> Room:
    folder.mkdir(parents=True, exist_ok=True)

    def open_ref(wanted: Ref) -> Path:
        if inputs is None or wanted not in inputs:
            raise NotInStore(key=wanted.fingerprint, url="a test's room")
        return inputs[wanted]

    return Room(folder=folder, open_ref=open_ref, facts_of=lambda wanted: {})


def clip_recipe(engine: EngineId, kind: type[ClipRecipe] = SegmentRecipe, **changes: object) -> ClipRecipe:
    fields: dict[str, object] = {
        "engine": engine, "scene": "Ava looks out over the harbour.", "prompt": "a harbour",
        "width": 320, "height": 192, "num_frames": 6, "steps": 20, "cfg": 7.0, "loras": (AVA,), "seed": 3,
    }
    return kind.model_validate(fields | changes)


def poster_recipe(engine: EngineId, **changes: object) -> PosterRecipe:
    fields: dict[str, object] = {
        "engine": engine, "prompt": "vibrant artistic illustration", "width": 256, "height": 256, "steps": 22,
        "sampler_name": "euler", "scheduler_name": "simple", "flux_guidance": 6.5, "loras": (STYLE, AVA), "seed": 3,
    }
    return PosterRecipe.model_validate(fields | changes)


def decoded(path: Path) -> Frames:
    """Every frame of a clip."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(np.float32)


def apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Mean absolute difference of two pictures, in steps of 255."""
    return float(np.abs(one - other).mean())


def write_voice(
    path: Path, loud: tuple[tuple[float, float], ...], seconds: float, swell: bool = False, rate: int = 16000,
    volume: float = 1.0,
) -> Path:
    """A mono 16-bit WAV that hums in the given (start, end) stretches, louder and louder with `swell`."""
    time = np.arange(round(seconds * rate)) / rate
    on = np.any([(time >= start) & (time < end) for start, end in loud], axis=0) if loud else np.zeros(len(time), bool)
    hum = 0.3 * np.sin(2 * np.pi * 140 * time) + 0.15 * np.sin(2 * np.pi * 420 * time)
    hum *= volume * (time / seconds if swell else 1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((hum * on * 32767).astype("<i2").tobytes())
    return path
