"""The workers' own plane, which the SDK's loop talks to: /worker/{endpoint}/..."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from callsheet.runpod.emulator.http_tools import MB, answer, json_body, nothing, world_of
from callsheet.runpod.emulator.refusals import Refusal
from callsheet.runpod.emulator.rows import Job, Worker

POLL_S = 20.0
"""Real seconds that a request for jobs, or for jobs to stop, is held open."""
RESULT_MB, CHUNK_MB = 20, 1


def _worker(request: Request) -> Worker:
    return world_of(request).workers.admit(
        request.path_params["endpoint"], request.path_params["worker"], request.headers.get("authorization", ""))


async def _take(request: Request, most: int) -> list[Job]:
    worker, world = _worker(request), world_of(request)
    if worker.ended is not None:
        return []
    world.workers.asked(worker, holding=request.query_params.get("job_in_progress") == "1")

    mine = world.workers.turn(worker)

    def look() -> list[Job] | None:
        return (world.jobs.take(worker, most) or None) if mine() else []

    return await world.bell.until(look, POLL_S) or []


def _handed(job: Job) -> dict[str, object]:
    return {"id": job.id, "input": job.input, **({"webhook": job.webhook} if job.webhook else {})}


async def take(request: Request) -> Response:
    jobs = await _take(request, 1)
    return answer(_handed(jobs[0])) if jobs else nothing()


async def take_batch(request: Request) -> Response:
    size = request.query_params.get("batch_size", "1")
    if not size.isdigit() or not int(size):
        raise Refusal(400, "batch_size must be a whole number")
    jobs = await _take(request, int(size))
    return answer([_handed(job) for job in jobs]) if jobs else nothing()


async def done(request: Request) -> Response:
    worker = _worker(request)
    body = await json_body(request, RESULT_MB * MB)
    if not isinstance(body, dict):
        raise Refusal(400, "a result must be an object")
    world_of(request).jobs.post(worker, request.path_params["job"], body)
    return answer({})


async def chunk(request: Request) -> Response:
    worker = _worker(request)
    body = await json_body(request, CHUNK_MB * MB)
    world_of(request).jobs.chunk(worker, request.path_params["job"], body if isinstance(body, dict) else {})
    return answer({})


async def stop(request: Request) -> Response:
    worker, world = _worker(request), world_of(request)
    await world.bell.until(lambda: True if worker.stops or worker.ended is not None else None, POLL_S)
    if not worker.stops or await request.is_disconnected():
        return nothing()
    stops, worker.stops = worker.stops, []
    world.state.workers.save(worker)
    return answer({"jobsToStop": stops})


async def ping(request: Request) -> Response:
    worker, world = _worker(request), world_of(request)
    world.workers.pinged(worker)
    return answer({})


ROUTES = [
    Route("/worker/{endpoint}/job-take/{worker}", take, methods=["GET"]),
    Route("/worker/{endpoint}/job-take-batch/{worker}", take_batch, methods=["GET"]),
    Route("/worker/{endpoint}/job-done/{worker}/{job}", done, methods=["POST"]),
    Route("/worker/{endpoint}/job-stream/{worker}/{job}", chunk, methods=["POST"]),
    Route("/worker/{endpoint}/job-stop/{worker}", stop, methods=["GET"]),
    Route("/worker/{endpoint}/ping/{worker}", ping, methods=["GET"]),
]
