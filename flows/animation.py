"""Characters that move and speak: a short film of one scene, without poster and takes.

    callsheet job manifests/examples/jobs/animation.json
"""

from __future__ import annotations

from prefect import flow

from callsheet.jobs import acting
from callsheet.jobs.reply import Reply
from callsheet.jobs.requests import Animation
from flows.shoot import footage, prepared
from tasks.conform import conform
from tasks.fallback import fallbacks, insist_on_generated
from tasks.inputs import loras
from tasks.mix import mix
from tasks.reply import answering, random_seed
from tasks.splice import splice
from tasks.upload import upload


@flow(name="animation", flow_run_name="{request.title}")
def animation(request: Animation) -> Reply:
    """Make `videos/{job_id}/final.mp4` and its thumbnail.

    Args:
        request: What is seen and said, whose LoRAs, size, frames and the engine's parameters.
    """
    with answering(request) as job:
        request = request.settled(random_seed)
        film = prepared(acting.animation_order(request, loras(request)))    # train_complete, speech
        film = footage(film)            # segments, lip-sync
        conform.each(film.conform)
        splice.one(film.splice)
        mix.one(film.mix)
        insist_on_generated(film)
        return job.reply(acting.AnimationJob(request, film), upload.one(film.upload), map(str, fallbacks(film)))
