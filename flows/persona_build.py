"""Base clips of a persona from one picture. Once per persona: asking again finds them made.

    callsheet job manifests/examples/jobs/persona_build.json
"""

from __future__ import annotations

from prefect import flow

from callsheet.jobs import personas
from callsheet.jobs.reply import Reply
from callsheet.jobs.requests import PersonaBuild
from tasks.inputs import taken_in
from tasks.reply import answering
from tasks.takes import takes
from tasks.upload import upload


@flow(name="persona_build", flow_run_name="{request.title}")
def persona_build(request: PersonaBuild) -> Reply:
    """Make `personas/{persona_id}/takes/take_{n}.mp4`, five seconds each.

    Args:
        request: Who, a picture as URL or base64, and the takes: emotion, angle, intensity.
    """
    with answering(request) as job:
        inputs = taken_in(request)      # fetch, intake: here, checked, in the store
        persona = personas.persona_build(request, inputs, job.clip_engines())
        takes.each(persona.takes)
        return job.reply(persona, upload.one(persona.upload))
