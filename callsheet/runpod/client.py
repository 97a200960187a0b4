"""The jobs of one serverless endpoint: submit, look, wait, stream, cancel.

Covers the requests and the loop of a wait; what a wait concludes from what it sees is waiting.py's matter, and
reading a finished job's output replies.py's. That nothing is submitted twice is the store's (paying.py), which is
why a lost answer is never followed by a second submit here. This is the one door of the room for other rooms.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from callsheet.errors import (
    AnswerUnknown,
    ProviderBusy,
    ProviderError,
    ProviderRefused,
)
from callsheet.runpod.control import Control
from callsheet.runpod.http import LONGEST_PAUSE_S, PROVIDER, TRIES, Api, jittered, retry_after, status_of
from callsheet.runpod.jobs import Health, JobState, JobStatus, hint
from callsheet.runpod.replies import Picture, failure, pictures, stage_reply, warnings
from callsheet.runpod.waiting import Wait, lost
from callsheet.runpod.watch import Policy, Verdict, Watch, Workforce

__all__ = [
    "Api", "Control", "Health", "JobState", "JobStatus", "JobsClient", "Picture", "Policy", "Verdict", "Watch",
    "failure", "hint", "pictures", "stage_reply", "warnings",
]

MAX_INPUT = 10 * 1000 * 1000
"""Bytes that /run takes."""

POLL_S = 2.0
NUDGE_S = 0.5
"""The least pause between two looks, however many hints come."""

BUSY_TRIES = 6
"""A 429 says that nothing was begun: so often a submit is sent until another answer comes."""

LOOK_S = 30.0
"""So long one reading of the workers serves every job of the endpoint that waits."""

BEAT_S = 10.0

OnStatus = Callable[[JobStatus], Awaitable[None] | None]


class JobsClient:
    """One endpoint's queue. `control` tells why it does not move; without it only the jobs plane is asked."""

    def __init__(self, api: Api, endpoint: str, control: Control | None = None) -> None:
        self.api = api
        self.endpoint = endpoint
        self.control = control
        self._nudges: dict[str, list[asyncio.Event]] = {}
        self._force: Workforce | None = None
        self._force_at: float | None = None

    async def submit(self, input: Mapping[str, Any], policy: Policy, webhook: str | None = None) -> str:
        """The job's id. `webhook` is called, perhaps, when the job ends: see `hint`.

        Raises AnswerUnknown when it may have been accepted: look for its traces before submitting again. After any
        other error it surely was not.
        """
        payload: dict[str, Any] = {"input": dict(input), "policy": policy.payload()}
        if webhook:
            payload["webhook"] = webhook
        if (size := len(json.dumps(payload).encode())) > MAX_INPUT:
            raise ProviderRefused(
                provider=PROVIDER, detail=f"an input of {size / 1e6:.1f} MB, and a job takes {MAX_INPUT / 1e6:.0f}",
                remedy="put files into the store and pass their keys")
        answer = await self._submitted(payload)
        job_id = answer.get("id") if isinstance(answer, dict) else None
        if not isinstance(job_id, str) or not job_id:
            raise AnswerUnknown(provider=PROVIDER, detail=f"POST {self._path('run')} without a job's id")
        return job_id

    async def status(self, job_id: str, *, tries: int = TRIES) -> JobStatus | None:
        """None when the provider does not know it: not yet, or its ttl is over, or its result was kept long enough."""
        try:
            answer = await self.api.call("GET", self._path("status", job_id), tries=tries)
        except ProviderRefused as error:
            if status_of(error) == 404:
                return None
            raise
        return JobStatus.read(answer, job_id)

    async def cancel(self, job_id: str) -> JobStatus | None:
        """The job as it is afterwards: CANCELLED, or what it ended as before. None when the provider knows none."""
        try:
            answer = await self.api.call("POST", self._path("cancel", job_id), safe=True)
        except ProviderRefused as error:
            if status_of(error) == 404:
                return None
            return await self.status(job_id)              # it does not cancel what is over
        if isinstance(answer, dict) and "status" in answer:
            return JobStatus.read(answer, job_id)
        return await self.status(job_id)

    async def health(self) -> Health:
        """Counts of jobs and workers."""
        return Health.read(await self.api.call("GET", self._path("health")))

    async def purge(self) -> int:
        """Remove every job that waits; how many there were. Jobs at work go on."""
        answer = await self.api.call("POST", self._path("purge-queue"))
        removed = answer.get("removed") if isinstance(answer, dict) else None
        return removed if isinstance(removed, int) else 0

    async def stream(self, job_id: str, poll_s: float = 1.0, watch: Watch | None = None) -> AsyncIterator[Any]:
        """The chunks of a job that yields them, until it is over, however it ends: `status` tells how.

        The provider hands out each chunk once, so one may be missing after a lost connection. Raises JobLost.
        """
        limits = watch or Watch()
        known_at = self.api.clock()
        while True:
            try:
                answer = await self.api.call("GET", self._path("stream", job_id))
            except ProviderRefused as error:
                if status_of(error) != 404:
                    raise
                if self.api.clock() - known_at > limits.settle_s:
                    raise lost(self.endpoint, job_id) from None
                await self.api.sleep(jittered(poll_s))
                continue
            known_at = self.api.clock()
            chunks = answer.get("stream") if isinstance(answer, dict) else None
            for chunk in chunks if isinstance(chunks, list) else []:
                yield chunk.get("output") if isinstance(chunk, dict) and "output" in chunk else chunk
            if JobStatus.read(answer, job_id).over and not chunks:
                return
            if not chunks:
                await self.api.sleep(jittered(poll_s))

    async def wait(
        self,
        job_id: str,
        *,
        on_status: OnStatus | None = None,
        poll_s: float = POLL_S,
        watch: Watch | None = None,
    ) -> JobStatus:
        """The job's end, in whichever state.

        `on_status` is called after every look, and every BEAT_S of a look that takes long or fails (then with what
        was known last): a lease can be renewed in it. What it raises ends the wait, and so does cancelling the task;
        neither cancels the job. Raises QueueStuck and JobTimedOut when the job was cancelled and surely is no more,
        JobLost, AnswerUnknown when it neither ends nor can be cancelled, and ProviderError when the provider is
        silent for too long.
        """
        wait = Wait(self, job_id, watch or Watch())
        with self._listening(job_id) as nudged:
            while True:
                status = await _looked(wait, on_status or _silently)
                await _tell(on_status or _silently, status)
                if status.over:
                    return status
                await self._pause(wait.pause(poll_s), nudged)

    def nudge(self, job_id: str) -> None:
        """Look at the job soon: somebody says that it ended. From the event loop of its wait."""
        for event in self._nudges.get(job_id, ()):
            event.set()

    async def workforce(self) -> Workforce | None:
        """Who is there to take jobs, read at most every LOOK_S seconds; None when neither plane tells."""
        now = self.api.clock()
        if self._force_at is None or now - self._force_at >= LOOK_S:
            self._force, self._force_at = await self._read_workforce(), now
        return self._force

    async def _read_workforce(self) -> Workforce | None:
        with contextlib.suppress(ProviderError):
            if self.control is not None:
                endpoint = await self.control.endpoint(self.endpoint)
                workers = await self.control.workers(self.endpoint)
                return Workforce.of(workers, endpoint.workers.max if endpoint else None)
        with contextlib.suppress(ProviderError):
            return (await self.health()).workforce
        return None

    async def _submitted(self, payload: Mapping[str, Any]) -> Any:
        for number in range(1, BUSY_TRIES + 1):
            try:
                return await self.api.call("POST", self._path("run"), json=payload)
            except ProviderBusy as error:
                pause = retry_after(error) or 2.0 ** number
                if number == BUSY_TRIES or pause > LONGEST_PAUSE_S:
                    raise
            await self.api.sleep(pause * 1.1)
        raise AssertionError("unreachable")

    async def _pause(self, seconds: float, nudged: asyncio.Event) -> None:
        """Wait so long, or until somebody nudges."""
        sleeping = asyncio.ensure_future(self.api.sleep(seconds))
        listening = asyncio.ensure_future(nudged.wait())
        try:
            await asyncio.wait({sleeping, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (sleeping, listening):
                each.cancel()
            await asyncio.gather(sleeping, listening, return_exceptions=True)
        if nudged.is_set():
            nudged.clear()
            await self.api.sleep(min(NUDGE_S, seconds))

    @contextlib.contextmanager
    def _listening(self, job_id: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._nudges.setdefault(job_id, []).append(event)
        try:
            yield event
        finally:
            self._nudges[job_id].remove(event)
            if not self._nudges[job_id]:
                del self._nudges[job_id]

    def _path(self, what: str, job_id: str | None = None) -> str:
        return f"/{quote(self.endpoint, safe='')}/{what}" + (f"/{quote(job_id, safe='')}" if job_id else "")


async def _looked(wait: Wait, on_status: OnStatus) -> JobStatus:
    looking = asyncio.ensure_future(wait.look())
    try:
        while not (await asyncio.wait({looking}, timeout=BEAT_S))[0]:
            await _tell(on_status, wait.last)
        return await looking
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _tell(on_status: OnStatus, status: JobStatus) -> None:
    if inspect.isawaitable(told := on_status(status)):
        await told


def _silently(_: JobStatus) -> None:
    return None
