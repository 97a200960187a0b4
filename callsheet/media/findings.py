"""What a check can find in a film, and how a person is told.

Values alone; what finds them is in check.py and the files beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from callsheet.units import Frozen

Figure = float | int | str | None | list[dict[str, float | int | str]]
"""What a fact can be."""
FrameSpan = tuple[int, int]
"""First frame, and the one after the last."""


class Kind(StrEnum):
    """The faults that are looked for."""

    DURATION = "duration"
    FRAMES = "frames"
    SIZE = "size"
    BLACK = "black"
    FROZEN = "frozen"
    SILENT = "silent"
    LOUDNESS = "loudness"
    TRUE_PEAK = "true_peak"
    CLIPPED = "clipped"
    DRIFT = "drift"
    CAPTIONS = "captions"
    IDENTITY = "identity"

    @property
    def reshootable(self) -> bool:
        """Whether shooting the scene anew, with another seed, can mend it."""
        return self in (Kind.BLACK, Kind.FROZEN, Kind.IDENTITY)


class Finding(Frozen):
    """One fault at one place. Seconds of the film."""

    kind: Kind
    start: float
    end: float
    scene: int | None = None
    """Index from 0 of the scene it lies in; None is the whole film's matter."""
    detail: str
    remedy: str

    def __str__(self) -> str:
        where = f"{self.start:.2f} to {self.end:.2f} s"
        where = "the film" if self.scene is None else f"scene {self.scene + 1}, {where}"
        return f"{where}: {self.detail}: {self.remedy}"


@dataclass
class Measured:
    """What one check found, and the figures that it is based on."""

    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)

    def add(self, other: Measured) -> None:
        self.findings += other.findings
        self.figures |= other.figures

    def sort(self) -> None:
        """As a person meets them in the film."""
        self.findings.sort(key=lambda finding: (finding.start, finding.kind))


def stretches(flags: Iterable[bool], shortest: int = 1) -> list[FrameSpan]:
    """Runs of true values that are at least `shortest` long."""
    found, start, n = [], None, -1
    for n, flag in enumerate(flags):
        if flag and start is None:
            start = n
        elif not flag and start is not None:
            found.append((start, n))
            start = None
    if start is not None:
        found.append((start, n + 1))
    return [(a, b) for a, b in found if b - a >= shortest]


def outside(span: FrameSpan, windows: Iterable[FrameSpan]) -> list[FrameSpan]:
    """What is left of a stretch without the windows."""
    left = [span]
    for first, end in windows:
        left = [part for a, b in left for part in ((a, min(b, first)), (max(a, end), b)) if part[0] < part[1]]
    return left


def scene_at(scenes: Sequence[int], frame: float) -> int:
    """Index of the scene that a frame lies in; `scenes` are first frames, in order."""
    return max((n for n, first in enumerate(scenes) if first <= frame), default=0)


def by_scene(span: FrameSpan, scenes: Sequence[int], shortest: int) -> Iterator[tuple[int, FrameSpan]]:
    """A stretch as parts that lie in one scene each: those of `shortest` frames, or else the longest one."""
    bounds = [span[0], *(first for first in scenes if span[0] < first < span[1]), span[1]]
    parts = list(itertools.pairwise(bounds))
    long = [part for part in parts if part[1] - part[0] >= shortest]
    for part in long or [max(parts, key=lambda part: part[1] - part[0])]:
        yield scene_at(scenes, part[0]), part
