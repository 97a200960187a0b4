"""A provider that follows a script, and an owner's world around it: store, clock, accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from callsheet.costs import Outcome
from callsheet.errors import BudgetExceeded
from callsheet.pricing import Rate
from callsheet.store.base import Store
from callsheet.store.jobs import Beat, JobEnd
from callsheet.store.journal import Ended, Intent, Journal, Lease
from callsheet.store.paying import paid_once
from tests.support.stores import MemoryStore

KEY = "segments/" + "a" * 64
RATE = Rate(gpu="NVIDIA A40", usd_per_second=0.00034)
MADE = JobEnd(outcome=Outcome.MADE, seconds=10)
FAILED = JobEnd(
    outcome=Outcome.FAILED, seconds=3, code="engine.failed", message="out of memory", remedy="a larger card",
    retryable=True,
)
Script = list[JobEnd | Exception]


class Rented:
    """A provider that does what its scripts say, and an owner's world around it: clock, store, accounts."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or MemoryStore()
        self.now = 1_800_000_000.0
        self.submits: Script = []
        """What the next submits raise; a job id when there is nothing left."""
        self.ends: Script = []
        """How the next waits end; made when there is nothing left."""
        self.on_submit: Callable[[str, int], None] = lambda job_id, attempt: None
        self.submitted: list[int] = []
        self.waited: list[str] = []
        self.cancelled: list[str] = []
        self.pauses: list[float] = []
        self.reserved: list[float] = []
        self.settled: list[JobEnd] = []
        self.budget = 100.0
        self.beats = 1

    # Jobs
    def worst(self) -> tuple[float, Rate | None, Mapping[str, Any]]:
        return 0.5, RATE, {"endpoint": "e1"}

    async def submit(self, key: str, attempt: int) -> str:
        self.submitted.append(attempt)
        job_id = f"job-{len(self.submitted)}"
        self.on_submit(job_id, attempt)
        if self.submits:
            error = self.submits.pop(0)
            assert isinstance(error, Exception)
            raise error
        return job_id

    async def wait(self, job_id: str, beat: Beat) -> JobEnd:
        self.waited.append(job_id)
        for _ in range(self.beats):
            await beat()
            await self.pause(5)
        end = self.ends.pop(0) if self.ends else MADE
        if isinstance(end, Exception):
            raise end
        if end is MADE:
            self.store.put_if_absent(f"results/{KEY}", job_id.encode())
        return end.model_copy(update={"job_id": job_id})

    async def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)

    # Accounts
    def reserve(self, key: str, attempt: int, usd: float) -> None:
        if usd > self.budget:
            raise BudgetExceeded(scope="day/x", hard=self.budget, spent=0, what=key, worst=usd)
        self.reserved.append(usd)

    def settle(self, key: str, intent: Intent, end: JobEnd) -> None:
        self.settled.append(end)

    # the owner
    def journal(self) -> Journal:
        return Journal(self.store, clock=lambda: self.now)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def found(self) -> str | None:
        here = self.store.size(f"results/{KEY}") is not None
        return self.store.read(f"results/{KEY}").decode() if here else None

    def paying(self, **options: Any) -> Awaitable[str]:
        return paid_once(KEY, self.journal(), self, self.found, store=self.store, accounts=self, pause=self.pause,
                         **options)

    def pay(self, **options: Any) -> str:
        async def run() -> str:
            return await self.paying(**options)

        return asyncio.run(run())

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.journal().history(KEY) if not isinstance(entry, Lease)]

    def last(self) -> Ended:
        entry = self.journal().history(KEY)[-1]
        assert isinstance(entry, Ended)
        return entry
