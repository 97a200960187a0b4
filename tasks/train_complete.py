"""Training is complete: the LoRA is there, whole, and of the right family. Never waits."""

from __future__ import annotations

from callsheet.lora.accept import accept
from callsheet.recipes import TrainCompleteRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.run import current
from tasks.stage import stage


@stage(policy.cpu)
def train_complete(recipe: TrainCompleteRecipe, room: Room) -> Outcome:
    """Check one LoRA and copy it into the store under its digest."""
    path = current().sources.local(recipe.path, recipe.sha256, room.folder, f"LoRA of {recipe.label}")
    return accept(recipe, path)
