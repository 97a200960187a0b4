"""The production's files, under the keys that people and other systems read."""

from __future__ import annotations

from callsheet.recipes import UploadRecipe
from callsheet.store import upload as store
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.run import current
from tasks.stage import stage


@stage(policy.network)
def upload(recipe: UploadRecipe, room: Room) -> Outcome:
    """Deliver what is not delivered yet."""
    run = current()
    return store.upload(recipe, room, run.delivery, run.records.made_at)
