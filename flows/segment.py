"""One raw clip of at most 120 frames, as an endpoint makes it for somebody else's chain.

    callsheet job manifests/examples/jobs/segment.json
"""

from __future__ import annotations

from prefect import flow

from callsheet import persona
from callsheet.jobs import acting
from callsheet.jobs.reply import Reply
from callsheet.jobs.requests import Segment
from tasks.inputs import loras, taken_in
from tasks.reply import answering, random_seed
from tasks.segments import segments
from tasks.train_complete import train_complete
from tasks.upload import upload


@flow(name="segment", flow_run_name="{request.title}")
def segment(request: Segment) -> Reply:
    """Make `videos/{job_id}/segment.mp4`, at 24 fps and without sound.

    Args:
        request: What is seen, whose LoRAs, how many frames; a picture to start from, where there is one.
    """
    with answering(request) as job:
        request = request.settled(random_seed)
        actors = acting.cast(request, loras(request))
        train_complete.each([persona.train_complete(actor) for actor in actors])
        engines = job.clip_engines(
            actors, pictured=request.image is not None, follows=request.video is not None,
            controlled=request.control is not None,
        )
        made = acting.segment(request, actors, taken_in(request), engines)
        segments.one(made.segment)
        return job.reply(made, upload.one(made.upload), engines.warnings())
