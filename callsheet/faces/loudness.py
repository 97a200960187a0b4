"""How far a mouth opens, from the sound of a voice alone: loudness opens it, hiss (s, f, sh) spreads it.

Covers any sound file that ffmpeg reads. Does not know words or phones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callsheet.errors import MediaError, MediaUnreadable
from callsheet.media.ffmpeg import HOSTILE_INPUT, Command, local_input, reader

_RATE = 16000
_STEP_S = 0.02
_QUIET = 10 ** (-48 / 20)
"""Below this RMS (full scale is 1) a sound is silence, whatever the rest of the voice is."""
_LONGEST_S = 4 * 3600


@dataclass(frozen=True)
class Voice:
    """Openness and hiss, each from 0 to 1, one value every 20 ms from `start`."""

    speaker: str
    start: float
    """Seconds from the start of the clip; may be negative."""
    open: NDArray[np.float64]
    hiss: NDArray[np.float64]

    @property
    def end(self) -> float:
        return self.start + len(self.open) * _STEP_S

    def at(self, seconds: float) -> tuple[float, float]:
        """(openness, hiss) at a time of the clip; (0, 0) outside the voice."""
        place = (seconds - self.start) / _STEP_S - 0.5
        if not -1 < place < len(self.open):
            return 0.0, 0.0
        steps = np.arange(len(self.open))
        return (
            float(np.interp(place, steps, self.open, left=0, right=0)),
            float(np.interp(place, steps, self.hiss, left=0, right=0)),
        )


def listen(path: Path, speaker: str, start: float) -> Voice:
    """Read a voice. Raises MediaUnreadable when it is no sound."""
    samples = _samples(path)
    step = round(_RATE * _STEP_S)
    count = -(-len(samples) // step)
    blocks = np.pad(samples, (0, count * step - len(samples))).reshape(count, step)
    loud = np.sqrt((blocks**2).mean(1)) if count else np.zeros(0)
    crossings = (np.diff(np.signbit(blocks), axis=1)).mean(1) if count else np.zeros(0)
    heard = loud[loud > _QUIET]
    reference = float(np.percentile(heard, 90)) if len(heard) else 1.0
    level = np.clip((loud / reference - 0.07) / 0.93, 0, 1) * (loud > _QUIET)
    hiss = np.clip((crossings - 0.12) / 0.25, 0, 1) * (level > 0)
    return Voice(speaker, start, _smooth(level) ** 0.75, _smooth(hiss))


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A weighted mean over 60 ms."""
    return np.convolve(values, (0.25, 0.5, 0.25), mode="same") if len(values) > 2 else values


def _samples(path: Path) -> NDArray[np.float64]:
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
            str(_RATE),
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


def openness(voices: Sequence[Voice], seconds: float) -> dict[str, tuple[float, float]]:
    """(openness, hiss) of each speaker at a time of the clip; the louder line wins where two overlap."""
    now: dict[str, tuple[float, float]] = {}
    for voice in voices:
        now[voice.speaker] = max(now.get(voice.speaker, (0.0, 0.0)), voice.at(seconds))
    return now
