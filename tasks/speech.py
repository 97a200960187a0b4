"""Spoken lines. On the CPU, before the shoot: scenes grow with their speech."""

from __future__ import annotations

from callsheet.recipes import SpeechRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.engines import speech_engine
from tasks.stage import stage


@stage(policy.network)
def speech(recipe: SpeechRecipe, room: Room) -> Outcome:
    """Speak one line."""
    return speech_engine(recipe.engine).speak(recipe, room)
