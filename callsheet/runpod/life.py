"""What one rented machine cost, from its first to its last second, as rows of the ledger. Pure.

Work that the machine itself wrote down stays as it is; here are the seconds around it: the cold start before, the
idle time between and after. A machine that told of no work has one row for all of its time. Estimate and upper
bound enclose the bill: the estimate has the seconds that surely were paid, the bound those that may have been.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Literal

from pydantic import AwareDatetime, Field

from callsheet.costs import CostRow, Kind, Outcome, Payer
from callsheet.pricing import Rate
from callsheet.units import Frozen


class Life(Frozen):
    """The time of one pod, or of one job on an endpoint's worker."""

    plane: Literal["pod", "endpoint"]
    provider_id: str
    """The pod's id, or the endpoint's."""
    resource: str
    """The pod's id, or the job's."""
    rate: Rate
    began: AwareDatetime
    """From then on it surely was paid."""
    seconds: float = Field(ge=0)
    """That surely were paid."""
    most_s: float = Field(ge=0)
    """That may have been paid."""
    dearest: Rate | None = None
    """What it may have cost a second, where the rate is a guess."""
    outcome: Outcome = Outcome.UNKNOWN
    attempt: int = 1
    key: str = ""
    payer: Payer = Payer()


def rows(life: Life, told: Iterable[CostRow]) -> dict[str, CostRow]:
    """Name within the resource -> row. `told` are the ledger's rows; those of other resources do not matter."""
    work = sorted(
        (row for row in told if row.resource == life.resource and row.kind is Kind.WORK and row.key != life.key),
        key=lambda row: row.started,
    )
    slack = _upper(life) - life.rate.cost(life.seconds)
    if not work:
        return {"machine": _row(life, Kind.WORK, life.began, life.seconds, slack)}
    cold = min(max(0.0, (work[0].started - life.began).total_seconds()), life.seconds)
    idle = max(0.0, life.seconds - cold - sum(row.seconds for row in work))
    after = life.began + timedelta(seconds=cold)
    return {
        "cold-start": _row(life, Kind.COLD_START, life.began, cold, 0.0),
        "idle": _row(life, Kind.IDLE, after, idle, slack),
    }


def spent(life: Life, told: Sequence[CostRow]) -> float:
    """The most that the machine cost, in USD: what its budget is settled with."""
    return max(_upper(life), sum(row.usd for row in told if row.resource == life.resource))


def _upper(life: Life) -> float:
    # The provider bills whole seconds.
    rate = life.dearest or life.rate
    return max(rate.cost(math.ceil(life.most_s) + 1), life.rate.cost(life.seconds))


def _row(life: Life, kind: Kind, started: AwareDatetime, seconds: float, slack_usd: float) -> CostRow:
    usd = life.rate.cost(seconds)
    return CostRow(
        kind=kind, plane=life.plane, provider_id=life.provider_id, resource=life.resource, payer=life.payer,
        gpu=life.rate.gpu, usd_per_second=life.rate.usd_per_second, attempt=life.attempt, outcome=life.outcome,
        started=started, seconds=round(seconds, 3), usd=usd, upper_usd=usd + max(0.0, slack_usd), key=life.key,
    )
