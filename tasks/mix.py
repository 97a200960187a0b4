"""The film: the reel, and everything that is heard."""

from __future__ import annotations

from callsheet.media import mix as media
from callsheet.recipes import MixRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.stage import stage


@stage(policy.cpu)
def mix(recipe: MixRecipe, room: Room) -> Outcome:
    """Mix voices, music, ambience and effects under the reel, whose frames are copied."""
    return media.mix(recipe, room)
