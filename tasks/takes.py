"""Persona takes: base clips of one actor."""

from __future__ import annotations

from callsheet.recipes import TakeRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.engines import clip_engine
from tasks.stage import stage


@stage(policy.gpu)
def takes(recipe: TakeRecipe, room: Room) -> Outcome:
    """Shoot one base clip of a persona."""
    return clip_engine(recipe.engine).shoot(recipe, room)
