"""When the words and phones of spoken lines are heard. On the CPU, between speech and shoot."""

from __future__ import annotations

from callsheet.recipes import AlignRecipe
from callsheet.speech import align as speech
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.stage import stage


@stage(policy.cpu)
def align(recipe: AlignRecipe, room: Room) -> Outcome:
    """Time the words of one line."""
    return speech.align(recipe, room)
