"""What an engine for pictures and clips promises. A new engine is one file and one line in ENGINES.

Every engine passes tests/contracts/test_clip_engines.py. An engine never decides about fallback: the
caller's policy does, and the record tells what ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from callsheet.recipes import ClipRecipe, EngineId, PosterRecipe
from callsheet.store.base import Outcome, Room


@dataclass(frozen=True)
class Ability:
    """Yes, or no with the reason and the remedy."""

    able: bool
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class LoraFile:
    """A character LoRA as an engine gets it: actor id -> local path."""

    actor_id: str
    path: Path


class ClipEngine(Protocol):
    """Makes posters and clips."""

    @property
    def id(self) -> EngineId:
        """Enters every recipe; raise its version when the pixels change."""

    @property
    def has_mouths(self) -> bool:
        """Whether clips come with a mouth track (faces/base.py)."""

    def able(self) -> Ability:
        """Whether it is configured and reachable here."""

    def paint(self, recipe: PosterRecipe, room: Room) -> Outcome:
        """A poster. Files: main, a JPEG of exactly width x height. Raises EngineError."""

    def shoot(self, recipe: ClipRecipe, room: Room) -> Outcome:
        """A clip. Tells its progress at least every few minutes, also while a model loads: a rented machine on which
        nothing moves for `quiet_s` (900 s) is given up.

        Files: main, H.264 in MP4 without sound, exactly num_frames at fps, width x height; last_frame, a PNG of the
        same size; mouths where the engine knows them (faces/base.py). Raises EngineError."""
