"""Mouths that follow the speech."""

from __future__ import annotations

from callsheet.recipes import LipsyncRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.engines import lipsync_engine
from tasks.stage import stage


@stage(policy.gpu)
def lipsync(recipe: LipsyncRecipe, room: Room) -> Outcome:
    """Move the mouths of a clip or still to its voices."""
    return lipsync_engine(recipe.engine).sync(recipe, room)
