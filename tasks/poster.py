"""The poster frame."""

from __future__ import annotations

from callsheet.recipes import PosterRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.engines import clip_engine
from tasks.stage import stage


@stage(policy.gpu)
def poster(recipe: PosterRecipe, room: Room) -> Outcome:
    """Paint one actor's poster frame."""
    return clip_engine(recipe.engine).paint(recipe, room)
