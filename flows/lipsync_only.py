"""A still picture whose mouth follows a voice: the quickest job.

    callsheet job manifests/examples/jobs/lipsync_only.json
"""

from __future__ import annotations

from prefect import flow

from callsheet.jobs import talking
from callsheet.jobs.reply import Reply
from callsheet.jobs.requests import LipsyncOnly
from tasks.conform import conform
from tasks.inputs import taken_in
from tasks.lipsync import lipsync
from tasks.mix import mix
from tasks.reply import answering
from tasks.restore import restore
from tasks.upload import upload
from tasks.upscale import upscale


@flow(name="lipsync_only", flow_run_name="{request.title}")
def lipsync_only(request: LipsyncOnly) -> Reply:
    """Make `videos/{job_id}/lipsync.mp4`.

    Args:
        request: Picture and voice as URL or base64, and the quality: fast, standard or high.
    """
    with answering(request) as job:
        inputs = taken_in(request)      # fetch, intake: here, checked, in the store
        talk = talking.lipsync_only(request, inputs, job.talk_engines())
        lipsync.one(talk.lipsync)
        restore.each(talk.restore)
        upscale.each(talk.upscale)
        conform.one(talk.conform)
        mix.one(talk.mix)
        return job.reply(talk, upload.one(talk.upload))
