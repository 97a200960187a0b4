"""Jobs whose asker is gone: looked up, settled and closed, so that the ledger knows what they cost.

Nothing is submitted here and nothing is cancelled: a job that still runs will put its result into the store, and is
looked at again the next time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from callsheet.costs import Outcome
from callsheet.errors import JobLost, ProviderError, StoreError
from callsheet.models import Gpu
from callsheet.pricing import Rate
from callsheet.recipe import Stage
from callsheet.runpod.client import JobsClient
from callsheet.runpod.job_inputs import RECIPES
from callsheet.store.jobs import Beat, JobEnd
from callsheet.store.journal import Journal
from callsheet.store.journal_entries import Intent
from callsheet.store.paying import adopted
from callsheet.store.records import Record
from tasks.direct import logger
from tasks.job_books import Books
from tasks.job_watch import ended_as, remembered
from tasks.planes import check_endpoint, planes
from tasks.run import current
from tasks.spending import budgets, ledger


class GoesOn(ProviderError):
    """Not a failure: the job is at work, and nobody here waits for it."""

    summary = "job {job_id} goes on"
    remedy = "nothing to do: it is settled when it has ended"


def settle_before() -> None:
    """Before an endpoint is asked for more: whether it can be, and what was paid for dead askers, which counts in the
    budgets too. Raises SettingMissing, SettingInvalid, ProviderError.
    """
    if current().gpu is Gpu.ENDPOINT:
        asyncio.run(check_endpoint(current().settings))
        try:
            for line in asyncio.run(settle_left_jobs()):
                logger().info(line)
        except (ProviderError, StoreError) as error:   # no reason not to begin: the promises of the dead stand
            logger().warning("left jobs are not settled: %s", error)


async def settle_left_jobs() -> list[str]:
    """Close every open attempt of a recipe that nobody waits for and whose job has ended; a line for each."""
    run = current()
    store, journal = run.records.store, Journal(run.records.store)
    lines: list[str] = []
    api, control = planes(run.settings)
    async with api, control:
        for stage in RECIPES:
            for key in journal.open_keys(f"{stage}/"):
                intents = [entry for entry in journal.history(key) if isinstance(entry, Intent)]
                client = JobsClient(api, str(intents[-1].facts.get("endpoint", "")), control)
                try:
                    done = await adopted(
                        key, journal, _OneLook(client, key, intents[-1].at), lambda key=key: _record(key), store=store,  # type: ignore[misc]
                        accounts=Books(budgets(), ledger(), {}, key),
                    )
                except ProviderError as error:
                    lines.append(f"{key}: {error.what}")
                    continue
                lines += [f"{key}: its job is settled"] if done else []
    return lines


def _record(key: str) -> Record | None:
    stage, _, fingerprint = key.partition("/")
    return current().records.find(Stage(stage), fingerprint)


class _OneLook:
    """Jobs (store/jobs.py) of which nobody waits for one: it has ended, or it is left alone."""

    def __init__(self, client: JobsClient, key: str, asked: datetime) -> None:
        self._client = client
        self._key = key
        self._asked = asked

    def worst(self) -> tuple[float, Rate | None, Mapping[str, Any]]:
        raise NotImplementedError("nothing is submitted here")

    async def submit(self, key: str, attempt: int) -> str:
        raise NotImplementedError("nothing is submitted here")

    async def wait(self, job_id: str, beat: Beat) -> JobEnd:
        status = await self._client.status(job_id)
        if status is None:
            lost = JobEnd(
                outcome=Outcome.LOST, job_id=job_id, code=JobLost.code, remedy=JobLost.remedy, retryable=True,
                message="the provider knows it no more")
            return remembered(lost, _record(self._key), self._asked)
        if not status.over:
            raise GoesOn(job_id=job_id)
        return await ended_as(self._client, status)

    async def cancel(self, job_id: str) -> None:
        """Whoever runs this does not stop others' work."""
