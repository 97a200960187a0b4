"""What Prefect is asked and told about a flow run that has a rented machine: states, logs, events with prices.

Covers reading a run as tending.py sees it, and writing its end. A server that does not answer is no news; one that
stays away when the end has to be told is an error, and whoever looks after the run tells it later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import httpx
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.events import RelatedResource, emit_event
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed, Failed

from callsheet.costs import Outcome, Payer
from callsheet.pricing import HOUR_S
from callsheet.runpod.hire import Rented
from callsheet.runpod.tending import Phase, RunSight, Verdict

if TYPE_CHECKING:
    from logging import Logger, LoggerAdapter

    from prefect.client.orchestration import PrefectClient

_STATES: Mapping[str, Callable[..., State[Any]]] = {"crashed": Crashed, "cancelled": Cancelled, "failed": Failed}
_PHASES = {
    StateType.PENDING: Phase.WAITING, StateType.RUNNING: Phase.RUNNING, StateType.CANCELLING: Phase.CANCELLING,
    StateType.SCHEDULED: Phase.LEFT, StateType.PAUSED: Phase.LEFT,
}
_OUTCOMES = {
    StateType.COMPLETED: Outcome.MADE, StateType.FAILED: Outcome.FAILED, StateType.CRASHED: Outcome.FAILED,
    StateType.CANCELLED: Outcome.CANCELLED,
}
_MOST_ACTORS = 20
_TRIES = 6


class PrefectDesk:
    """One flow run, as Prefect's API has it."""

    def __init__(
        self,
        client: PrefectClient,
        flow_run: FlowRun,
        log: Logger | LoggerAdapter[Any],
        related: Sequence[RelatedResource],
        started: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`related` are what the run's events are about beside it; `started` is called with the first machine's pid."""
        self.flow_run_id: UUID = flow_run.id
        self.name = flow_run.name
        self.actors = tuple(dict.fromkeys(actors(flow_run.parameters)))[:_MOST_ACTORS]
        self._client = client
        self._log = log
        self._related = [*related, *(_actor(actor) for actor in self.actors)]
        self._started = started
        self._sleep = sleep

    async def sight(self) -> RunSight | None:
        """None when the API does not answer."""
        try:
            return sight_of(await self._client.read_flow_run(self.flow_run_id))
        except ObjectNotFound:
            return RunSight(phase=Phase.DELETED, told="deleted")
        except (httpx.HTTPError, OSError):
            return None

    async def machine(self, machine: Rented, adopted: bool) -> None:
        kind, _, number = machine.pid.partition(":")
        hourly = machine.rate.usd_per_second * HOUR_S
        price = f"${hourly:.2f} an hour" if hourly else "price not known yet"
        self._log.info(
            "%s %s (%s, %s) %s flow run '%s'%s", kind, number, machine.rate.gpu or "card not known yet", price,
            "is looked after again for" if adopted else "was ordered for", self.name,
            f" of {', '.join(self.actors)}" if self.actors else "")
        self._emit("adopted" if adopted else "ordered", machine, {})
        try:
            await self._client.update_flow_run(self.flow_run_id, infrastructure_pid=machine.pid)
        except (httpx.HTTPError, ObjectNotFound) as error:
            self._log.warning("the run does not know its machine %s: %s", machine.pid, type(error).__name__)
        self._started(machine.pid)

    async def released(self, machine: Rented, verdict: Verdict) -> None:
        self._log.info("%s is given back: %s", machine.pid.replace(":", " "), verdict.reason)
        self._emit("released", machine, {"outcome": verdict.outcome, "reason": verdict.reason})

    async def become(self, state: Literal["crashed", "cancelled", "failed"], message: str) -> None:
        """Raises httpx.HTTPError when the API stays away."""
        for number in range(1, _TRIES + 1):
            try:
                # Orchestrated, not forced: a run that has ended meanwhile keeps its state.
                told = await self._client.set_flow_run_state(self.flow_run_id, _STATES[state](message=message))
                self._log.info("flow run '%s' is reported as %s: %s (%s)", self.name, state, message, told.status.value)
                return
            except ObjectNotFound:
                return
            except httpx.HTTPError:
                if number == _TRIES:
                    raise
            await self._sleep(min(2.0 ** number, 20.0))

    def say(self, message: str) -> None:
        self._log.info("%s", message)

    def warn(self, message: str) -> None:
        self._log.warning("%s", message)

    def _emit(self, what: str, machine: Rented, more: Mapping[str, Any]) -> None:
        kind, _, number = machine.pid.partition(":")
        rate = machine.rate
        emit_event(
            event=f"callsheet.{kind}.{what}",
            resource={
                "prefect.resource.id": f"callsheet.runpod.{kind}.{number}", "prefect.resource.name": number,
                "callsheet.gpu": rate.gpu,
            },
            related=self._related,
            payload={
                "gpu": rate.gpu, "usd_per_hour": round(rate.usd_per_second * HOUR_S, 4), "price": rate.source, **more,
            },
        )


def sight_of(run: FlowRun) -> RunSight:
    """A run as whoever looks after its machine sees it."""
    state = run.state
    if state is None:
        return RunSight(phase=Phase.WAITING)
    told = state.name or state.type.value
    if state.is_final():
        return RunSight(phase=Phase.FINAL, told=told, outcome=_OUTCOMES[state.type])
    retries_there = run.empirical_policy.retry_type == "in_process"
    phase = Phase.RUNNING if state.name == "AwaitingRetry" and retries_there else _PHASES[state.type]
    return RunSight(phase=phase, told=told)


def actors(parameters: Mapping[str, Any]) -> Iterator[str]:
    """Ids of the actors that a run's parameters name, whichever of our flows it is."""
    orders = parameters.get("orders")
    for order in orders if isinstance(orders, list) else [parameters.get("order")]:
        cast = order.get("cast") if isinstance(order, Mapping) else None
        for each in cast if isinstance(cast, list) else ():
            if isinstance(each, Mapping) and isinstance(each.get("id"), str):
                yield each["id"]


def payer(run: FlowRun) -> Payer:
    """Whose machine it is, for the ledger: the batch or the run, and the order and actor where there is one alone."""
    parameters = run.parameters
    purse, orders = parameters.get("purse"), parameters.get("orders")
    batch = str(purse.get("batch") or "") if isinstance(purse, Mapping) else ""
    only = orders[0] if isinstance(orders, list) and len(orders) == 1 and isinstance(orders[0], Mapping) else {}
    named = tuple(dict.fromkeys(actors(parameters)))
    return Payer(
        run=batch or str(only.get("title") or "") or run.name, order=str(only.get("job_id") or ""),
        actor=named[0] if len(named) == 1 else "",
        label=run.name, budgets=(f"batch/{batch}",) if batch else (),
    )


def _actor(actor_id: str) -> RelatedResource:
    return RelatedResource({
        "prefect.resource.id": f"lora.actor.{actor_id}", "prefect.resource.role": "actor",
        "prefect.resource.name": actor_id,
    })
