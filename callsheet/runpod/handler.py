"""What an endpoint's worker runs: jobs from the queue, one at a time.

    python -m callsheet.runpod.handler              the image's command `handler`

The worker loop is the provider's SDK. The handler itself only checks, claims and tells: GPU work is done by a process
that can be killed (backstage.py, stagehand.py), flow runs by Prefect's own. What was made is in the store before the
reply goes out, so a reply holds names and addresses, never bytes. Flow runs are those of the Prefect server that the
endpoint's template names, PREFECT_API_URL: a job cannot name another one. A job that fails has `error: {code, message,
remedy}` in its reply, which the SDK makes the job's own error.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from callsheet import project
from callsheet.errors import CallsheetError, JobTimedOut, RequestInvalid, SettingMissing
from callsheet.jobs.base import Request
from callsheet.jobs.reply import Reply, Trouble
from callsheet.runpod.backstage import Backstage, Heard
from callsheet.runpod.children import Family
from callsheet.runpod.job_inputs import FlowRunJob, StageJob, Work, read_work
from callsheet.runpod.pod_env import place_of
from callsheet.runpod.pulse import HEARTBEAT, Pulse
from callsheet.runpod.volume import worker_environment
from callsheet.settings import Settings
from callsheet.store.base import private_folder

MAX_REPLY_BYTES = 1_000_000
"""Larger ones are refused by the provider, and the job would stay in progress for ever."""

PROGRESS_EVERY_S = 2.0
"""Each one is a request of its own."""

FLOW_RUN = (sys.executable, "-m", "prefect", "flow-run", "execute")
_POLL_S = 0.2
EXIT_INPUT = 2

Job = Mapping[str, Any]
Told = Callable[[Job, Any], None]


class Handler:
    """Answers jobs. `handle` is what the SDK is given."""

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], backstage: Backstage | None = None,
        tell: Told = lambda job, progress: None, settle: Callable[[], None] = lambda: None, endpoint: str = "",
    ) -> None:
        """`environment` is what child processes get. `tell` sends a job's progress on, perhaps later; `settle` waits
        until all of it is sent, so that none arrives after the reply. `endpoint` is whose queue this is."""
        self._settings, self._environment = settings, dict(environment)
        self.backstage = backstage or Backstage(environment)
        self._tell, self._settle = tell, settle
        self._endpoint = endpoint

    async def handle(self, job: Job) -> dict[str, Any]:
        """The reply to a job. Never raises, except when the job is cancelled: nothing of it runs on then."""
        reply = await self._reply(job)
        await asyncio.to_thread(self._settle)
        return reply

    async def _reply(self, job: Job) -> dict[str, Any]:
        began = time.monotonic()
        work: Work | None = None
        try:
            work = read_work(job.get("input"))
            self._insist_on_a_delivery(work)
            self._insist_on_our_prefect(work)
            return _fitting(await self._claimed_by_another(work, job["id"]) or await self._perform(work, job))
        except Exception as error:
            request = work if isinstance(work, Request) else None
            return Reply.failed(request, error, round((time.monotonic() - began) * 1000)).model_dump(mode="json")

    async def _perform(self, work: Work, job: Job) -> dict[str, Any]:
        if isinstance(work, FlowRunJob):
            self.backstage.clear()                    # its models would keep the card's memory
            return await self._flow_run(work, job["id"])
        return await self.backstage.perform(job["id"], job["input"], self._progress(job))

    def _progress(self, job: Job) -> Heard:
        told = 0.0

        def heard(share: float, what: str) -> None:
            nonlocal told
            if time.monotonic() - told >= PROGRESS_EVERY_S:
                told = time.monotonic()
                self._tell(job, {"share": share, "what": what})

        return heard

    async def _claimed_by_another(self, work: Work, job_id: str) -> dict[str, Any] | None:
        """None when this job may begin: the attempt is its own now. Else the reply to a duplicate."""
        if not isinstance(work, (StageJob, FlowRunJob)) or work.attempt is None:
            return None
        holder = await asyncio.to_thread(self._take, work.key, work.attempt, job_id)
        if holder is None:
            return None
        if isinstance(work, StageJob) and (made := await asyncio.to_thread(self._made_already, work)) is not None:
            return made
        if holder == job_id:
            return {"error": Trouble(
                code="claim.taken", message=f"attempt {work.attempt} at {work.key} began on a worker that was lost",
                remedy="run again: what it made is kept, and the rest is made in another attempt",
            ).model_dump()}
        who = f"job {holder}" if holder else "somebody who gave it up"
        return {"error": Trouble(
            code="claim.taken", message=f"attempt {work.attempt} at {work.key} belongs to {who}",
            remedy="nothing to do: this job was a duplicate, and made nothing",
        ).model_dump()}

    def _take(self, key: str, attempt: int, job_id: str) -> str | None:
        from callsheet.store.attempts import take_attempt
        from tasks.backends import backends

        records, _, _ = backends(self._settings)
        return take_attempt(records.store, key, attempt, job_id, os.environ.get("RUNPOD_POD_ID", ""))

    def _made_already(self, work: StageJob) -> dict[str, Any] | None:
        from tasks.backends import backends

        records, _, _ = backends(self._settings)
        recipe = work.made()
        record = records.current(recipe, work.since)
        return None if record is None else {
            "stage": work.stage, "fingerprint": recipe.fingerprint, "cached": True,
            "artifacts": {name: artifact.sha256 for name, artifact in record.artifacts.items()},
        }

    def _insist_on_a_delivery(self, work: Work) -> None:
        # Without one, results would be delivered into a container that is gone in a minute.
        given = self._settings
        if isinstance(work, Request) and not (given.delivery_place or given.r2_bucket or given.aws_user_images_bucket):
            raise SettingMissing(subject="A place for deliveries", variable="CALLSHEET_DELIVERY or R2_BUCKET")

    def _insist_on_our_prefect(self, work: Work) -> None:
        # Another server's flow runs could be any program, run with this worker's keys.
        if not isinstance(work, FlowRunJob):
            return
        own = self._environment.get("PREFECT_API_URL")
        if not own:
            raise SettingMissing(
                subject="PREFECT_API_URL in the endpoint's template",
                variable="CALLSHEET_PREFECT_PUBLIC_URL to the address under which machines reach Prefect's API, and "
                         "run `callsheet runpod up --yes`")
        if work.api != place_of(own):
            raise RequestInvalid(
                field="input.api",
                detail=f"names Prefect's API at {_site(work.api)}, and workers of this endpoint belong to {_site(own)}",
                remedy="send the run to its own studio's endpoint; if the address has changed, set "
                       "CALLSHEET_PREFECT_PUBLIC_URL and run `callsheet runpod up --yes`")

    async def _flow_run(self, work: FlowRunJob, job_id: str) -> dict[str, Any]:
        run_id = str(work.flow_run_id)
        with private_folder() as folder:
            beats = folder / "heartbeat"
            family = Family([*FLOW_RUN, run_id], {
                **self._environment, **work.environment, "PREFECT__FLOW_RUN_ID": run_id, HEARTBEAT: str(beats),
                **self._paid(job_id),
            })
            end, pulse = time.monotonic() + work.deadline_s, Pulse(beats)
            try:
                while (code := family.code) is None:
                    if time.monotonic() > end:
                        raise JobTimedOut(job_id=job_id, seconds=work.deadline_s, detail=f"flow run {run_id}")
                    if pulse.quiet_s() > work.quiet_s:
                        raise JobTimedOut(
                            job_id=job_id, seconds=work.quiet_s, detail=f"flow run {run_id}: nothing moved")
                    await asyncio.sleep(_POLL_S)
                return {"exit_code": code}
            finally:
                family.kill()

    def _paid(self, job_id: str) -> dict[str, str]:
        """What the flow run needs to write down which of the job's seconds went into what (tasks/meter.py)."""
        return {
            "CALLSHEET_PAID_PLANE": "endpoint", "CALLSHEET_PAID_JOB": job_id,
            "CALLSHEET_PAID_PROVIDER": self._endpoint,
        }


def _site(api: str) -> str:
    """Scheme and host of an address."""
    parts = urlsplit(place_of(api))
    return f"{parts.scheme}://{parts.netloc}"


def _fitting(reply: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(reply, ensure_ascii=False).encode())
    if size <= MAX_REPLY_BYTES:
        return reply
    raise CallsheetError(
        detail=f"the reply has {size} bytes, and at most {MAX_REPLY_BYTES} can be sent",
        remedy="ask for less in one job; what was made is in the store, and is found when it is asked for again",
    )


def _sender() -> tuple[Told, Callable[[], None]]:
    """How progress is sent, and how to wait until it is: the SDK does it in threads that it forgets."""
    from runpod.serverless import progress_update

    under_way: list[threading.Thread] = []

    def tell(job: Job, progress: Any) -> None:
        before = set(threading.enumerate())
        progress_update(job, progress)
        under_way.extend(
            thread for thread in set(threading.enumerate()) - before if "_thread_target" in thread.name)

    def settle() -> None:
        while under_way:
            under_way.pop().join(timeout=10)

    return tell, settle


def main() -> int:
    """Serve the endpoint's queue until the provider stops this worker."""
    try:
        settings = Settings.load()
        if settings.store_place is None:              # the default lies in this container, which nobody else sees
            raise SettingMissing(subject="A store that outlives this worker", variable="CALLSHEET_STORE")
    except CallsheetError as error:
        sys.stderr.write(f"callsheet handler: {error}\n")
        return EXIT_INPUT
    project.importable()
    import runpod

    tell, settle = _sender()
    handler = Handler(settings, worker_environment(os.environ), tell=tell, settle=settle,
                          endpoint=os.environ.get("RUNPOD_ENDPOINT_ID", ""))
    handler.backstage.warm_up()
    try:
        runpod.serverless.start({"handler": handler.handle})
    finally:
        handler.backstage.clear()
    return 0


if __name__ == "__main__":
    sys.exit(main())
