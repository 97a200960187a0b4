"""What one wait for a job has seen, and when it has seen enough.

Covers silence of the provider, jobs that it does not know, queues that do not move, and jobs over their limits.
A job is given up only when it is surely no more: it was cancelled and its status says so. Until then the wait goes
on, since whoever gets an error may submit the same work again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from callsheet.errors import AnswerUnknown, JobLost, JobTimedOut, ProviderError, QueueStuck
from callsheet.runpod.http import LONGEST_PAUSE_S, PROVIDER, jittered, retry_after
from callsheet.runpod.jobs import JobState, JobStatus
from callsheet.runpod.watch import Diagnosis, Verdict, Watch, diagnose

if TYPE_CHECKING:
    from callsheet.runpod.client import JobsClient


class Wait:
    """The state of one wait. `look` once, `pause`, and look again."""

    def __init__(self, jobs: JobsClient, job_id: str, limits: Watch) -> None:
        self.last = JobStatus(id=job_id, state=JobState.IN_QUEUE)
        self._jobs = jobs
        self._limits = limits
        self._clock = jobs.api.clock
        now = self._clock()
        self._began = now
        self._answered = now
        """When the provider last said anything."""
        self._absent: float | None = None
        """Since when it does not know the job."""
        self._since = now
        """Since when the job is in its state."""
        self._looked = now
        """When its workers were last looked at."""
        self._crashed = False
        self._asked_s = 0.0
        self._giving_up: tuple[float, ProviderError] | None = None
        """Since when we cancel, and why."""

    async def look(self) -> JobStatus:
        """The job's status, or the last one while the provider is silent or unsure. Raises what ends the wait."""
        self._asked_s = 0.0
        try:
            status = await self._jobs.status(self.last.id, tries=1)
            self._answered = self._clock()
            return self._unknown() if status is None else await self._known(status)
        except (QueueStuck, JobTimedOut, JobLost, AnswerUnknown):
            raise
        except ProviderError as error:
            if not error.retryable or self._clock() - self._answered > self._limits.silence_s:
                raise
            self._asked_s = min(retry_after(error) or 0.0, LONGEST_PAUSE_S)
            return self.last

    def pause(self, poll_s: float) -> float:
        """Seconds until the next look."""
        return max(jittered(poll_s), self._asked_s)

    def _unknown(self) -> JobStatus:
        if self._giving_up:
            raise self._giving_up[1]
        now = self._clock()
        self._absent = now if self._absent is None else self._absent
        if now - self._absent >= self._limits.settle_s:
            raise lost(self._jobs.endpoint, self.last.id)
        return self.last

    async def _known(self, status: JobStatus) -> JobStatus:
        now = self._clock()
        self._absent = None
        if status.state is not self.last.state:           # back in the queue too: its worker died
            self._since = self._looked = now
        self.last = status
        if self._giving_up:
            return await self._cancelled()
        if status.over:
            return status
        return await self._judged(now)

    async def _judged(self, now: float) -> JobStatus:
        """What is not over may be over its limits."""
        limits, since = self._limits, now - self._since
        if limits.longest_s is not None and now - self._began > limits.longest_s:
            return await self._give_up(self._overdue(limits.longest_s, "it should have ended by itself"))
        if self.last.state is JobState.IN_PROGRESS:
            if limits.running_s is not None and since > limits.running_s:
                return await self._give_up(self._overdue(limits.running_s, "its provider did not stop it"))
        elif since >= limits.patience_s and now - self._looked >= limits.patience_s:
            self._looked = now
            return await self._diagnosed(since)
        return self.last

    async def _diagnosed(self, waited_s: float) -> JobStatus:
        force = await self._jobs.workforce()
        self._crashed |= force is not None and force.unhealthy > 0
        found = diagnose(force, waited_s, self._crashed)
        if not found.hopeless and (found.verdict is Verdict.BUSY or waited_s < self._limits.starting_s):
            return self.last
        status = await self._jobs.status(self.last.id)
        if status is not None and status.state is not JobState.IN_QUEUE:
            return await self._known(status)              # it was taken while we looked at the workers
        return await self._give_up(self._stuck(found))

    async def _give_up(self, error: ProviderError) -> JobStatus:
        self._giving_up = (self._clock(), error)
        return await self._cancelled()

    async def _cancelled(self) -> JobStatus:
        """Cancel, and believe only the status. Raises the reason when the job is no more; its own end goes first."""
        assert self._giving_up is not None
        since, error = self._giving_up
        if not self.last.over:
            await self._jobs.cancel(self.last.id)
            status = await self._jobs.status(self.last.id)
            if status is None:
                raise error
            self.last = status
        if self.last.state is JobState.CANCELLED:
            raise error
        if not self.last.over and self._clock() - since > self._limits.silence_s:
            detail = f"job {self.last.id} neither ends nor can be cancelled"
            raise AnswerUnknown(provider=PROVIDER, detail=detail, job_id=self.last.id)
        return self.last

    def _stuck(self, found: Diagnosis) -> QueueStuck:
        return QueueStuck(endpoint=self._jobs.endpoint, job_id=self.last.id, verdict=found.verdict.value,
                          detail=found.detail, remedy=found.remedy)

    def _overdue(self, seconds: float, why: str) -> JobTimedOut:
        return JobTimedOut(job_id=self.last.id, seconds=seconds, detail=why)


def lost(endpoint: str, job_id: str) -> JobLost:
    return JobLost(job_id=job_id, detail=f"endpoint {endpoint} knows nothing of it")
