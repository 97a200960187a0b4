"""A job and its queue, as the jobs plane tells of them. Values only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field

from callsheet.errors import ProviderError
from callsheet.runpod.http import PROVIDER
from callsheet.runpod.watch import Workforce
from callsheet.units import Frozen

LONGEST_ID = 128


class JobState(StrEnum):
    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def over(self) -> bool:
        return self not in (JobState.IN_QUEUE, JobState.IN_PROGRESS)


class JobStatus(Frozen):
    """What the provider says of a job."""

    id: str
    state: JobState
    output: Any = Field(default=None, repr=False)
    """Of a job at work its last progress, where it told any."""
    error: Any = None
    """Text or, of our handler, {code, message, remedy}."""
    delay_s: float = Field(default=0.0, ge=0)
    """In the queue, cold start included."""
    execution_s: float = Field(default=0.0, ge=0)
    """At work: what is paid, beside cold start and idle time."""
    worker_id: str | None = None

    @property
    def over(self) -> bool:
        return self.state.over

    @classmethod
    def read(cls, answer: Any, job_id: str = "") -> JobStatus:
        """An answer of /status, /stream, /cancel or a webhook. Raises ProviderError when it has no known state."""
        said = answer if isinstance(answer, Mapping) else {}
        state = str(said.get("status"))
        state = "IN_PROGRESS" if state == "RUNNING" else state
        if state not in JobState.__members__:
            raise ProviderError(provider=PROVIDER, detail=f"with the state {state!r:.40} of job {job_id}")
        worker = said.get("workerId")
        return cls(
            id=job_id or str(said.get("id") or ""),
            state=JobState(state),
            output=said.get("output"),
            error=said.get("error"),
            delay_s=_seconds(said.get("delayTime")),
            execution_s=_seconds(said.get("executionTime")),
            worker_id=worker if isinstance(worker, str) else None,
        )


class Health(Frozen):
    """An endpoint in counts."""

    in_queue: int = 0
    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    retried: int = 0
    workforce: Workforce = Workforce()

    @classmethod
    def read(cls, answer: Any) -> Health:
        """An answer of /health. Raises ProviderError when it is something else."""
        if not isinstance(answer, Mapping) or not isinstance(answer.get("workers"), Mapping):
            raise ProviderError(provider=PROVIDER, detail="a health without workers")
        jobs, workers = answer.get("jobs"), answer["workers"]
        jobs = jobs if isinstance(jobs, Mapping) else {}
        return cls(
            in_queue=_count(jobs, "inQueue"), in_progress=_count(jobs, "inProgress"),
            completed=_count(jobs, "completed"), failed=_count(jobs, "failed"), retried=_count(jobs, "retried"),
            workforce=Workforce(
                running=_count(workers, "running"),
                # `ready` counts those that wait for a job, and on some endpoints stands in for `idle`.
                idle=max(_count(workers, "idle"), _count(workers, "ready") - _count(workers, "running")),
                initializing=_count(workers, "initializing"),
                throttled=_count(workers, "throttled"),
                unhealthy=_count(workers, "unhealthy"),
            ),
        )


def hint(body: str | bytes | Mapping[str, Any]) -> str | None:
    """The job that a webhook's body is about; None when it is no such body.

    Nothing else in it is believed: it may be late, doubled, or somebody else's invention. It only makes the next
    look earlier (`JobsClient.nudge`).
    """
    if isinstance(body, (str, bytes)):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return None
    job_id = body.get("id") if isinstance(body, Mapping) else None
    return job_id if isinstance(job_id, str) and 0 < len(job_id) <= LONGEST_ID else None


def _seconds(milliseconds: Any) -> float:
    """The clocks of two machines can make a duration negative: then it is 0."""
    known = isinstance(milliseconds, (int, float)) and not isinstance(milliseconds, bool)
    return max(0.0, milliseconds / 1000) if known else 0.0


def _count(counts: Mapping[str, Any], name: str) -> int:
    value = counts.get(name)
    return max(0, value) if isinstance(value, int) else 0
