"""An order as another machine gets it: with everything that `auto` came to here, so that both plan the same recipes."""

from __future__ import annotations

from callsheet.film import Film
from callsheet.models import Order
from tasks.run import current


def pinned(film: Film) -> Order:
    """The film's order with engines, models, policy, the style's file and the film's own name filled in."""
    order, chosen = film.order, film.choices
    generate = order.generate.model_copy(update={
        "engine": chosen.clips.name,
        "model": chosen.clips.model,
        "fallback": order.generate.fallback or current().settings.fallback,
        "speech": chosen.speech.name,
        "lipsync": chosen.lipsync.name,
        "restore": chosen.restore.name if chosen.restore else "off",
        "upscale": chosen.upscale.name if chosen.upscale else "off",
    })
    return order.model_copy(update={"generate": generate, "style": chosen.style, "job_id": film.job_id})
