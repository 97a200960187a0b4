"""Segments: the raw clips of a film's scenes."""

from __future__ import annotations

from callsheet.recipes import SegmentRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.engines import clip_engine
from tasks.stage import stage


@stage(policy.gpu)
def segments(recipe: SegmentRecipe, room: Room) -> Outcome:
    """Shoot at most 120 frames of a scene."""
    return clip_engine(recipe.engine).shoot(recipe, room)
