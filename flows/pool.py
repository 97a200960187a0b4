"""The GPU half on the work pool: asked for, paid from its budgets, waited for, and cancelled when the asker goes.

An asker that is killed leaves its shoot at work and its promise of money open. Whoever asks next for one of its films
waits for that shoot before it asks for what is still missing, and settles what was promised.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, StateType, WorkerStatus
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from callsheet import pricing
from callsheet.errors import EngineError, EngineUnable
from callsheet.film import Film
from callsheet.recipe import Recipe, Stage, canonical, digest
from callsheet.store.journal import Journal
from tasks.run import check_stopped, current
from tasks.spending import budgets, ledger, limits, unmade

SHOOT = "shoot/gpu"
RENTED = "runpod"
"""Type of the work pool whose machines cost money by the second."""

_POLL_S = 1.0
_MOST_RUNS = 50
_BOOKS_S = 60.0
"""For a machine that is given back after its run has ended."""

_PROMISE = "shoot/"
"""What begins the name of a promise for a shoot."""


def at_the_pool(films: Sequence[Film], refresh: frozenset[Stage], started: datetime) -> None:
    """Have the `shoot/gpu` deployment make the half of these films, and wait for it.

    Raises EngineUnable when nobody is there to do it, BudgetExceeded before anything is asked, EngineError when
    the run does not complete.
    """
    run = current()
    with get_client(sync_client=True) as client:
        rented = _insist_on_a_worker(client)
        for shoot in _under_way(client, films):
            _waited(client, shoot)
            _booked([str(shoot.id)])
        settle_left()
        films = [film for film in films if unmade(film)]
        recipes = list({recipe.fingerprint: recipe for film in films for recipe in unmade(film)}.values())
        if not recipes:
            return
        parameters = {
            "orders": [film.order.model_dump(mode="json") for film in films],
            "refresh": sorted(refresh),
            "started": started.isoformat(),
            "purse": run.purse.model_dump(mode="json"),
        }
        variables = {"deadline_s": int(pricing.deadline_s(recipes, run.settings.cards))} if rented else {}
        key = digest(canonical([sorted(recipe.fingerprint for recipe in recipes), str(started) if refresh else ""]))
        with _paid(key, recipes if rented else (), f"a shoot of {len(films)}") as runs:
            asked = _asked(key, parameters, variables, [_tag(film) for film in films])
            runs.append(str(asked.id))
            ended = _waited(client, asked)
    state = ended.state
    if state is None or not state.is_completed():
        word = f"{state.name}: {state.message}" if state else "no state"
        raise EngineError(engine="the gpu pool", what="the shoot", detail=f"run {ended.name} ended {word}")


def settle_left() -> None:
    """Settle what was promised here for shoots that are over and whose askers did not live to see it.

    Call it before anything of this run is asked of the pool.
    """
    left = {promise for scope in _scopes() for promise in budgets().promises(scope) if promise.startswith(_PROMISE)}
    if not left:
        return
    with get_client(sync_client=True) as client:
        for promise in sorted(left):
            keys = [f"{promise.removeprefix(_PROMISE)}-{attempt}" for attempt in range(_MOST_RUNS)]
            asked = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=keys)))
            if asked and all(shoot.state is not None and shoot.state.is_final() for shoot in asked):
                _settle(promise, [str(max(asked, key=_born).id)])


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


def _born(shoot: FlowRun) -> datetime:
    return shoot.created or datetime.min.replace(tzinfo=UTC)


def _tag(film: Film) -> str:
    """What a shoot of this film is found by."""
    return f"film/{film.job_id}"


def _under_way(client: SyncPrefectClient, films: Sequence[Film]) -> list[FlowRun]:
    """Shoots that have one of these films in hand, whoever asked for them: what they make is paid already."""
    deployment = client.read_deployment_by_name(SHOOT)
    going_on = [state for state in StateType if state not in TERMINAL_STATES]
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=going_on)),
            tags=FlowRunFilterTags(any_=[_tag(film) for film in films])),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
    )


def _asked(key: str, parameters: dict[str, Any], variables: dict[str, Any], tags: Sequence[str]) -> FlowRun:
    """A run for exactly these recipes: the one that goes on already, whoever asked for it, else a new one."""
    for attempt in range(_MOST_RUNS):
        asked = cast(FlowRun, run_deployment(
            SHOOT, parameters=parameters, job_variables=variables, timeout=0, tags=tags,
            idempotency_key=f"{key}-{attempt}",
        ))
        if asked.state is None or not asked.state.is_final():
            return asked
    raise EngineError(
        engine="the gpu pool", what="the shoot", detail=f"it ended {_MOST_RUNS} times without all of its results",
        remedy="see the logs of the shoot runs",
    )


@contextlib.contextmanager
def _paid(key: str, recipes: Sequence[Recipe], what: str) -> Iterator[list[str]]:
    """The worst case is promised by the budgets before, and what it cost is written down after.

    The day's budget is the worker's matter: it sees also what others ask of it.
    """
    runs: list[str] = []
    if not recipes:                                   # this machine's own pool costs nothing
        yield runs
        return
    promise = f"{_PROMISE}{key}"
    worst = pricing.pod_estimate(recipes, current().settings.cards).worst_usd
    budgets().reserve(_scopes(), promise, worst, what)
    try:
        yield runs
    finally:
        _settle(promise, runs)


def _settle(promise: str, runs: Collection[str]) -> None:
    """What is not known yet stays promised: whoever comes next settles it."""
    if _booked(runs):
        budgets().settle(_scopes(), promise, _cost(runs))


def _scopes() -> dict[str, float]:
    """The budgets that are kept here, and their limits."""
    return {scope: usd for scope, usd in limits().items() if not scope.startswith("day/")}


def _booked(runs: Collection[str]) -> bool:
    """Wait until their worker has given the machines back and written down what they cost; whether it has."""
    keys = {f"flow_run/{run}" for run in runs}
    journal, end = Journal(current().records.store), time.monotonic() + _BOOKS_S
    while keys & set(journal.open_keys("flow_run/")):
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True


def _cost(runs: Collection[str]) -> float:
    """The most that the machines of these runs cost, in USD, with what was written down on them."""
    keys, rows = {f"flow_run/{run}" for run in runs}, ledger().rows()
    machines = {row.resource for row in rows if row.key in keys}
    return sum(max(row.usd, row.upper_usd) for row in rows if row.resource in machines)


def _insist_on_a_worker(client: SyncPrefectClient) -> bool:
    """Whether the pool's machines are rented. A run that nobody takes would wait for ever here, and be made (and paid)
    whenever a worker comes.
    """
    try:
        name = client.read_deployment_by_name(SHOOT).work_pool_name
        pool = client.read_work_pool(name or "")
        workers = client.read_workers_for_work_pool(pool.name)
    except ObjectNotFound as error:
        raise _unable(f"this Prefect server has no deployment {SHOOT} with a work pool") from error
    if not any(worker.status is WorkerStatus.ONLINE for worker in workers):
        raise _unable(f"no worker of the work pool {pool.name} is online")
    return pool.type == RENTED


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
