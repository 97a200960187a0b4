"""Jobs of an endpoint as machines of a flow run: how one is submitted, found again, watched and ended.

The worker over there claims the attempt before it runs the flow, so a submit whose answer was lost is never
followed by a second one that runs too. What runs a job, and what a worker's seconds cost, is the endpoint's matter.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from callsheet.costs import Outcome, Payer
from callsheet.errors import CallsheetError, Fenced, ProviderError
from callsheet.pricing import COLD_START_S, IDLE_S, Card, Rate, card, dearest, job_rate
from callsheet.runpod.client import JobsClient
from callsheet.runpod.hire import Note
from callsheet.runpod.job_inputs import FlowRunJob
from callsheet.runpod.jobs import JobState, JobStatus
from callsheet.runpod.life import Life
from callsheet.runpod.tending import Limits, MachineSight
from callsheet.runpod.watch import Policy, Watch

CLAIM_WAIT_S = 90.0
"""For a job whose submit was not answered: so long a worker may take to start and claim it."""
_LOOK_S = 3.0
_MOST_PATIENCE_S = 180.0
"""In the queue before its workers are looked at: a crash loop is paid too."""

_OUTCOMES = {
    JobState.COMPLETED: Outcome.MADE, JobState.FAILED: Outcome.FAILED, JobState.CANCELLED: Outcome.CANCELLED,
    JobState.TIMED_OUT: Outcome.TIMED_OUT,
}


def _now() -> datetime:
    return datetime.now(UTC)


class Claims(Protocol):
    """The attempt's claim in the store. Asked in a thread."""

    def holder(self, attempt: int) -> str | None:
        """The job id that has the attempt, None when nobody has it."""

    def close(self, attempt: int) -> str | None:
        """Let nobody take it from now on; the job id of one that did before."""


class RentedJob:
    """One job, from its submit to its end."""

    def __init__(
        self, jobs: JobsClient, job_id: str, cards: Sequence[Card], watch: Watch, *, submitted: datetime,
        key: str = "", payer: Payer | None = None, now: Callable[[], datetime] = _now,
    ) -> None:
        self.id = job_id
        self.pid = f"job:{jobs.endpoint}/{job_id}"
        self.rate = min((job_rate(each) for each in cards), key=lambda rate: rate.usd_per_second)
        self._dearest = dearest(job_rate(each) for each in cards)
        self._jobs = jobs
        self._watch = watch
        self._submitted = submitted
        self._key = key
        self._payer = payer or Payer()
        self._now = now
        self._last: JobStatus | None = None
        self._waiting: asyncio.Task[JobStatus] | None = None
        self._started: datetime | None = None
        self._working: datetime | None = None
        """When it was last seen at work."""
        self._worker: str | None = None

    async def look(self) -> MachineSight | None:
        """None while nothing is known of it."""
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(self._jobs.wait(self.id, on_status=self._seen, watch=self._watch))
            await asyncio.sleep(0)
        if self._waiting.done():
            return self._ended(self._waiting)
        if self._last is None:
            return None
        return MachineSight(status="up" if self._last.state is JobState.IN_PROGRESS else "booting")

    async def stop(self) -> None:
        await self._unwatched()
        if self._last is None or not self._last.state.over:
            found = await self._jobs.cancel(self.id)
            if found is not None and not found.execution_s:
                with contextlib.suppress(ProviderError):  # the answer to a cancel has no times
                    found = await self._jobs.status(self.id) or found
            if found is not None:
                self._seen(found)
        with contextlib.suppress(ProviderError, KeyError):
            await self._priced()

    def life(self, outcome: Outcome, attempt: int) -> Life:
        seconds, most_s = self._at_work()
        return Life(
            plane="endpoint", provider_id=self._jobs.endpoint, resource=self.id, rate=self.rate,
            began=self._started or self._submitted, seconds=seconds, most_s=most_s + COLD_START_S + IDLE_S,
            dearest=self._dearest, outcome=outcome, attempt=attempt, key=self._key, payer=self._payer,
        )

    def _at_work(self) -> tuple[float, float]:
        """Seconds at least, and at most: as the provider says, else as it was seen."""
        last = self._last
        if last is not None and last.state.over and last.execution_s:
            return last.execution_s, last.execution_s
        if last is not None and last.state.over and self._started is None:
            return 0.0, 0.0                           # it ended in the queue
        least = (self._working - self._started).total_seconds() if self._started and self._working else 0.0
        return least, max(least, (self._now() - self._submitted).total_seconds())

    def _seen(self, status: JobStatus) -> None:
        if status is self._last:                      # told again while the provider is silent: nobody saw it work
            return
        self._last = status
        self._worker = status.worker_id or self._worker
        if status.state is JobState.IN_PROGRESS:
            self._working = self._now()
            self._started = self._started or self._working
        if status.state.over and status.execution_s:
            ended = self._now() - timedelta(seconds=status.execution_s)
            self._started = min(self._started or ended, ended)

    def _ended(self, waiting: asyncio.Task[JobStatus]) -> MachineSight:
        error = waiting.exception()
        if error is not None:
            if not isinstance(error, CallsheetError):
                raise error
            return MachineSight(status="gone", why=str(error), outcome=Outcome.LOST)
        status = waiting.result()
        return MachineSight(
            status="gone", why=f"job {self.id} is {status.state}{_words(status.error)}",
            outcome=_OUTCOMES.get(status.state, Outcome.LOST))

    async def _unwatched(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.gather(self._waiting, return_exceptions=True)

    async def _priced(self) -> None:
        """The rate of the very card, where the provider tells which worker it was."""
        if self._jobs.control is None or self._worker is None:
            return
        for worker in await self._jobs.control.workers(self._jobs.endpoint):
            if worker.id == self._worker and worker.gpu_type_id:
                self.rate = self._dearest = job_rate(card(worker.gpu_type_id))


class JobHire:
    """Submits the flow run to an endpoint."""

    def __init__(
        self, jobs: JobsClient, flow_run_id: UUID, environment: Mapping[str, str], cards: Sequence[Card],
        claims: Claims, *, api: str, deadline_s: float, quiet_s: float, capacity_s: float, cancel_grace_s: float,
        key: str = "", payer: Payer | None = None, now: Callable[[], datetime] = _now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`api` is Prefect's as machines reach it: the worker over there refuses runs of any but its own."""
        self._policy = Policy.covering(deadline_s, capacity_s)
        self._watch = Watch.covering(self._policy, patience_s=min(capacity_s, _MOST_PATIENCE_S))
        self.limits = Limits(
            deadline_s=self._policy.ttl_s + 120.0, boot_s=None, quiet_s=quiet_s, cancel_grace_s=cancel_grace_s)
        self.capacity_s = capacity_s
        self._jobs = jobs
        self._flow_run_id = flow_run_id
        self._api = api
        self._environment = dict(environment)
        self._cards = cards
        self._claims = claims
        self._deadline_s = deadline_s
        self._key = key
        self._payer = payer
        self._now = now
        self._sleep = sleep

    async def worst(self) -> tuple[float, Rate]:
        rate = dearest(job_rate(each) for each in self._cards)
        return rate.cost(self._deadline_s + COLD_START_S + IDLE_S), rate

    def facts(self) -> Mapping[str, Any]:
        return {"mode": "serverless", "endpoint": self._jobs.endpoint}

    async def order(
        self, attempt: int, note: Note, check: Callable[[], Awaitable[None]]
    ) -> RentedJob:
        await check()
        job = FlowRunJob(
            flow_run_id=self._flow_run_id, api=self._api, environment=self._told(), deadline_s=self._deadline_s,
            quiet_s=self.limits.quiet_s, attempt=attempt)
        submitted = self._now()
        job_id = await self._jobs.submit(job.model_dump(mode="json"), self._policy)
        try:
            await note(job_id, None)                  # which card it gets is not known yet
        except Fenced:                                # whoever took over has it by its claim, or has closed the attempt
            raise
        except BaseException:                         # nobody would look after it
            await self._jobs.cancel(job_id)
            raise
        return self._rented(job_id, submitted)

    def _told(self) -> dict[str, str]:
        """The least that a second can cost, for the rows that are written over there: its card is not known yet."""
        rate = min(job_rate(each).usd_per_second for each in self._cards)
        return {**self._environment, "CALLSHEET_PAID_RATE": f"{rate:.10g}"}

    async def find(self, attempt: int, check: Callable[[], Awaitable[object]]) -> str:
        """By the claim of its worker; if none comes, the attempt is closed, and a job that comes later ends at once."""
        unwanted: Exception | None = None
        for _ in range(round(CLAIM_WAIT_S / _LOOK_S)):
            held = await asyncio.to_thread(self._claims.holder, attempt)
            if held is not None:
                return held
            try:
                await check()
            except Exception as error:
                unwanted = error
                break
            await self._sleep(_LOOK_S)
        held = await asyncio.to_thread(self._claims.close, attempt)
        if unwanted is not None and not held:
            raise unwanted
        return held or ""

    def known(self, machine_id: str, since: datetime, rate: Rate) -> RentedJob:
        """At the prices of the endpoint's cards: which of them has the job, its worker tells."""
        return self._rented(machine_id, since)

    def avoid(self, machine: object) -> None:
        """An endpoint chooses its workers itself, and its jobs have no boot limit here: never called."""
        raise AssertionError(f"{machine} has no boot limit")

    def _rented(self, job_id: str, submitted: datetime) -> RentedJob:
        return RentedJob(
            self._jobs, job_id, self._cards, self._watch, submitted=submitted, key=self._key, payer=self._payer,
            now=self._now)


def _words(error: Any) -> str:
    """What a failed job says, on one line."""
    if isinstance(error, Mapping):
        error = ": ".join(str(error[name]) for name in ("message", "remedy") if error.get(name))
    return f": {' '.join(str(error).split())[:500]}" if error else ""
