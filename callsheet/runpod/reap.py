"""The reaper: pods of ours that nobody needs any more are found by their name and deleted.

The third stop, after the worker that rented a pod and the watchdogs inside it. A pod goes when its flow run has
ended or is unknown, or when it is past its own deadline; one whose run cannot be asked about only for the latter.
Pods that another Prefect server ordered are left to that server, unless they are past their deadline. What a
reaped pod cost is written down by the caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from callsheet.costs import CostRow, Kind, Outcome
from callsheet.errors import CallsheetError, ProviderError
from callsheet.pricing import Rate
from callsheet.runpod.answers import Pod
from callsheet.runpod.orders import PodOrder
from callsheet.runpod.pods import PREFIX, release
from callsheet.units import Frozen

SLACK_S = 120.0
"""Past its deadline a pod has so long to delete itself."""

UNKNOWN_DEADLINE_S = 24 * 3600.0
"""For a pod that says none: our longest."""


class Deletes(Protocol):
    async def pods(self) -> list[Pod]: ...
    async def create_pod(self, order: PodOrder) -> Pod: ...
    async def delete_pod(self, pod_id: str) -> bool: ...


StillWanted = Callable[[str], Awaitable[str | None]]
"""Flow run id -> None while the run needs its pod, else why not. What it raises means that nobody knows."""


class Reaped(Frozen):
    """A pod that was deleted, or would have been."""

    pod_id: str
    name: str
    reason: str
    rate: Rate
    created: datetime | None
    deleted: bool
    """False in a dry run, and where `problem` says why it is still there."""
    problem: str = ""

    def row(self, now: datetime) -> CostRow:
        """What it cost, for the ledger: nobody knows what it did."""
        began = self.created or now
        seconds = max(0.0, (now - began).total_seconds())
        usd = self.rate.cost(seconds)
        return CostRow(
            kind=Kind.ORPHAN, plane="pod", provider_id=self.pod_id, resource=self.pod_id, gpu=self.rate.gpu,
            usd_per_second=self.rate.usd_per_second, outcome=Outcome.UNKNOWN, started=began, seconds=seconds, usd=usd,
            upper_usd=usd, key=f"flow_run/{flow_run_of(self.name) or self.name}",
        )


def flow_run_of(name: str, prefix: str = PREFIX) -> str | None:
    """The flow run that a pod's name tells; None where it is not one of our names."""
    try:
        return str(UUID(name.removeprefix(prefix))) if name.startswith(prefix) else None
    except ValueError:
        return None


async def reap(
    control: Deletes,
    still_wanted: StillWanted,
    now: datetime | None = None,
    prefix: str = PREFIX,
    dry_run: bool = False,
    *,
    api: str | None = None,
) -> list[Reaped]:
    """Delete what nobody needs; in a dry run only tell.

    `api` is the address of Prefect's API as pods are told it: pods that were told another one are not asked about.
    One pod that cannot be deleted does not keep the others alive. Raises ProviderError when pods cannot be listed.
    """
    moment = now or datetime.now(UTC)
    done = []
    for pod in await control.pods():
        if not pod.name.startswith(prefix) or pod.status == "TERMINATED":
            continue
        reason = await _reason(pod, still_wanted, moment, prefix, api)
        if reason:
            done.append(await _reaped(control, pod, reason, dry_run))
    return done


async def _reason(
    pod: Pod, still_wanted: StillWanted, now: datetime, prefix: str, api: str | None
) -> str | None:
    """Why it may go; None keeps it."""
    deadline_s = _number(pod.env.get("CALLSHEET_POD_DEADLINE_S")) or UNKNOWN_DEADLINE_S
    if pod.created_at is not None and (now - pod.created_at).total_seconds() > deadline_s + SLACK_S:
        return f"it is past its deadline of {deadline_s:g} s"
    theirs = pod.env.get("PREFECT_API_URL")
    if api and theirs and theirs.rstrip("/") != api.rstrip("/"):
        return None
    run = flow_run_of(pod.name, prefix)
    if run is None:
        return None                                   # somebody gave a pod of theirs such a name
    try:
        return await still_wanted(run)
    except (CallsheetError, OSError):
        return None


async def _reaped(control: Deletes, pod: Pod, reason: str, dry_run: bool) -> Reaped:
    deleted, problem = False, ""
    if not dry_run:
        try:
            await release(control, pod.id, patience_s=60.0)
            deleted = True
        except ProviderError as error:
            problem = str(error)
    return Reaped(
        pod_id=pod.id, name=pod.name, reason=reason, rate=pod.rate, created=pod.created_at, deleted=deleted,
        problem=problem,
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
