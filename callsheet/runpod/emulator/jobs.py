"""A job's life: queued, taken, done, stopped, lost, forgotten."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from callsheet.runpod.emulator import outputs
from callsheet.runpod.emulator.faults import FaultKind
from callsheet.runpod.emulator.refusals import Cut, Refusal, missing
from callsheet.runpod.emulator.rows import Delivery, Endpoint, Job, JobState, Worker

if TYPE_CHECKING:
    from callsheet.runpod.emulator.world import World

DEFAULT_TTL_S = 24 * 3600.0
KEPT_S = 1800.0
"""How long the result of /run is kept."""
KEPT_SYNC_S = 60.0
"""How long the result of /runsync is kept."""
LEAST_EXECUTION_S = 5.0
LEAST_TTL_S = 10.0


class Jobs:
    """All jobs of all endpoints."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._live = {job.id for job in world.state.jobs if not job.gone}

    # ---- the client's side

    def submit(self, endpoint: Endpoint, body: Any, sync: bool) -> Job:
        """Put a job in the queue. Raises Refusal."""
        if not isinstance(body, dict) or "input" not in body:
            raise Refusal(400, "the body must be a JSON object with `input`")
        policy = body.get("policy") or {}
        if not isinstance(policy, dict):
            raise Refusal(400, "policy must be an object")
        webhook = body.get("webhook")
        if webhook is not None and not isinstance(webhook, str):
            raise Refusal(400, "webhook must be an address")
        now = self.world.clock.now()
        job = Job(
            id=f"{uuid.uuid4()}-{'s' if sync else 'u'}1", endpoint=endpoint.id, input=body["input"], created=now,
            queued=now, sync=sync, webhook=webhook, low_priority=bool(policy.get("lowPriority")),
            execution_timeout_s=_limit(policy, "executionTimeout", endpoint.spec["timeout"] / 1000, LEAST_EXECUTION_S),
            ttl_s=_limit(policy, "ttl", DEFAULT_TTL_S, LEAST_TTL_S),
        )
        self._live.add(job.id)
        return self._saved(job)

    def find(self, endpoint_id: str, job_id: str) -> Job:
        """A job that is still known. Raises Refusal 404."""
        job = self.world.state.jobs.get(job_id)
        if job is None or job.gone or job.endpoint != endpoint_id:
            raise missing("job", job_id)
        return job

    def cancel(self, job: Job) -> JobState:
        """Stop it, and say what its state is then; as the provider, without waiting for the worker."""
        if job.state.final:
            return job.state
        faults, labels = self.world.faults, self.labels(job)
        if faults.take(FaultKind.CANCEL_IGNORED, *labels):
            return JobState.CANCELLED
        job.revivable = faults.take(FaultKind.LATE_RESULT, *labels) is not None
        self._finish(job, JobState.CANCELLED, stop=not job.revivable)
        return job.state

    def retry(self, job: Job) -> Job:
        """Queue a job that failed or timed out once more. Raises Refusal."""
        if job.state not in (JobState.FAILED, JobState.TIMED_OUT):
            raise Refusal(400, f"a job that is {job.state} cannot be retried")
        job.ended = None
        job.has_output, job.output, job.has_error, job.error = False, None, False, None
        job.deliveries = []
        self._queue_again(job)
        return job

    def purge(self, endpoint: Endpoint) -> int:
        """Remove what waits in an endpoint's queue."""
        waiting = list(self.waiting(endpoint.id))
        for job in waiting:
            self._finish(job, JobState.CANCELLED, stop=False)
        return len(waiting)

    def waiting(self, endpoint_id: str) -> Iterator[Job]:
        """The queue, first the one that is taken first."""
        queued = [job for job in self.live() if job.endpoint == endpoint_id and job.state is JobState.IN_QUEUE]
        yield from sorted(queued, key=lambda job: (job.low_priority, job.queued))

    def live(self) -> Iterator[Job]:
        for id_ in tuple(self._live):
            job = self.world.state.jobs.get(id_)
            if job is not None:
                yield job

    # ---- the worker's side

    def take(self, worker: Worker, most: int) -> list[Job]:
        """Hand out up to `most` jobs of the queue."""
        now = self.world.clock.now()
        taken = [job for job in self.waiting(worker.endpoint) if job.id not in worker.jobs][:most]
        for job in taken:
            job.state, job.taken, job.worker = JobState.IN_PROGRESS, now, worker.id
            job.deliveries.append(Delivery(worker=worker.id, at=now))
            job.has_output, job.output = False, None
            worker.jobs.append(job.id)
            self._saved(job)
        if taken:
            self.world.workers.busy(worker)
        return taken

    def post(self, worker: Worker, job_id: str, body: dict[str, Any]) -> None:
        """A result or progress. Raises Refusal, Cut."""
        job = self.world.state.jobs.get(job_id)
        if job is None or job.endpoint != worker.endpoint:
            raise missing("job", job_id)
        if body.get("status") == "IN_PROGRESS":
            if job.state is JobState.IN_PROGRESS and job.worker == worker.id:
                job.has_output, job.output = True, body.get("output")
                self._saved(job)
            return
        faults, labels = self.world.faults, self.labels(job)
        if faults.take(FaultKind.CRASH_AT_REPLY, *labels):
            self.world.machines.kill(worker.id)
            raise Cut
        job.refused = job.refused or faults.take(FaultKind.OUTPUT_TOO_LARGE, *labels) is not None
        if job.refused:
            self._saved(job)
            raise Refusal(400, "the output is too large")
        self.world.workers.release(worker, job_id)
        if job.gone or (job.state.final and not job.revivable):
            job.late.append(body)
            self._saved(job)
            return
        self._done(job, worker, body)

    def chunk(self, worker: Worker, job_id: str, body: dict[str, Any]) -> None:
        """A part of a stream. Raises Refusal."""
        job = self.find(worker.endpoint, job_id)
        if job.state is JobState.IN_PROGRESS:
            job.chunks.append(body.get("output", body))
            self._saved(job)

    def missed(self, job_id: str) -> None:
        """Its worker died: that will be noticed after a while."""
        job = self.world.state.jobs.get(job_id)
        if job is not None and job.state is JobState.IN_PROGRESS:
            job.missed_at = self.world.clock.now() + self.world.options.heartbeat_s
            self._saved(job)

    # ---- time

    def tick(self) -> None:
        """What time alone does to jobs."""
        now = self.world.clock.now()
        for job in self.live():
            if job.state.final:
                if job.ended is not None and now - job.ended >= (KEPT_SYNC_S if job.sync else KEPT_S):
                    self._forget(job)
            elif now - job.created >= job.ttl_s:
                self._forget(job)                       # even in the middle of its work, which goes on unseen
            elif job.state is JobState.IN_PROGRESS and job.taken is not None:
                self._tick_running(job, now, now - job.taken)

    def _tick_running(self, job: Job, now: float, age: float) -> None:
        faults, labels = self.world.faults, self.labels(job)
        if age >= job.execution_timeout_s or faults.take(FaultKind.TIMED_OUT, *labels, age=age):
            job.has_error, job.error = True, "job timed out"
            self._finish(job, JobState.TIMED_OUT, stop=True)
        elif job.missed_at is not None and now >= job.missed_at:
            self._redeliver(job)
        elif faults.take(FaultKind.VANISHED, *labels, age=age):
            self._forget(job)
        elif faults.take(FaultKind.HEARTBEAT_LOST, *labels, age=age):
            self._redeliver(job)
        elif job.worker and faults.take(FaultKind.CRASH, *labels, age=age):
            self.world.machines.kill(job.worker)
        elif job.worker and faults.take(FaultKind.WORKER_FROZEN, *labels, age=age):
            self.world.machines.freeze(job.worker)

    def labels(self, job: Job) -> tuple[str, ...]:
        """What a fault's `where` is held against."""
        endpoint = self.world.state.endpoints.get(job.endpoint)
        named = [str(job.input[field]) for field in ("job_type", "key") if field in job.input] if isinstance(
            job.input, dict) else []
        return (job.endpoint, job.id, *([endpoint.spec["name"]] if endpoint else []), *named)

    # ---- changes of state

    def _done(self, job: Job, worker: Worker, body: dict[str, Any]) -> None:
        job.worker = worker.id                          # after a redelivery the first to finish wins
        job.revivable = False
        body = outputs.spoilt(body, self.world.faults, self.labels(job))
        job.has_output, job.output = "output" in body, body.get("output")
        job.has_error, job.error = "error" in body, body.get("error")
        if fault := self.world.faults.take(FaultKind.PROGRESS_AFTER_DONE, *self.labels(job)):
            job.progress_after_done = fault.value if fault.value is not None else {"progress": 0.5}
        self._finish(job, JobState.FAILED if job.has_error else JobState.COMPLETED, stop=False)
        if body.get("stopPod"):
            self.world.workers.end(worker, "its handler asked for a fresh one")

    def _finish(self, job: Job, state: JobState, stop: bool) -> None:
        was_running = job.state is JobState.IN_PROGRESS
        job.state, job.ended, job.missed_at = state, self.world.clock.now(), None
        if stop and was_running and job.worker:
            self.world.workers.stop_job(job.worker, job.id)
        endpoint = self.world.state.endpoints.get(job.endpoint)
        if endpoint is not None and state is not JobState.CANCELLED:
            endpoint.completed += state is JobState.COMPLETED
            endpoint.failed += state is not JobState.COMPLETED
            self.world.state.endpoints.save(endpoint)
        self._saved(job)
        self.world.webhooks.send(job)

    def _redeliver(self, job: Job) -> None:
        if len(job.deliveries) > self.world.options.redeliveries:
            job.has_error, job.error = True, "the worker exited or was lost, too often"
            self._finish(job, JobState.FAILED, stop=False)
            return
        endpoint = self.world.state.endpoints.get(job.endpoint)
        if endpoint is not None:
            endpoint.retried += 1
            self.world.state.endpoints.save(endpoint)
        self._queue_again(job)

    def _queue_again(self, job: Job) -> None:
        job.state, job.queued, job.taken, job.missed_at = JobState.IN_QUEUE, self.world.clock.now(), None, None
        self._saved(job)

    def _forget(self, job: Job) -> None:
        job.gone = True
        self._live.discard(job.id)
        self._saved(job)

    def _saved(self, job: Job) -> Job:
        self.world.state.jobs.save(job)
        self.world.bell.ring()
        return job


def _limit(policy: dict[str, Any], name: str, default_s: float, least_s: float) -> float:
    value = policy.get(name)
    if value is None:
        return float(default_s)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least_s * 1000:
        raise Refusal(400, f"policy.{name} must be at least {least_s * 1000:g} milliseconds")
    return float(value) / 1000
