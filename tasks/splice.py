"""All clips as one reel: copies; encodes transition windows only."""

from __future__ import annotations

from callsheet.media import splice as media
from callsheet.recipes import SpliceRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.stage import stage


@stage(policy.cpu)
def splice(recipe: SpliceRecipe, room: Room) -> Outcome:
    """Join the clips; only frames inside transitions are encoded."""
    return media.splice(recipe, room)
