"""The GPU half on the work pool: asked for, paid from its budgets, waited for, and cancelled when the asker goes.

An asker that is killed leaves its shoot at work and its promise of money open. Whoever asks next for one of its films
waits for that shoot before it asks for what is still missing, and settles what was promised.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
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
from callsheet.errors import CallsheetError, EngineError, EngineUnable
from callsheet.film import Film
from callsheet.recipe import Recipe, Stage, canonical, digest
from tasks import shoot_books
from tasks.direct import logger
from tasks.fallback import replanned
from tasks.pinning import pinned
from tasks.run import check_stopped, current
from tasks.spending import unmade

SHOOT = "shoot/gpu"
RENTED = "runpod"
"""Type of the work pool whose machines cost money by the second."""

_POLL_S = 1.0
_MOST_RUNS = 50
_TRIES = 4
_ASKING_S = 300.0
"""A promise of that age whose run Prefect does not know is of an asker who died before he asked."""

_AROUND_S = 3600.0
"""For finding a machine, its start and its end, beside the deadline of its work."""


def at_the_pool(films: Sequence[Film], refresh: frozenset[Stage], started: datetime) -> None:
    """Have the `shoot/gpu` deployment make the half of these films, and wait for it.

    Raises EngineUnable when nobody is there to do it, BudgetExceeded before anything is asked, EngineError when
    the run does not complete.
    """
    with get_client(sync_client=True) as client:
        rented = _insist_on_a_worker(client)
        for shoot in _under_way(client, films):
            logger().info("shoot %s has some of these films in hand: it is waited for", shoot.name)
            _waited(client, shoot, ours=False)
        settle_left(films)
        films = [film for film in map(replanned, films) if unmade(film)]
        if not films:
            return
        ended = _made(client, films, refresh, started, rented)
    state = ended.state
    if state is None or not state.is_completed():
        word = f"{state.name}: {state.message}" if state else "no state"
        raise EngineError(engine="the gpu pool", what="the shoot", detail=f"run {ended.name} ended {word}")


def settle_left(films: Sequence[Film]) -> None:
    """Settle what was promised for shoots that are over and whose askers did not live to see it.

    Call it before anything of this run is asked of the pool.
    """
    promises = shoot_books.left(films)
    if not promises:
        return
    with get_client(sync_client=True) as client:
        for promise, age_s in sorted(promises.items()):
            asked = _asked_before(client, promise.removeprefix(shoot_books.PROMISE))
            over = all(shoot.state is not None and shoot.state.is_final() for shoot in asked)
            if over and (asked or age_s > _ASKING_S):
                newest = sorted(asked, key=_born)[-1:]
                shoot_books.settle(promise, [film.job_id for film in films], [str(shoot.id) for shoot in newest])


def _made(
    client: SyncPrefectClient, films: Sequence[Film], refresh: frozenset[Stage], started: datetime, rented: bool
) -> FlowRun:
    """Ask for one shoot of all these and wait for it, with its worst case promised meanwhile."""
    run, recipes = current(), {recipe.fingerprint: recipe for film in films for recipe in unmade(film)}
    key = digest(canonical([sorted(recipes), str(started) if refresh else ""]))
    parameters = {
        "orders": [pinned(film).model_dump(mode="json") for film in films],
        "refresh": sorted(refresh),
        "started": started.isoformat(),
        "purse": run.purse.model_dump(mode="json"),
    }
    deadline_s = pricing.deadline_s(recipes.values(), run.settings.cards)
    variables = {"deadline_s": int(deadline_s)} if rented else {}
    if rented:                                        # this machine's own pool costs nothing
        shoot_books.reserve(key, films)
    runs: list[str] = []
    sure = False
    try:
        asked, ours = _asked(client, key, parameters, variables, [_tag(film) for film in films])
        runs.append(str(asked.id))
        sure = True
        return _waited(client, asked, ours, deadline_s + _AROUND_S if rented else None)
    except CallsheetError:
        sure = True
        raise
    finally:
        if rented and sure:
            shoot_books.settle(shoot_books.PROMISE + key, [film.job_id for film in films], runs)


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


def _asked_before(client: SyncPrefectClient, key: str) -> list[FlowRun]:
    """Every run that was asked for under a key."""
    keys = [f"{key}-{attempt}" for attempt in range(_MOST_RUNS)]
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=keys)))


def _asked(
    client: SyncPrefectClient, key: str, parameters: dict[str, Any], variables: dict[str, Any], tags: Sequence[str]
) -> tuple[FlowRun, bool]:
    """A run for exactly these recipes, and whether it is ours: the one that goes on already, whoever asked for it,
    else a new one.
    """
    before = _asked_before(client, key)
    for shoot in before:
        if shoot.state is None or not shoot.state.is_final():
            return shoot, False
    if len(before) >= _MOST_RUNS:
        raise EngineError(
            engine="the gpu pool", what="the shoot", detail=f"it ended {_MOST_RUNS} times without all of its results",
            remedy="see the logs of the shoot runs",
        )
    for tries in range(1, _TRIES + 1):
        try:
            # The key makes asking again safe: after a lost answer it gives the run that was made.
            return cast(FlowRun, run_deployment(
                SHOOT, parameters=parameters, job_variables=variables, timeout=0, tags=tags,
                idempotency_key=f"{key}-{len(before)}",
            )), True
        except httpx.HTTPError:
            if tries == _TRIES:
                raise
        time.sleep(_POLL_S * 2 ** tries)
    raise AssertionError("unreachable")


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


def _waited(client: SyncPrefectClient, asked: FlowRun, ours: bool, limit_s: float | None = None) -> FlowRun:
    """The run once it is over. When its asker goes, a run of ours is cancelled. Raises EngineError after the limit."""
    end = None if limit_s is None else time.monotonic() + limit_s
    try:
        while True:
            with contextlib.suppress(httpx.HTTPError):          # a server that restarts is no reason to cancel
                found = client.read_flow_run(asked.id)
                if found.state is not None and found.state.is_final():
                    return found
            check_stopped("the shoot")
            if end is not None and time.monotonic() > end:
                raise EngineError(
                    engine="the gpu pool", what="the shoot", detail=f"run {asked.name} is past its deadline",
                    remedy="see the run's page and its worker's log")
            time.sleep(_POLL_S)
    except BaseException:
        if ours:
            _cancel(client, asked)
        raise


def _cancel(client: SyncPrefectClient, asked: FlowRun) -> None:
    found = client.read_flow_run(asked.id)
    if found.state is None or not found.state.is_final():
        client.set_flow_run_state(asked.id, Cancelling(message="whoever asked for it is gone"), force=True)


def _unable(detail: str) -> EngineUnable:
    return EngineUnable(
        engine="the gpu pool", what="the shoot", detail=detail,
        remedy="start `callsheet up` first, or run with --gpu here",
    )
