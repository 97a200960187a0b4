"""A job from its submit to its end, as it can be seen: how it ended, how long it was at work, on which machine.

What it cost is job_books.py's matter; when another attempt is made, paying.py's.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from callsheet.costs import Outcome
from callsheet.errors import JobLost, JobTimedOut, ProviderError
from callsheet.runpod.client import JobsClient, JobState, JobStatus, Policy, Watch
from callsheet.runpod.replies import told
from callsheet.store.jobs import Beat, JobEnd
from callsheet.store.records import Record

_ENDS: Mapping[JobState, Outcome] = {
    JobState.COMPLETED: Outcome.MADE, JobState.FAILED: Outcome.FAILED, JobState.CANCELLED: Outcome.CANCELLED,
    JobState.TIMED_OUT: Outcome.TIMED_OUT,
}
_WORKERS: dict[str, dict[str, Any]] = {}
"""Of each worker that had a job of ours: id, card and start, read once: the control plane allows a request a second."""


async def watched(client: JobsClient, job_id: str, beat: Beat, policy: Policy) -> JobEnd:
    """Wait for a job, whoever submitted it. Raises what client.wait raises, but for time-outs and losses."""
    seen = Seen(client)

    async def look(status: JobStatus) -> None:
        await seen.look(status)
        await beat()

    try:
        status = await client.wait(job_id, on_status=look, watch=Watch.covering(policy))
    except (JobTimedOut, JobLost) as error:
        outcome = Outcome.TIMED_OUT if isinstance(error, JobTimedOut) else Outcome.LOST
        return seen.end(JobEnd(
            outcome=outcome, job_id=job_id, code=error.code, message=str(error.facts.get("detail", "")),
            remedy=error.fix, retryable=True))
    return seen.ended(status)


async def ended_as(client: JobsClient, status: JobStatus) -> JobEnd:
    """The end of a job that nobody watched and that is over."""
    seen = Seen(client)
    await seen.look(status)
    return seen.ended(status)


def remembered(end: JobEnd, record: Record | None, since: datetime | None) -> JobEnd:
    """A job that the provider has forgotten, as results are after half an hour: the store may tell what it made,
    if it made that after `since`."""
    if end.outcome is not Outcome.LOST or record is None or (since is not None and record.made_at < since):
        return end
    files = {name: artifact.sha256 for name, artifact in record.artifacts.items()}
    return JobEnd(
        outcome=Outcome.MADE, job_id=end.job_id, seconds=math.ceil(record.seconds), artifacts=files, facts=end.facts)


class Seen:
    """What was observed of a job, for the accounts: its first and last moment at work, its worker and card."""

    def __init__(self, client: JobsClient) -> None:
        self._client = client
        self._status: JobStatus | None = None
        self._first: datetime | None = None
        self._last: datetime | None = None
        self._facts: dict[str, Any] = {}

    async def look(self, status: JobStatus) -> None:
        if status is self._status:                     # told again while the provider is silent: nobody saw it work
            return
        self._status, now = status, datetime.now(UTC)
        if status.state is JobState.IN_PROGRESS:
            self._last = now
            self._first = self._first or now
        if status.worker_id and "gpu" not in self._facts:
            await self._identify(status.worker_id)
        if status.delay_s:
            self._facts["delay_s"] = status.delay_s

    def ended(self, status: JobStatus) -> JobEnd:
        """A job that is over. FAILED says whether another attempt can help; a time-out may always be the card's."""
        outcome, account = _ENDS[status.state], told(status)
        if account is None or outcome is Outcome.TIMED_OUT:
            output = status.output if isinstance(status.output, Mapping) else {}
            files = output.get("artifacts") if outcome is Outcome.MADE else None
            return self.end(JobEnd(
                outcome=outcome, job_id=status.id, message=account.message if account else "",
                retryable=outcome is Outcome.TIMED_OUT, artifacts=_digests(files),
            ), status.execution_s)
        outcome = Outcome.DUPLICATE if account.code == "claim.taken" else Outcome.FAILED
        return self.end(JobEnd(
            outcome=outcome, job_id=status.id, code=account.code, message=account.message, remedy=account.remedy,
            retryable=account.retryable,
        ), status.execution_s)

    def end(self, end: JobEnd, execution_s: float = 0.0) -> JobEnd:
        """With its seconds: what the provider says, else as long as it was seen at work."""
        watched_s = (self._last - self._first).total_seconds() if self._first and self._last else 0.0
        seconds = math.ceil(execution_s) if execution_s else math.floor(watched_s)
        return end.model_copy(update={"seconds": float(seconds), "started": self._first, "facts": self._facts})

    async def _identify(self, worker_id: str) -> None:
        if worker_id not in _WORKERS and self._client.control is not None:
            with contextlib.suppress(ProviderError):       # without a card the rate is bounded, not known
                for worker in await self._client.control.workers(self._client.endpoint):
                    born = worker.started_at.isoformat() if worker.started_at else ""
                    if worker.gpu_type_id:
                        _WORKERS[worker.id] = {"worker": worker.id, "gpu": worker.gpu_type_id, "worker_started": born}
        self._facts |= _WORKERS.get(worker_id, {"worker": worker_id, "gpu": ""})


def _digests(files: Any) -> dict[str, str]:
    """The files that a job tells of. What is no digest is left out: the store knows what was made."""
    found = files.items() if isinstance(files, Mapping) else ()
    return {str(name): sha for name, sha in found if isinstance(sha, str) and re.fullmatch(r"[0-9a-f]{64}", sha)}
