"""Clips at the delivery's size and rate: each frame is encoded once, here."""

from __future__ import annotations

from callsheet.media import conform as media
from callsheet.recipes import ConformRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.stage import stage


@stage(policy.cpu)
def conform(recipe: ConformRecipe, room: Room) -> Outcome:
    """Bring one raw clip to the delivery's size, rate and captions."""
    return media.conform(recipe, room)
