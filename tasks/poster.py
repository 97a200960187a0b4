"""The poster frame."""

from __future__ import annotations

from callsheet.errors import EngineError, EngineTimedOut, EngineUnable, MediaError, OutOfMemory, PosterFailed
from callsheet.recipes import PosterRecipe
from callsheet.store.base import Outcome, Room
from tasks import policy
from tasks.engines import clip_engine
from tasks.stage import stage


@stage(policy.gpu)
def poster(recipe: PosterRecipe, room: Room) -> Outcome:
    """Paint one actor's poster frame. Raises PosterFailed, EngineUnable, OutOfMemory, EngineTimedOut."""
    engine = clip_engine(recipe.engine)
    try:
        return engine.paint(recipe, room)
    except (EngineUnable, OutOfMemory, EngineTimedOut):            # the same again would end the same way
        raise
    except (EngineError, MediaError) as error:
        raise PosterFailed(actor=recipe.label, detail=error.what) from error
