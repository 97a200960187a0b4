"""The poster frame of one trained actor.

    callsheet job manifests/examples/jobs/poster_frame.json
"""

from __future__ import annotations

from prefect import flow

from callsheet import persona
from callsheet.jobs import acting
from callsheet.jobs.reply import Reply
from callsheet.jobs.requests import PosterFrame
from tasks.inputs import loras
from tasks.poster import poster
from tasks.reply import answering
from tasks.train_complete import train_complete
from tasks.upload import upload


@flow(name="poster_frame", flow_run_name="{request.title}")
def poster_frame(request: PosterFrame) -> Reply:
    """Make one poster; the same request gives the same picture under the same key.

    Args:
        request: Actor, LoRA by name, description, and the picture's parameters.
    """
    with answering(request) as job:
        order = acting.poster_order(request, loras(request))
        train_complete.one(persona.train_complete(order.cast[0]))
        choices = job.run.choices(order, clips_too=False)
        if order.poster and choices.style:
            train_complete.one(persona.style_complete(order.poster, choices.style))
        made = acting.poster_frame(request, order, choices)
        poster.one(made.poster)
        return job.reply(made, upload.one(made.upload))
