"""What a worker finds that nobody looks after: runs whose worker died, machines of runs that are over.

Pure: from what the journal, the provider and Prefect say to what is to be done. Runs of other pools and of other
Prefect servers are none of our business here; the reaper has them when they are past their deadline.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from callsheet.runpod.answers import Pod
from callsheet.runpod.pods import PREFIX
from callsheet.runpod.reap import flow_run_of

YOUNG_S = 60.0
"""A run that was handed out this lately is on its way through a worker; one that just ended still writes its log."""


class Found(NamedTuple):
    """A run that may be left behind."""

    flow_run_id: UUID
    pods: tuple[str, ...]
    """Ids of those that bear its name and are not over."""
    open: bool
    """Whether its journal has an attempt that has not ended."""


def found(
    pods: Iterable[Pod], open_keys: Iterable[str], unended: Mapping[UUID, datetime], attended: Collection[UUID],
    now: datetime,
) -> list[Found]:
    """Runs that have a machine, an open attempt, or neither although they should have had time to get one.

    `unended`: runs of the pool that Prefect has as pending, running or cancelling, and since when.
    """
    machines: dict[UUID, list[str]] = {}
    for pod in pods:
        run = flow_run_of(pod.name)
        if pod.name.startswith(PREFIX) and run is not None and not pod.over:
            machines.setdefault(UUID(run), []).append(pod.id)
    opened = {UUID(key.removeprefix("flow_run/")) for key in open_keys}
    waiting = {run for run, since in unended.items() if (now - since).total_seconds() >= YOUNG_S}
    return [
        Found(run, tuple(sorted(machines.get(run, ()))), run in opened)
        for run in sorted(machines.keys() | opened | waiting, key=str)
        if run not in attended
    ]


def strays(pod_ids: Collection[str], ours: str) -> list[str]:
    """Second pods of one run, which a lost answer can leave: all but the one that its journal names."""
    return sorted(pod_id for pod_id in pod_ids if pod_id != ours) if ours in pod_ids else []
