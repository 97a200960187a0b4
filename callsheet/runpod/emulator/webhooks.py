"""Telling a job's end to the address that its submitter gave: three tries, ten seconds apart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx

from callsheet.runpod.emulator.faults import FaultKind
from callsheet.runpod.emulator.rows import Job

if TYPE_CHECKING:
    from callsheet.runpod.emulator.world import World

TRIES = 3
APART_S = 10.0


class Webhooks:
    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: list[dict[str, Any]] = []
        """Every try: job, url, status (0: nobody answered)."""
        self._client: httpx.AsyncClient | None = None
        self._running: set[asyncio.Task[None]] = set()

    def send(self, job: Job) -> None:
        """Begin to tell it, with what the job is now."""
        if not job.webhook:
            return
        from callsheet.runpod.emulator.answers import job_status

        faults, labels = self.world.faults, self.world.jobs.labels(job)
        if faults.take(FaultKind.WEBHOOK_LOST, *labels):
            return
        late = faults.take(FaultKind.WEBHOOK_LATE, *labels)
        body = job_status(job, self.world.skew())
        for _ in range(2 if faults.take(FaultKind.WEBHOOK_DOUBLED, *labels) else 1):
            task = asyncio.get_running_loop().create_task(
                self._deliver(job.id, job.webhook, body, late.seconds if late else 0.0))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _deliver(self, job_id: str, url: str, body: dict[str, Any], wait_s: float) -> None:
        await self.world.clock.sleep(wait_s)
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=10.0, trust_env=False)
        for number in range(TRIES):
            if number:
                await self.world.clock.sleep(APART_S)
            try:
                status = (await self._client.post(url, json=body)).status_code
            except (httpx.HTTPError, httpx.InvalidURL):
                status = 0
            self.sent.append({"job": job_id, "url": url, "status": status, "at": self.world.clock.now()})
            if status == 200:
                return
