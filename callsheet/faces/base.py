"""What a lip-sync engine and an upscaler promise. Every one passes its suite in tests/contracts.

A *mouth track* is JSON: {"fps": 24, "mouths": {"<actor id>": [[x, y, width], ...]}}: the centre and width of
each character's mouth, in pixels of the clip, one entry a frame.
"""

from __future__ import annotations

from typing import Protocol

from callsheet.recipes import EngineId, LipsyncRecipe, RestoreRecipe, UpscaleRecipe
from callsheet.store.base import Outcome, Room


class LipsyncEngine(Protocol):
    """Moves mouths to speech."""

    @property
    def id(self) -> EngineId:
        """Enters every recipe; raise its version when the pixels change."""

    def able(self) -> str:
        """Empty when it can work here, else the reason and the remedy as one line."""

    def sync(self, recipe: LipsyncRecipe, room: Room) -> Outcome:
        """Files: main, H.264 in MP4 without sound, as many frames as the clip. Raises EngineError."""


class FaceRestorer(Protocol):
    """Makes faces in clips clear again."""

    @property
    def id(self) -> EngineId:
        """Enters every recipe; raise its version when the pixels change."""

    def able(self) -> str:
        """Empty when it can work here, else the reason and the remedy as one line."""

    def restore(self, recipe: RestoreRecipe, room: Room) -> Outcome:
        """Files: main, H.264 in MP4 without sound: as many frames at the same rate and size. Facts: faces, how many
        frames had one. Raises EngineError, and MediaUnreadable for a clip that is none.
        """


class Upscaler(Protocol):
    """Enlarges clips."""

    @property
    def id(self) -> EngineId:
        """Enters every recipe; raise its version when the pixels change."""

    def able(self) -> str:
        """Empty when it can work here, else the reason and the remedy as one line."""

    def upscale(self, recipe: UpscaleRecipe, room: Room) -> Outcome:
        """Files: main, H.264 in MP4 without sound: as many frames at the same rate, sides `factor` times as long.

        Raises EngineError, and MediaUnreadable for a clip that is none.
        """
