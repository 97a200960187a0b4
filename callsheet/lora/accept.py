"""Whether a trained LoRA may be used: whole, safe, finite, and of the right family."""

from __future__ import annotations

from pathlib import Path

from callsheet.lora.inspect import check_finite, inspect, require_family
from callsheet.recipes import TrainCompleteRecipe
from callsheet.store.base import Outcome


def accept(recipe: TrainCompleteRecipe, path: Path) -> Outcome:
    """Inspect a LoRA and hand it to the store. Facts: family, rank, layers, style.

    Raises LoraUnreadable, LoraUnsafe, LoraFamilyUnknown, WrongFamily.
    """
    facts = inspect(path)
    if recipe.base_model is not None:
        require_family(facts, recipe.base_model, path.name)
    check_finite(path)
    return Outcome(
        files={"main": path},
        facts={"family": facts.family, "rank": facts.rank, "layers": facts.layers, "style": facts.style},
        made_by="training",
    )
