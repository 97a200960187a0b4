"""Slots of concurrency limits that killed runs still hold: free again as soon as nobody can be holding them.

A server takes a killed run's slots back when their lease ends, a minute later, if a server is there to see it. Who
is the first to use a private database need not wait: nobody else works on it, so every slot is a leftover. Not for
a database that was given by address, where others may be at work.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from callsheet.doors.local.postgres import data_folder, first_use
from callsheet.doors.local.server import lease_folder


def drop_leases(home: Path) -> None:
    """Forget the leases that others left. After `database` and before `prefect_server`, for a private database."""
    with _left_over(home) as there:
        if there:
            shutil.rmtree(lease_folder(home), ignore_errors=True)


def free_slots(home: Path) -> None:
    """Free every slot that others left, and settle the matter. Inside `use_server`, before any work starts."""
    with _left_over(home) as there:
        if there:
            _set_to_zero()
            first_use(home).unlink()


@contextlib.contextmanager
def _left_over(home: Path) -> Iterator[bool]:
    """Whether it is still to do. One process at a time: who comes second waits until it is done."""
    if not first_use(home).exists():
        yield False
        return
    with (data_folder(home) / "slots.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield first_use(home).exists()


def _set_to_zero() -> None:
    """Of all limits, the deployments' own included: a killed nightly batch must not keep the next one waiting."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

    page = 200
    with get_client(sync_client=True) as client:
        offset = 0
        while limits := client.read_global_concurrency_limits(limit=page, offset=offset):
            for limit in limits:
                if limit.active_slots:
                    client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(active_slots=0))
            offset += page
