"""How like its poster an actor looks in a film: what is asked, and what is told. Values alone.

The quality gate asks (media/check.py), faces/identity.py measures, the task brings the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

FACE_LIMIT = 0.6
"""Of the face embedding: pictures of one person lie below, those of two above."""


class Metric(StrEnum):
    """What a distance is measured with."""

    FACE = "face"
    """Euclidean distance of two face embeddings: one person about 0.3, two people 0.6 and more."""
    PICTURE = "picture"
    """No face was found, or nothing is here that embeds it: perceptual hash, colours and structure, 0 to 1."""


@dataclass(frozen=True)
class Sitting:
    """An actor who should be seen in a scene."""

    scene: int
    """Index from 0."""
    actor: str
    """As a person is told."""
    poster: Path
    first: int
    """Frame of the film from which on it is looked at."""
    end: int
    """The frame after the last one."""


@dataclass(frozen=True)
class Likeness:
    """How far an actor in one scene is from its poster."""

    sitting: Sitting
    metric: Metric
    distance: float
    limit: float
    """Distances above it are another person, or another picture altogether."""
    frames: int
    """How many were compared."""
    why: str = ""
    """Why it was not the face that was compared; empty when it was."""

    @property
    def same(self) -> bool:
        return self.distance <= self.limit

    def __str__(self) -> str:
        told = f"{self.metric} distance {self.distance:.2f} to its poster, limit {self.limit:.2f}"
        return f"{self.sitting.actor}: {told}" + (f" ({self.why})" if self.why else "")


Compare = Callable[[Path, Fraction, Sequence[Sitting], float], Sequence[Likeness]]
"""(film, its frames a second, who should be where, the limit of the face embedding) -> one likeness for each
sitting that the film has frames of.

The limit of another metric follows in proportion. Raises MediaUnreadable.
"""
