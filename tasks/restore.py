"""Faces made clear again after lip-sync."""

from __future__ import annotations

from callsheet.recipes import RestoreRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.engines import restorer
from tasks.stage import stage


@stage(policy.gpu)
def restore(recipe: RestoreRecipe, room: Room) -> Outcome:
    """Restore the faces of a clip; its size and frames stay."""
    return restorer(recipe.engine).restore(recipe, room)
