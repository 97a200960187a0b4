"""The ledger's rows: every second that was paid, for whom, and what came of it. Values only.

Covers what a row is and how rows add up. They are kept by store/ledger.py, printed by doors/costs.py.
"""

from __future__ import annotations

from datetime import UTC
from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field

from callsheet.units import Frozen


class Kind(StrEnum):
    """What paid seconds went into."""

    WORK = "work"
    COLD_START = "cold_start"
    IDLE = "idle"
    ORPHAN = "orphan"
    """Paid, and nobody here asked for it or knows what it did."""
    ADJUSTMENT = "adjustment"
    """A difference in money, not in seconds: the price changed, or a fee was added."""


class Outcome(StrEnum):
    MADE = "made"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    DUPLICATE = "duplicate"
    """Found its work claimed or made already, and ended at once."""
    UNKNOWN = "unknown"


class Payer(Frozen):
    """Who it was for. Passed along with work, so that each row can say it."""

    run: str = ""
    """What people call the run: a batch's or a film's title."""
    order: str = ""
    """The order's job id."""
    actor: str = ""
    stage: str = ""
    label: str = ""
    budgets: tuple[str, ...] = ()
    """Scopes whose budgets it counts in, such as `batch/actors-2026-11-20`."""


class CostRow(Frozen):
    """Seconds of one machine that were paid."""

    kind: Kind
    plane: Literal["pod", "endpoint"]
    provider_id: str
    """What the provider's bill names: the pod's id, or the endpoint's."""
    resource: str
    """The job's or pod's id; for an endpoint's cold starts and idle time the worker's."""
    payer: Payer = Payer()
    gpu: str
    gpus: int = 1
    usd_per_second: float = Field(ge=0)
    """Of the whole machine, as known when it was submitted."""
    attempt: int = 1
    outcome: Outcome = Outcome.UNKNOWN
    started: AwareDatetime
    seconds: float
    """Paid seconds; may be negative in a correction."""
    usd: float
    upper_usd: float = 0.0
    """The most it can have cost, until it is reconciled: with its cold start and idle time."""
    key: str = ""
    """The journal's key of the work: `stage/fingerprint`, or `flow_run/id`."""
    reconciled: bool = False
    """Whether the amount was taken from the bill."""

    @property
    def day(self) -> str:
        """UTC, as 2026-11-20."""
        return self.started.astimezone(UTC).strftime("%Y-%m-%d")
