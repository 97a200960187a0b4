"""How a voice sounds over time: loudness, hiss (s, f, sh) and force, from the sound alone.

Covers any sound file that ffmpeg reads. Does not know words or phones; voices.py puts those together with this.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callsheet.errors import MediaError, MediaUnreadable
from callsheet.media.ffmpeg import HOSTILE_INPUT, Command, local_input, reader

RATE = 16000
"""Samples a second."""
STEP_S = 0.02
"""Seconds between two values."""
_QUIET = 10 ** (-48 / 20)
"""Below this RMS (full scale is 1) a sound is silence, whatever the rest of the voice is."""
_LONGEST_S = 4 * 3600
_WHISPERED, _SPOKEN, _SHOUTED = (-42.0, 0.55), (-22.0, 1.0), (-8.0, 1.2)
"""RMS in decibels below full scale, and the force of a voice that is as loud."""
_BREATH_S = 0.3
"""Force follows the loudest moment of so long a stretch, so that a consonant is no whisper."""


@dataclass(frozen=True)
class Sound:
    """Openness and hiss from 0 to 1 and force from 0.55 to 1.2, one value each every 20 ms from the start."""

    open: NDArray[np.float64]
    """Loudness against the voice's own loud moments."""
    hiss: NDArray[np.float64]
    force: NDArray[np.float64]
    """How much further a mouth opens for a louder voice: about 0.6 whispered, 1 spoken, 1.2 shouted."""

    @property
    def seconds(self) -> float:
        return len(self.open) * STEP_S

    def at(self, seconds: float) -> tuple[float, float, float]:
        """(openness, hiss, force) at a time of the sound; (0, 0, 1) outside it."""
        place = seconds / STEP_S - 0.5
        if not -1 < place < len(self.open):
            return 0.0, 0.0, 1.0
        near = slice(max(0, int(place) - 1), int(place) + 3)      # all of an hour would be gone through at each frame
        steps = np.arange(near.start, min(near.stop, len(self.open)))
        return (
            float(np.interp(place, steps, self.open[near], left=0, right=0)),
            float(np.interp(place, steps, self.hiss[near], left=0, right=0)),
            float(np.interp(place, steps, self.force[near])),
        )


def listen(path: Path) -> Sound:
    """Read a voice. Raises MediaUnreadable when it is no sound."""
    samples = samples_of(path)
    step = round(RATE * STEP_S)
    count = -(-len(samples) // step)
    blocks = np.pad(samples, (0, count * step - len(samples))).reshape(count, step)
    loud = np.sqrt((blocks**2).mean(1)) if count else np.zeros(0)
    crossings = (np.diff(np.signbit(blocks), axis=1)).mean(1) if count else np.zeros(0)
    heard = loud[loud > _QUIET]
    reference = float(np.percentile(heard, 90)) if len(heard) else 1.0
    level = np.clip((loud / reference - 0.07) / 0.93, 0, 1) * (loud > _QUIET)
    hiss = np.clip((crossings - 0.12) / 0.25, 0, 1) * (level > 0)
    return Sound(_smooth(level) ** 0.75, _smooth(hiss), _smooth(_force(loud)))


def _force(loud: NDArray[np.float64]) -> NDArray[np.float64]:
    reach = round(_BREATH_S / STEP_S) // 2
    if not len(loud):
        return loud
    near = np.lib.stride_tricks.sliding_window_view(np.pad(loud, reach, mode="edge"), 2 * reach + 1).max(1)
    decibels, forces = zip(_WHISPERED, _SPOKEN, _SHOUTED, strict=True)
    return np.asarray(np.interp(20 * np.log10(np.maximum(near, 1e-6)), decibels, forces))


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A weighted mean over 60 ms."""
    if len(values) < 3:
        return values
    return np.convolve(np.pad(values, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")


def samples_of(path: Path) -> NDArray[np.float64]:
    """A voice as mono samples, -1 to 1, RATE a second. Raises MediaUnreadable."""
    command = Command(
        arguments=(
            *HOSTILE_INPUT,
            "-i",
            local_input(path),
            "-vn",
            "-t",
            str(_LONGEST_S),
            "-ac",
            "1",
            "-ar",
            str(RATE),
            "-f",
            "s16le",
            "pipe:1",
        ),
        what=f"read the voice {path.name}",
    )
    try:
        with reader(command) as pipe:
            raw = pipe.read()
    except MediaError as error:
        raise MediaUnreadable(path=path.name, kind="a voice", detail=error.facts.get("detail", "")) from error
    return np.frombuffer(raw[: len(raw) // 2 * 2], "<i2").astype(np.float64) / 32768
