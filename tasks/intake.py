"""Files of the order beside the LoRAs: music, ambience, effects, pictures, clips."""

from __future__ import annotations

from callsheet.media import intake as media
from callsheet.recipes import IntakeRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.run import current
from tasks.stage import stage


@stage(policy.cpu)
def intake(recipe: IntakeRecipe, room: Room) -> Outcome:
    """Check one file and copy it into the store under its digest."""
    path = current().sources.local(recipe.path, recipe.sha256, room.folder, recipe.kind)
    return media.intake(recipe, room, path)
