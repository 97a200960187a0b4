"""What every contender has to make: clips, sounds, captions, and how long the film is.

A `Job` is a plain value that travels to each contender's own process as JSON. Its files are made by
footage.py; nothing is rendered here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path


class Case(StrEnum):
    """What the film is like. Only `BURNED` draws its captions; all have them as files."""

    BURNED = "burned"
    SOFT = "soft"
    CUTS = "cuts"

    @property
    def headline(self) -> str:
        return {
            Case.BURNED: "crossfades, captions burned",
            Case.SOFT: "crossfades, no burned captions",
            Case.CUTS: "hard cuts, no burned captions",
        }[self]


@dataclass(frozen=True)
class Placed:
    """A sound and when it is heard, in seconds of the film; `volume` is linear."""

    path: str
    start: float = 0.0
    volume: float = 1.0


@dataclass(frozen=True)
class Caption:
    """One caption, in seconds of the film."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Sounds:
    """Everything heard."""

    voices: tuple[Placed, ...]
    music: Placed
    ambience: Placed
    effects: tuple[Placed, ...]


@dataclass(frozen=True)
class Job:
    """One film."""

    case: Case
    clips: tuple[str, ...]
    """Files in order of play, each of `frames` frames in the delivery's size and rate."""
    frames: int
    overlap: int
    """Frames of each transition; 0 for hard cuts."""
    width: int
    height: int
    fps: int
    preset: str
    crf: int
    sounds: Sounds
    captions: tuple[Caption, ...]

    @property
    def film_frames(self) -> int:
        return len(self.clips) * self.frames - (len(self.clips) - 1) * self.overlap

    @property
    def seconds(self) -> float:
        return self.film_frames / self.fps

    @property
    def step(self) -> int:
        """Frames of the film from the start of one clip to the start of the next."""
        return self.frames - self.overlap

    @property
    def burned(self) -> bool:
        return self.case is Case.BURNED

    def bodies(self) -> Iterator[tuple[int, int, int, int]]:
        """Frames outside transitions: clip, its first frame, the end (excluded), and where that is in the film."""
        for n in range(len(self.clips)):
            first = self.overlap if n else 0
            end = self.frames - (self.overlap if n < len(self.clips) - 1 else 0)
            yield n, first, end, n * self.step + first

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps(asdict(self)))
        return path


def read_job(path: Path) -> Job:
    """The job in a file that `Job.write` wrote."""
    raw = json.loads(path.read_text())
    sounds = raw["sounds"]
    return Job(**{
        **raw,
        "case": Case(raw["case"]),
        "clips": tuple(raw["clips"]),
        "captions": tuple(Caption(**caption) for caption in raw["captions"]),
        "sounds": Sounds(
            voices=tuple(Placed(**voice) for voice in sounds["voices"]),
            music=Placed(**sounds["music"]),
            ambience=Placed(**sounds["ambience"]),
            effects=tuple(Placed(**effect) for effect in sounds["effects"]),
        ),
    })
