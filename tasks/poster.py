"""The poster frame."""

from __future__ import annotations

from callsheet.errors import EngineError, EngineUnable, MediaError, PosterFailed
from callsheet.recipes import PosterRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.engines import clip_engine
from tasks.stage import stage


@stage(policy.gpu)
def poster(recipe: PosterRecipe, room: Room) -> Outcome:
    """Paint one actor's poster frame. Raises PosterFailed, EngineUnable."""
    engine = clip_engine(recipe.engine)
    try:
        return engine.paint(recipe, room)
    except EngineUnable:
        raise
    except (EngineError, MediaError) as error:
        raise PosterFailed(actor=recipe.label, detail=error.what) from error
