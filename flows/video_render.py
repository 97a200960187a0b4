"""A talking picture with music, ambience, effects and captions: the full render.

    callsheet job manifests/examples/jobs/video_render.json
"""

from __future__ import annotations

from prefect import flow

from callsheet.jobs import talking
from callsheet.jobs.reply import Reply
from callsheet.jobs.requests import VideoRender
from tasks.conform import conform
from tasks.inputs import taken_in
from tasks.lipsync import lipsync
from tasks.mix import mix
from tasks.reply import answering
from tasks.restore import restore
from tasks.upload import upload
from tasks.upscale import upscale


@flow(name="video_render", flow_run_name="{request.title}")
def video_render(request: VideoRender) -> Reply:
    """Make `videos/{job_id}/final.mp4` and its thumbnail, as long as the voice.

    Args:
        request: Picture, voice and other sounds as URL or base64; captions, format, quality, ducking.
    """
    with answering(request) as job:
        inputs = taken_in(request)      # fetch, intake: here, checked, in the store
        talk = talking.video_render(request, inputs, job.talk_engines())
        lipsync.one(talk.lipsync)
        restore.each(talk.restore)
        upscale.each(talk.upscale)
        conform.one(talk.conform)       # captions are burned here
        mix.one(talk.mix)
        return job.reply(talk, upload.one(talk.upload))
