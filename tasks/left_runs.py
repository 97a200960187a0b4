"""Runs that nobody looks after, found for a worker; machines of runs that are over or deleted are given back.

Covers one pool of one Prefect server. What counts as left is in callsheet/runpod/adoption.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from callsheet.costs import Outcome
from callsheet.runpod.adoption import YOUNG_S, Found, found, strays
from callsheet.runpod.answers import Pod
from callsheet.runpod.pods import pod_name, release
from callsheet.runpod.reap import Reaped
from tasks.desk import sight_of
from tasks.orphans import write_down
from tasks.renting import Renting

if TYPE_CHECKING:
    from logging import Logger, LoggerAdapter
    from typing import Any

    from prefect.client.orchestration import PrefectClient


class LeftRuns:
    """The watch over one pool."""

    def __init__(self, renting: Renting, client: PrefectClient, pool: str, log: Logger | LoggerAdapter[Any]) -> None:
        self._renting = renting
        self._client = client
        self._pool = pool
        self._log = log

    async def look(self, busy: Collection[UUID], attended: Iterable[UUID]) -> list[tuple[Found, FlowRun]]:
        """Runs to look after from now on. What needs no more than being given back is given back here.

        `busy`: runs that this worker has in hand; of those `attended` second pods are deleted. Raises ProviderError,
        StoreError, httpx.HTTPError.
        """
        pods = await self._renting.control.pods()
        keys = await asyncio.to_thread(self._renting.journal.open_keys, "flow_run/")
        runs = {run.id: run for run in await self._unended()}
        since = {run.id: run.state.timestamp for run in runs.values() if run.state is not None}
        left = []
        for each in found(pods, keys, since, busy, datetime.now(UTC)):
            if await self._renting.free(each.flow_run_id):
                run = runs.get(each.flow_run_id) or await self._other(each)
                if run is not None:
                    left.append((each, run))
        for flow_run_id in attended:
            await self._one_pod(flow_run_id, pods)
        return left

    async def _unended(self) -> list[FlowRun]:
        wanted = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
        return await self._client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=wanted))),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self._pool])),
        )

    async def _other(self, left: Found) -> FlowRun | None:
        """A run that is not among the unended of this pool: None when nothing of it is to be looked after."""
        try:
            run = await self._client.read_flow_run(left.flow_run_id)
        except ObjectNotFound:                        # deleted, unless it is another server's
            if await self._renting.ordered_here(left.flow_run_id, self._pool):
                await self._given_back(left, Outcome.CANCELLED, "its run was deleted")
            return None
        state = run.state
        if run.work_pool_name != self._pool or state is None:
            return None
        if state.is_final() and (datetime.now(UTC) - state.timestamp).total_seconds() >= YOUNG_S:
            await self._given_back(left, sight_of(run).outcome, f"its run is {state.name}")
            return None
        return run if left.open or not state.is_final() else None

    async def _given_back(self, left: Found, outcome: Outcome, why: str) -> None:
        books = self._renting.books(left.flow_run_id, self._pool)
        if await books.turn():
            self._log.warning("giving back what flow run %s still has: %s", left.flow_run_id, why)
            await self._renting.give_back(books, left.pods, outcome, why)

    async def _one_pod(self, flow_run_id: UUID, pods: Iterable[Pod]) -> None:
        """After a lost answer a pod may appear when its run has another one already."""
        named = {pod.id: pod for pod in pods if pod.name == pod_name(flow_run_id)}
        if len(named) < 2:
            return
        history = await asyncio.to_thread(self._renting.journal.history, f"flow_run/{flow_run_id}")
        ours = next((job for entry in reversed(history) if (job := getattr(entry, "job_id", ""))), "")
        for pod_id in strays(named, ours):
            self._log.warning("pod %s is a second one of flow run %s and is deleted", pod_id, flow_run_id)
            pod, now = named[pod_id], datetime.now(UTC)
            if await release(self._renting.control, pod_id, patience_s=60.0):
                stray = Reaped(
                    pod_id=pod_id, name=pod.name, reason="its run has another", rate=pod.rate, created=pod.created_at,
                    deleted=True)
                await asyncio.to_thread(write_down, [stray], self._renting.ledger, now)
