"""The GPU half in the `gpu` work pool: asked for, waited for, and cancelled when the asker goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from datetime import datetime
from typing import cast

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from callsheet.errors import EngineError, EngineUnable
from callsheet.models import Order
from callsheet.recipe import Recipe, Stage
from tasks.run import check_stopped, current

POOL = "gpu"
_POLL_S = 1.0


def at_the_pool(orders: Sequence[Order], refresh: frozenset[Stage], started: datetime) -> None:
    """Have the `shoot/gpu` deployment make the half of these orders, and wait for it.

    Raises EngineUnable when nobody is there to do it, EngineError when the run does not complete.
    """
    parameters = {
        "orders": [order.model_dump(mode="json") for order in orders],
        "refresh": sorted(refresh),
        "started": started.isoformat(),
    }
    with get_client(sync_client=True) as client:
        _insist_on_a_worker(client)
        try:
            asked = cast(FlowRun, run_deployment("shoot/gpu", parameters=parameters, timeout=0))
        except ObjectNotFound as error:
            raise _unable("this Prefect server has no deployment shoot/gpu") from error
        ended = _waited(client, asked)
    state = ended.state
    if state is None or not state.is_completed():
        word = f"{state.name}: {state.message}" if state else "no state"
        raise EngineError(engine="the gpu pool", what="the shoot", detail=f"run {ended.name} ended {word}")


def why_missing(missing: Sequence[Recipe]) -> EngineError:
    """The first recipe that the pool did not make, with the reason that its log gives."""
    recipe = missing[0]
    failure = current().records.failure(recipe)
    return EngineError(
        engine="the gpu pool",
        what=f"{recipe.stage} {recipe.label}",
        detail=failure.message if failure else "the pool ended without it",
        remedy=failure.remedy if failure else "see the log of the shoot run",
    )


def _insist_on_a_worker(client: SyncPrefectClient) -> None:
    # A run that nobody takes would wait for ever here, and be made (and paid) whenever a worker comes.
    try:
        client.read_work_pool(POOL)
        workers = client.read_workers_for_work_pool(POOL)
    except ObjectNotFound as error:
        raise _unable(f"this Prefect server has no work pool {POOL}") from error
    if not any(worker.status is WorkerStatus.ONLINE for worker in workers):
        raise _unable(f"no worker of the work pool {POOL} is online")


def _waited(client: SyncPrefectClient, asked: FlowRun) -> FlowRun:
    try:
        while True:
            with contextlib.suppress(httpx.HTTPError):          # a server that restarts is no reason to cancel
                found = client.read_flow_run(asked.id)
                if found.state is not None and found.state.is_final():
                    return found
            check_stopped("the shoot")
            time.sleep(_POLL_S)
    except BaseException:
        client.set_flow_run_state(asked.id, Cancelling(message="whoever asked for it is gone"), force=True)
        raise


def _unable(detail: str) -> EngineUnable:
    return EngineUnable(
        engine="the gpu pool", what="the shoot", detail=detail,
        remedy="start `callsheet up` first, or run with --gpu here",
    )
