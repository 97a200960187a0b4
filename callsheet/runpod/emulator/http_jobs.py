"""The jobs plane: /jobs/{endpoint}/..."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callsheet.runpod.emulator import answers
from callsheet.runpod.emulator.http_tools import MB, answer, json_body, world_of
from callsheet.runpod.emulator.limits import Limits
from callsheet.runpod.emulator.refusals import Refusal, missing
from callsheet.runpod.emulator.rows import Endpoint, Job, JobState

RUN_MB, RUNSYNC_MB = 10, 20
WAIT_MS, MOST_WAIT_MS = 90_000, 300_000


def _endpoint(request: Request, limited: str | None = None) -> Endpoint:
    world = world_of(request)
    found = world.state.endpoints.get(request.path_params["endpoint"])
    if found is None:
        raise missing("endpoint", request.path_params["endpoint"])
    limits: Limits = request.app.state.limits
    if limited:
        limits.count(found.id, limited, world.clock.now())
    return found


def _job(request: Request, limited: str) -> Job:
    endpoint = _endpoint(request, limited)
    return world_of(request).jobs.find(endpoint.id, request.path_params["job"])


async def run(request: Request) -> Response:
    endpoint = _endpoint(request, "run")
    job = world_of(request).jobs.submit(endpoint, await json_body(request, RUN_MB * MB), sync=False)
    return answer({"id": job.id, "status": job.state.value})


async def runsync(request: Request) -> Response:
    endpoint, world = _endpoint(request, "run"), world_of(request)
    try:
        wait_ms = int(request.query_params.get("wait", WAIT_MS))
    except ValueError:
        raise Refusal(400, "wait must be a whole number of milliseconds") from None
    job = world.jobs.submit(endpoint, await json_body(request, RUNSYNC_MB * MB), sync=True)
    await world.bell.until(lambda: True if job.state.final else None, min(max(wait_ms, 1000), MOST_WAIT_MS) / 1000)
    return answer(answers.job_status(job, world.skew()))


async def status(request: Request) -> Response:
    job, world = _job(request, "status"), world_of(request)
    job.asked += 1
    body = answers.job_status(job, world.skew())
    if job.state.final and job.progress_after_done is not None:
        body |= {"status": JobState.IN_PROGRESS.value, "output": job.progress_after_done}
        job.progress_after_done = None
    return answer(body)


async def stream(request: Request) -> Response:
    job, world = _job(request, "status"), world_of(request)
    await world.bell.until(lambda: True if job.chunks or job.state.final or job.gone else None, 1.0)
    chunks, job.chunks = job.chunks, []
    world.state.jobs.save(job)
    body = answers.job_status(job, world.skew())
    body.pop("output", None)
    return answer({**body, "stream": [{"output": chunk} for chunk in chunks]})


async def cancel(request: Request) -> Response:
    job = _job(request, "cancel")
    return answer({"id": job.id, "status": world_of(request).jobs.cancel(job).value})


async def retry(request: Request) -> Response:
    job = world_of(request).jobs.retry(_job(request, "run"))
    return answer({"id": job.id, "status": job.state.value})


async def health(request: Request) -> Response:
    endpoint, world = _endpoint(request), world_of(request)
    jobs = [job for job in world.jobs.live() if job.endpoint == endpoint.id]
    return answer(answers.health(jobs, endpoint, list(world.workers.live(endpoint.id))))


async def purge(request: Request) -> Response:
    endpoint = _endpoint(request, "purge")
    return answer({"removed": world_of(request).jobs.purge(endpoint), "status": "completed"})


ROUTES = [
    Route("/jobs/{endpoint}/run", run, methods=["POST"]),
    Route("/jobs/{endpoint}/runsync", runsync, methods=["POST"]),
    Route("/jobs/{endpoint}/status/{job}", status, methods=["GET"]),
    Route("/jobs/{endpoint}/stream/{job}", stream, methods=["GET"]),
    Route("/jobs/{endpoint}/cancel/{job}", cancel, methods=["POST"]),
    Route("/jobs/{endpoint}/retry/{job}", retry, methods=["POST"]),
    Route("/jobs/{endpoint}/health", health, methods=["GET"]),
    Route("/jobs/{endpoint}/purge-queue", purge, methods=["POST"]),
]
