"""Work that is paid once, whoever asks for it and however often a process dies over it.

Before anything is submitted: is the result there? is there a job to wait for? has a worker claimed the attempt?
The journal says who may go on (journal.py), the claim who may render (attempts.py). What is promised: a crash
between a submit and the note of it costs at most one cold start, never a second render. The steps are in payment.py;
how a job is submitted and watched is behind `Jobs`, money behind `Accounts` (jobs.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from callsheet.store.base import Store
from callsheet.store.jobs import Accounts, Beat, JobEnd, Jobs, NoAccounts
from callsheet.store.journal import Journal
from callsheet.store.patience import Call, Pause
from callsheet.store.payment import Payment

__all__ = ["Accounts", "Beat", "JobEnd", "Jobs", "NoAccounts", "adopted", "paid_once"]

CLAIM_WAIT_S = 90.0
"""How long a worker may take to claim a job whose submit was not answered: a cold start, and some queue."""

T = TypeVar("T")


def no_check() -> None:
    """For callers that nobody stops."""


async def paid_once(
    key: str,
    journal: Journal,
    jobs: Jobs,
    found: Callable[[], T | None],
    *,
    store: Store,
    accounts: Accounts | None = None,
    most_attempts: int = 3,
    check: Callable[[], None] = no_check,
    claim_wait_s: float = CLAIM_WAIT_S,
    pause: Pause = asyncio.sleep,
    call: Call = asyncio.to_thread,
) -> T:
    """The result of a key's work: found, adopted or paid for, once.

    `found` looks for the result; `check` raises Cancelled when this run is to stop; `call` runs what asks the store.
    An attempt that fails and may be tried again is, up to `most_attempts` times; what others tried meanwhile counts.
    When this run is cancelled, so is the job. Raises JobFailed, JobTimedOut or JobLost with the number of attempts
    and the last job's id, BudgetExceeded, QueueStuck, StoreError and whatever else refuses a submit.
    """
    payment = Payment(
        key, journal, jobs, found, store, accounts or NoAccounts(), most_attempts, check, claim_wait_s, pause, call
    )
    return await payment.run()


async def adopted(
    key: str,
    journal: Journal,
    jobs: Jobs,
    found: Callable[[], T | None],
    *,
    store: Store,
    accounts: Accounts | None = None,
    check: Callable[[], None] = no_check,
    claim_wait_s: float = CLAIM_WAIT_S,
    pause: Pause = asyncio.sleep,
    call: Call = asyncio.to_thread,
) -> bool:
    """Bring an attempt that somebody left open to its end, and settle it; nothing is submitted.

    For the keys of `Journal.open_keys`. False when its owner lives, or nothing is open. Stopping it stops no job.
    Raises ProviderError, StoreError.
    """
    payment = Payment(key, journal, jobs, found, store, accounts or NoAccounts(), 1, check, claim_wait_s, pause, call)
    return await payment.adopt()
