"""One recipe as a job of a RunPod endpoint: paid once, watched, written down.

The job makes the recipe into the store that both sides share; its result is read there. Who may submit, adopt or
give up is paying.py's matter, what the provider says client.py's. This joins them for one recipe of one run.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

from callsheet.costs import Payer
from callsheet.pricing import COLD_START_S, IDLE_S, Rate, dearest, worst_s
from callsheet.recipe import Recipe
from callsheet.runpod.client import JobsClient, Policy
from callsheet.runpod.job_inputs import StageJob
from callsheet.settings import Settings
from callsheet.store.jobs import Beat, JobEnd
from callsheet.store.journal import Journal
from callsheet.store.paying import adopted, paid_once
from callsheet.store.records import Record
from tasks.direct import logger
from tasks.job_books import Books, Later
from tasks.job_watch import remembered, watched
from tasks.left_jobs import settle_left_jobs
from tasks.planes import endpoint_of, planes
from tasks.run import Run, check_stopped, current
from tasks.spending import WAIT_S, budgets, judged, ledger, limits, payer, prices

QUEUE_S = 3600.0
"""How long a job may wait for a worker. Its `ttl` covers that too: what expires in the queue is gone."""

_LOOK_S = 1.0
_SETTLE_S = 30.0


def made_there(recipe: Recipe) -> tuple[Record, bool]:
    """The recipe's record, made by the endpoint unless it was there already; whether it was.

    Raises SettingMissing, BudgetExceeded, and what paid_once raises.
    """
    run = current()
    there = run.records.current(recipe, run.since(recipe.stage))
    if there is not None:
        return there, True
    rates = prices(run.settings).job
    return asyncio.run(_made(recipe, run, rates)), False


async def _made(recipe: Recipe, run: Run, rates: Mapping[str, Rate]) -> Record:
    key, what = f"{recipe.stage}/{recipe.fingerprint}", f"{recipe.stage} {recipe.label}"
    store, journal = run.records.store, Journal(run.records.store)
    api, control = planes(run.settings)

    def found() -> Record | None:
        return run.records.current(recipe, run.since(recipe.stage))

    async with api, control:
        client = JobsClient(api, endpoint_of(run.settings), control)
        while True:
            counted = limits()
            jobs = EndpointJobs(client, recipe, run, payer(recipe), rates, counted)
            books = Books(budgets(), ledger(), counted, what)
            with contextlib.suppress(Later):
                # What a dead asker left has its money already: it must not wait for more.
                await adopted(
                    key, journal, jobs, found, store=store, accounts=books, check=lambda: check_stopped(what))
                if (made := await asyncio.to_thread(found)) is not None:
                    return made
                await _money_for(jobs.worst()[0], what)
                return await paid_once(
                    key, journal, jobs, found, store=store, accounts=books, check=lambda: check_stopped(what))


async def _money_for(usd: float, what: str) -> None:
    """Wait while only the worst cases of others are in the way. Raises BudgetExceeded, Cancelled."""
    end, settle_at = time.monotonic() + WAIT_S, time.monotonic()
    while (verdict := await asyncio.to_thread(judged, usd, what)).refused is not None:
        if not verdict.later or time.monotonic() > end:
            raise verdict.refused
        if time.monotonic() >= settle_at:              # the promise of somebody who is dead would stand for ever
            logger().info("%s waits for money that is promised: %s", what, verdict.refused.what)
            await settle_left_jobs()
            settle_at = time.monotonic() + _SETTLE_S
        check_stopped(what)
        await asyncio.sleep(_LOOK_S)


class EndpointJobs:
    """The jobs of one recipe (store/jobs.py). Every attempt is the same job with another number."""

    def __init__(
        self, client: JobsClient, recipe: Recipe, run: Run, payer: Payer, rates: Mapping[str, Rate],
        budgets: Mapping[str, float],
    ) -> None:
        self.client = client
        self.recipe = recipe
        self.run = run
        self.rates = rates
        self.policy = Policy.covering(worst_s(recipe, _slowest(run.settings)), QUEUE_S)
        self._facts = {
            "endpoint": client.endpoint, "payer": payer.model_dump(mode="json"), "budgets": list(budgets),
            "rates": {gpu: rate.usd_per_second for gpu, rate in rates.items()},
        }

    def worst(self) -> tuple[float, Rate | None, Mapping[str, Any]]:
        rate = dearest(self.rates.values())
        return rate.cost(self.policy.execution_s + COLD_START_S + IDLE_S), rate, self._facts

    async def submit(self, key: str, attempt: int) -> str:
        job = StageJob.of(self.recipe, attempt, self.run.since(self.recipe.stage))
        return await self.client.submit(job.model_dump(mode="json"), self.policy)

    async def wait(self, job_id: str, beat: Beat) -> JobEnd:
        end = await watched(self.client, job_id, beat, self.policy)
        stage = self.recipe.stage
        return remembered(end, self.run.records.find(stage, self.recipe.fingerprint), self.run.since(stage))

    async def cancel(self, job_id: str) -> None:
        await self.client.cancel(job_id)


def _slowest(settings: Settings) -> float:
    return min(card.speed for card in settings.cards)
