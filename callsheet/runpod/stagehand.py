"""The process that does the GPU work of a worker, one job after another.

    python -m callsheet.runpod.stagehand EVENTS-FD        started by backstage.py, which may kill it at any moment

Jobs come in on standard input, one JSON object a line: `{"id", "input"}`. Events go out on a pipe of their own,
because libraries print what they like: `{"event": "progress", "id", "share", "what"}` and, once a job,
`{"event": "result", "id", "reply"}`. Flows run in direct mode: nothing here needs a Prefect server.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from callsheet import project
from callsheet.jobs.base import Request
from callsheet.jobs.reply import Reply, Trouble
from callsheet.redact import redact, redacted_logs
from callsheet.runpod.job_inputs import ShootJob, StageJob, Work, read_work
from callsheet.settings import Settings

EVERY_S = 1.0
"""Progress is told at most so often."""


class Events:
    """What goes out. Any thread may tell progress."""

    def __init__(self, out: BinaryIO, secrets: frozenset[str] = frozenset()) -> None:
        self._out, self._secrets = out, secrets
        self._lock = threading.Lock()
        self._told = 0.0
        self._job_id = ""

    def begin(self, job_id: str) -> None:
        self._job_id, self._told = job_id, 0.0

    def progress(self, share: float, what: str) -> None:
        now = time.monotonic()
        if now - self._told >= EVERY_S:
            self._told = now
            self._write({"event": "progress", "id": self._job_id, "share": round(share, 3), "what": what})

    def result(self, reply: dict[str, Any]) -> None:
        self._write({"event": "result", "id": self._job_id, "reply": reply})

    def _write(self, event: dict[str, Any]) -> None:
        line = redact(json.dumps(event), self._secrets) + "\n"
        with self._lock:
            self._out.write(line.encode())
            self._out.flush()


def perform(work: Work, progress: Callable[[float, str], None]) -> dict[str, Any]:
    """Do one job here; the output that its sender gets. Raises what the work raises."""
    from tasks.direct import direct

    with direct(progress):
        if isinstance(work, StageJob):
            return _stage(work)
        if isinstance(work, ShootJob):
            return _shoot(work)
        assert isinstance(work, Request), f"{work.job_type} is no work for this process"
        from callsheet.doors.job import flow_of

        reply: Reply = flow_of(work).fn(work)
        return reply.model_dump(mode="json")


def _stage(work: StageJob) -> dict[str, Any]:
    from tasks.run import Seen, running, watching

    recipe = work.made()
    seen: list[Seen] = []
    refresh = [work.stage] if work.since else []
    with running(f"{work.stage} {recipe.label}", refresh, work.since), watching(seen.append):
        record = stage_tasks()[work.stage].one(recipe)
    return {
        "stage": work.stage, "fingerprint": recipe.fingerprint, "cached": all(one.cached for one in seen),
        "artifacts": {name: artifact.sha256 for name, artifact in record.artifacts.items()},
    }


def _shoot(work: ShootJob) -> dict[str, Any]:
    from flows.shoot import shoot

    orders = list(work.orders)
    ended = shoot.fn(orders, list(work.refresh), work.started)
    return {"failed": {
        order.cast[0].id: Trouble(code=error.code, message=error.what, remedy=error.fix).model_dump()
        for order, error in zip(orders, ended, strict=True) if error is not None
    }}


def stage_tasks() -> dict[str, Any]:
    """The GPU half's stages by their names."""
    from tasks.lipsync import lipsync
    from tasks.poster import poster
    from tasks.restore import restore
    from tasks.segments import segments
    from tasks.takes import takes
    from tasks.upscale import upscale

    return {stage.name: stage for stage in (poster, takes, segments, lipsync, restore, upscale)}


def serve(jobs: queue.SimpleQueue[bytes], events: Events) -> None:
    """Do every job that comes, for ever."""
    project.importable()
    stage_tasks()                                     # imports take seconds: better now than in the first job
    while True:
        job = json.loads(jobs.get())
        events.begin(job["id"])
        events.result(answer(job["input"], events.progress))


def answer(fields: Any, progress: Callable[[float, str], None]) -> dict[str, Any]:
    """The reply to a job's input, also when it fails."""
    began = time.monotonic()
    work: Work | None = None
    try:
        work = read_work(fields)
        return perform(work, progress)
    except Exception as error:
        logging.getLogger("callsheet.run").error("%s", error, exc_info=error)
        request = work if isinstance(work, Request) else None
        return Reply.failed(request, error, round((time.monotonic() - began) * 1000)).model_dump(mode="json")


def _listen(jobs: queue.SimpleQueue[bytes]) -> None:
    """Pass jobs on. When whoever sends them is gone, so are they who wait for the result: stop working."""
    for line in sys.stdin.buffer:
        jobs.put(line)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def main() -> None:
    """Serve the pipe that the command line names."""
    descriptor = int(sys.argv[1])
    os.set_inheritable(descriptor, False)             # a program that outlives this one must not hold it open
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), name="jobs", daemon=True).start()
    secrets = Settings.load().secrets()
    with redacted_logs(secrets), os.fdopen(descriptor, "wb") as out:
        serve(jobs, Events(out, secrets))


if __name__ == "__main__":
    main()
