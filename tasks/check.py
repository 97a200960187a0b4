"""The quality gate's eyes and ears. What findings lead to is in gate.py."""

from __future__ import annotations

from callsheet.faces.identity import compare
from callsheet.media import check as media
from callsheet.recipes import CheckRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.stage import stage


@stage(policy.cpu)
def check(recipe: CheckRecipe, room: Room) -> Outcome:
    """Look at the finished film and listen to it."""
    return media.check(recipe, room, compare)
