"""A worker of a pool that dies, or stands still, at a point that its test names; its waits are short.

    python -m tests.support.mortal_worker POOL NAME [POINT SIGNAL]
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
from typing import Any

from callsheet.runpod import adoption, attend, job_hire, worker
from callsheet.runpod.books import Books
from callsheet.runpod.client import JobsClient
from callsheet.runpod.control import Control
from callsheet.store.journal import Journal
from tasks import left_runs, renting

POINTS: dict[str, tuple[type, str, bool]] = {
    "before the intent": (Books, "intend", False),
    "after the intent": (Books, "intend", True),
    "before the request": (Control, "create_pod", False),
    "created, not noted": (Control, "create_pod", True),
    "before the submit": (JobsClient, "submit", False),
    "submitted, not noted": (JobsClient, "submit", True),
    "given back, not written down": (Books, "paid", False),
    "written down, not settled": (Books, "settle", False),
    "settled, not closed": (Books, "end", False),
}
"""Point -> the method that is struck, and whether after it."""


def strike(point: str, number: signal.Signals) -> None:
    """This process gets the signal the first time that it reaches the point."""
    owner, name, after = POINTS[point]
    real = getattr(owner, name)
    left = [number]

    def struck() -> None:
        if left:
            os.kill(os.getpid(), left.pop())

    async def wrapped(self: Any, *args: Any, **facts: Any) -> Any:
        if not after:
            struck()
        result = await real(self, *args, **facts)
        if after:
            struck()
        return result

    setattr(owner, name, wrapped)


def hurry() -> None:
    """Waits that are long by design are short here; what they wait for stays."""
    worker.SWEEP_S = float(os.environ.get("MORTAL_SWEEP_S", "1"))
    renting.Journal = functools.partial(
        Journal, lease_s=float(os.environ.get("MORTAL_LEASE_S", "60")))
    adoption.YOUNG_S = left_runs.YOUNG_S = float(os.environ.get("MORTAL_YOUNG_S", "60"))
    attend.CAPACITY_PAUSE_S = 2.0
    job_hire.CLAIM_WAIT_S = float(os.environ.get("MORTAL_CLAIM_S", "90"))


if __name__ == "__main__":
    hurry()
    pool, own_name, *when = sys.argv[1:]
    if when:
        strike(when[0], signal.Signals[when[1]])
    asyncio.run(worker.RunPodWorker(work_pool_name=pool, name=own_name).start())
