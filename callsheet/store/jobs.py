"""What paying.py needs from outside: one who submits jobs, and one who keeps the accounts. Contracts, and values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from pydantic import AwareDatetime, Field

from callsheet.costs import Outcome
from callsheet.pricing import Rate
from callsheet.store.journal_entries import Intent
from callsheet.units import Frozen, Sha256

Beat = Callable[[], Awaitable[None]]
"""Awaited at every poll. Renews the owner's lease when it is due; raises Fenced, or Cancelled to stop."""


class JobEnd(Frozen):
    """How a job ended, as far as the provider and its own reply tell."""

    outcome: Outcome
    job_id: str = ""
    seconds: float = Field(default=0.0, ge=0)
    """Paid work, without cold start and idle time."""
    code: str = ""
    message: str = ""
    remedy: str = ""
    retryable: bool = False
    artifacts: dict[str, Sha256] = Field(default_factory=dict)
    started: AwareDatetime | None = None
    """When its work began, where that is known."""
    facts: dict[str, Any] = Field(default_factory=dict)
    """JSON values for the accounts, such as the worker's id and its card."""


class Jobs(Protocol):
    """Submits the jobs of one piece of work and watches them."""

    def worst(self) -> tuple[float, Rate | None, Mapping[str, Any]]:
        """The most that one attempt can cost in USD, the rate, and facts to be kept with the attempt."""

    async def submit(self, key: str, attempt: int) -> str:
        """Hand the attempt to the provider: the job's id.

        Raises AnswerUnknown when it may have been accepted; with any other CallsheetError it surely was not.
        """

    async def wait(self, job_id: str, beat: Beat) -> JobEnd:
        """Watch a job until it ends, awaiting `beat` at every poll; what `beat` raises is passed on.

        Ends as LOST, or JobLost, when the provider knows it no more: its limits must be such that it does not run
        any more then. Raises QueueStuck or JobTimedOut when it was cancelled and surely is no more. Other errors say
        nothing about the job, which may go on.
        """

    async def cancel(self, job_id: str) -> None:
        """Ask the provider to stop a job. One that has ended, or that it does not know, is no error."""


class Accounts(Protocol):
    """Budgets and ledger, as the attempts of one piece of work use them. Called from any thread."""

    def reserve(self, key: str, attempt: int, usd: float) -> None:
        """Before an attempt is submitted. Reserving it twice is once. Raises BudgetExceeded."""

    def settle(self, key: str, intent: Intent, end: JobEnd) -> None:
        """After its job ended or was never made. Called again after a crash: the second time changes nothing."""


class NoAccounts:
    """For work that costs nothing."""

    def reserve(self, key: str, attempt: int, usd: float) -> None:
        """Nothing is limited."""

    def settle(self, key: str, intent: Intent, end: JobEnd) -> None:
        """Nothing is written down."""
