"""The studio's account at RunPod as one worker uses it: from job variables to machines, and machines to give back.

Covers what is read of the settings and refused before anything is paid. What happens then is in
callsheet/runpod/attend.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

from callsheet.costs import Outcome, Payer
from callsheet.errors import SettingInvalid, SettingMissing
from callsheet.pricing import Card, Rate, card
from callsheet.runpod.books import Books
from callsheet.runpod.client import JobsClient
from callsheet.runpod.hire import Hire, Rented
from callsheet.runpod.job_hire import JobHire, RentedJob
from callsheet.runpod.job_variables import JobVariables
from callsheet.runpod.orders import Cloud
from callsheet.runpod.pod_env import api_address, job_environment, pod_environment
from callsheet.runpod.pod_hire import PodHire, PodWish, RentedPod
from callsheet.runpod.pods import pod_name
from callsheet.runpod.tending import Limits
from callsheet.runpod.watch import Watch
from callsheet.settings import Settings
from callsheet.store.attempts import close_attempt, holder
from callsheet.store.base import Store
from callsheet.store.budgets import Budgets
from callsheet.store.journal import Ended, Intent, Journal
from callsheet.store.ledger import Ledger
from tasks.backends import backends
from tasks.planes import planes

_CLOUDS: Mapping[str, tuple[Cloud, ...]] = {
    "secure": ("SECURE",), "community": ("COMMUNITY",), "any": ("SECURE", "COMMUNITY"),
}


class Renting:
    """One account, one store, one Prefect server."""

    def __init__(self, settings: Settings, prefect: str | None) -> None:
        """`prefect` is the address of Prefect's API as this process has it. Raises SettingMissing."""
        self.settings = settings
        self.prefect = prefect
        self.jobs, self.control = planes(settings)
        store: Store = backends(settings)[0].store
        self.store = store
        self.journal, self.budgets, self.ledger = Journal(store), Budgets(store), Ledger(store)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Renting:
        await self._open.enter_async_context(self.control)
        await self._open.enter_async_context(self.jobs)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._open.aclose()

    def books(self, flow_run_id: UUID, pool: str, payer: Payer | None = None) -> Books:
        return Books(
            str(flow_run_id), self.journal, self.budgets, self.ledger, day_usd=self.settings.budget_day, payer=payer,
            facts={"pool": pool, "prefect": self.prefect or ""},
        )

    def hire(self, flow_run_id: UUID, asked: JobVariables, env: Mapping[str, str], books: Books) -> Hire:
        """Raises SettingMissing and SettingInvalid: what can be wrong is found before anything is paid."""
        api = api_address(self.settings, self.prefect)
        cards = tuple(card(name) for name in asked.cards) or self.settings.cards
        if asked.mode == "serverless":
            return self._job_hire(flow_run_id, api, asked, job_environment(asked=env), cards, books)

        def environment(rate: Rate) -> dict[str, str]:  # when a pod is ordered: its time begins then
            return pod_environment(
                self.settings, flow_run_id=str(flow_run_id), api=api, deadline_s=asked.deadline_s,
                until=time.time() + asked.deadline_s, quiet_s=asked.quiet_s, rate=rate, asked=env)

        environment(Rate(gpu="", usd_per_second=0.0))
        limits = Limits(
            deadline_s=asked.deadline_s, boot_s=asked.boot_s, quiet_s=asked.quiet_s,
            cancel_grace_s=asked.cancel_grace_s)
        wish = self._wish(flow_run_id, asked, cards)
        return PodHire(
            self.control, wish, limits, asked.capacity_s, environment, key=books.key, payer=books.payer,
            paid=books.paid)

    async def free(self, flow_run_id: UUID) -> bool:
        """Whether nobody looks after the run, as far as its journal tells."""
        return await asyncio.to_thread(self._free, f"flow_run/{flow_run_id}")

    def _free(self, key: str) -> bool:
        number = self.journal.length(key)
        newest = self.journal.history(key, after=number - 1)[0] if number else None
        if newest is None or isinstance(newest, Ended):
            return True
        return newest.until <= self.journal.clock() or self.journal.gone(newest.owner)

    async def ordered_here(self, flow_run_id: UUID, pool: str) -> bool:
        """Whether the run's newest attempt was begun for this pool of this server."""
        history = await asyncio.to_thread(self.journal.history, f"flow_run/{flow_run_id}")
        facts = next((entry.facts for entry in reversed(history) if isinstance(entry, Intent)), {})
        return (facts.get("pool"), facts.get("prefect")) == (pool, self.prefect or "")

    async def give_back(self, books: Books, pod_ids: Sequence[str], outcome: Outcome, why: str) -> None:
        """End what a run has that is over or deleted, and close its books. Raises ProviderError, StoreError."""
        machines: list[Rented] = [self._left_pod(books, pod_id) for pod_id in pod_ids]
        if books.job_id and books.job_id not in pod_ids:
            machines.append(
                self._left_job(books) if books.facts.get("mode") == "serverless"
                else self._left_pod(books, books.job_id))
        for machine in machines:
            await machine.look()
            await machine.stop()
            await books.paid(machine.life(outcome, books.attempt))
        await books.settle()
        await books.end(outcome, why)

    def _left_pod(self, books: Books, pod_id: str) -> RentedPod:
        asked = books.intended if books.open else None
        return RentedPod(
            self.control, pod_id, books.rate, asked=asked, began=None, key=books.key, payer=books.payer)

    def _left_job(self, books: Books) -> RentedJob:
        jobs = JobsClient(self.jobs, str(books.facts.get("endpoint", "")), self.control)
        return RentedJob(
            jobs, books.job_id, self.settings.cards, Watch(), submitted=books.intended, key=books.key,
            payer=books.payer)

    def _job_hire(
        self, flow_run_id: UUID, api: str, asked: JobVariables, env: Mapping[str, str], cards: Sequence[Card],
        books: Books,
    ) -> JobHire:
        endpoint = asked.endpoint or self.settings.runpod_endpoint
        if endpoint is None:
            raise SettingMissing(
                subject="the endpoint's id", variable="RUNPOD_ENDPOINT_ID, or `endpoint` among the job variables")
        return JobHire(
            JobsClient(self.jobs, endpoint, self.control), flow_run_id, env, cards, _Claims(self.store, books),
            api=api, deadline_s=asked.deadline_s, quiet_s=asked.quiet_s, capacity_s=asked.capacity_s,
            cancel_grace_s=asked.cancel_grace_s, key=books.key, payer=books.payer,
        )

    def _wish(self, flow_run_id: UUID, asked: JobVariables, cards: Sequence[Card]) -> PodWish:
        image, volume = asked.image or self.settings.runpod_image, asked.volume or self.settings.runpod_volume
        if image is None:
            raise SettingMissing(
                subject="the image of pods", variable="CALLSHEET_RUNPOD_IMAGE, or `image` among the job variables")
        if volume and asked.cloud == "community":
            raise SettingInvalid(
                variable="cloud", value="'community'", detail="it has no network volumes",
                remedy="take the secure cloud, or leave CALLSHEET_RUNPOD_VOLUME and `volume` empty")
        return PodWish(
            name=pod_name(flow_run_id), image=image, cards=tuple(cards), count=asked.gpu_count,
            clouds=_CLOUDS[asked.cloud], data_centers=tuple(asked.data_centers), volume=volume,
            disk_gb=asked.disk_gb,
        )


class _Claims:
    """The claims of one run's attempts."""

    def __init__(self, store: Store, books: Books) -> None:
        self._store = store
        self._books = books

    def holder(self, attempt: int) -> str | None:
        return holder(self._store, self._books.key, attempt)

    def close(self, attempt: int) -> str | None:
        return close_attempt(self._store, self._books.key, attempt, self._books.owner)
