"""Sounds whose parts can be told apart again by their pitch, and a place to mix them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.mix import mix
from callsheet.media.sound import RATE, Samples, write_wav
from callsheet.recipe import Ref, Stage
from callsheet.recipes import MixRecipe
from callsheet.store.base import Outcome, Room

SECONDS = 8.0
MUSIC_HZ, VOICE_HZ, EFFECT_HZ = 500, 3000, 8000


def ref(name: str) -> Ref:
    return Ref(stage=Stage.INTAKE, fingerprint=hashlib.sha256(name.encode()).hexdigest())


def tone(
    hertz: float, seconds: float, amplitude: float, gate: Sequence[tuple[float, float]] | None = None
) -> Samples:
    """Both channels alike; silent outside of the gates, in seconds."""
    t = np.arange(round(seconds * RATE)) / RATE
    mono = amplitude * np.sin(2 * np.pi * hertz * t)
    if gate is not None:
        mono *= np.select([(t >= a) & (t < b) for a, b in gate], [1.0] * len(gate))
    return np.repeat(mono[:, None], 2, axis=1).astype(np.float32)


def picture(path: Path, seconds: float = SECONDS, size: str = "160x90", source: str = "testsrc2") -> Path:
    """A reel with B-frames, as splice makes them."""
    run(Command(("-f", "lavfi", "-i", f"{source}=s={size}:r=30:d={seconds}", "-c:v", "libx264", "-crf", "28",
                 "-preset", "veryfast", "-bf", "2", "-pix_fmt", "yuv420p", "-video_track_timescale", "15360",
                 local_input(path)), "make a reel"))
    return path


class Studio:
    """Files by name, and rooms to mix them in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[Ref, Path] = {}
        self.rooms = 0

    def put(self, name: str, samples: Samples) -> Ref:
        write_wav(self.folder / f"{name}.wav", samples)
        return self.add(name, self.folder / f"{name}.wav")

    def add(self, name: str, path: Path) -> Ref:
        self.files[ref(name)] = path
        return ref(name)

    def mix(self, **fields: Any) -> Outcome:
        self.rooms += 1
        folder = self.folder / f"room{self.rooms}"
        folder.mkdir()
        room = Room(folder, self.files.__getitem__, lambda _: {})
        return mix(MixRecipe(**{"reel": ref("reel"), "seconds": SECONDS, **fields}), room)


def level(samples: NDArray[np.float64], hertz: float, window_s: float = 0.02) -> NDArray[np.float64]:
    """Level in dB of the tone at `hertz`, sample by sample, over a window centred there."""
    n = round(window_s * RATE)
    turned = samples * np.exp(-2j * np.pi * hertz * np.arange(len(samples)) / RATE)
    return 20 * np.log10(2 * np.abs(np.convolve(turned, np.ones(n) / n, "same")) + 1e-9)


def between(levels: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
    return levels[round(start * RATE):round(end * RATE)]
