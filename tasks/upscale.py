"""Larger pictures for a delivery that is larger than what was generated."""

from __future__ import annotations

from callsheet.recipes import UpscaleRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.engines import upscaler
from tasks.stage import stage


@stage(policy.gpu)
def upscale(recipe: UpscaleRecipe, room: Room) -> Outcome:
    """Enlarge a clip by 2, 3 or 4."""
    return upscaler(recipe.engine).upscale(recipe, room)
