"""What a speech engine promises. Every one passes tests/contracts/test_speech.py."""

from __future__ import annotations

from typing import Protocol

from callsheet.models import Voice
from callsheet.recipes import EngineId, SpeechRecipe
from callsheet.store.base import Outcome, Room


class SpeechEngine(Protocol):
    """Speaks one line at a time."""

    @property
    def id(self) -> EngineId:
        """Enters every recipe; raise its version when the sound changes."""

    def able(self) -> str:
        """Empty when it can work here, else the reason and the remedy as one line."""

    def cast_voice(self, voice: Voice, position: int, actor_id: str) -> str:
        """The engine's own voice name for a character; `position` in the cast keeps them distinct."""

    def speak(self, recipe: SpeechRecipe, room: Room) -> Outcome:
        """Files: main, a mono 16-bit WAV. Facts: seconds. Raises SpeechFailed."""
