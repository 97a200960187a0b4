"""What an endpoint's job cost: its rows in the ledger, and its share of the budgets (store/jobs.py).

A row's estimate is what surely was paid, its upper bound what may have been. Budgets are settled in between, on the
safe side: with the card that is known or the dearest, and the idle time that follows a job.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from callsheet.costs import CostRow, Kind, Outcome, Payer
from callsheet.errors import BudgetExceeded
from callsheet.pricing import COLD_START_S, IDLE_S
from callsheet.store.budgets import Budgets
from callsheet.store.jobs import JobEnd
from callsheet.store.journal_entries import Intent
from callsheet.store.ledger import Ledger
from tasks.spending import judged

_MOMENT = timedelta(milliseconds=1)


class Later(BudgetExceeded):
    """Somebody else was quicker, and what he reserved may turn out cheaper."""


class Books:
    """Budgets and ledger for one recipe's attempts. `limits` are the budgets they count in, `what` for people."""

    def __init__(self, budgets: Budgets, ledger: Ledger, limits: Mapping[str, float], what: str) -> None:
        self.budgets = budgets
        self.ledger = ledger
        self.limits = limits
        self.what = what

    def reserve(self, key: str, attempt: int, usd: float) -> None:
        """Raises BudgetExceeded; Later when it is only promised."""
        try:
            self.budgets.reserve(self.limits, f"{key}/{attempt}", usd, self.what)
        except BudgetExceeded as error:
            raise (Later(**error.facts) if judged(usd, self.what).later else error) from None

    def settle(self, key: str, intent: Intent, end: JobEnd) -> None:
        """The job's row, its worker's cold start where this is the first we see of it, and the budgets' share."""
        longest = math.ceil((datetime.now(UTC) - intent.at).total_seconds())
        if 0 < longest < end.seconds:                  # the provider's clocks are wrong: that long ago it was not there
            end = end.model_copy(update={"seconds": float(longest)})
        spent = 0.0
        if end.job_id:
            cost = _Cost(key, intent, end, max(longest, 0.0))
            self.ledger.record(cost.work(), "work")
            spent = cost.spent()
            cold = cost.cold_start()
            if cold is not None and (self.ledger.record(cold, "cold_start") or self._has(cold)):
                spent += cold.usd
        self.budgets.settle(intent.facts.get("budgets", ()), f"{key}/{intent.attempt}", spent)

    def _has(self, row: CostRow) -> bool:
        """Whether this very row is there: after a crash, a job is settled a second time."""
        return row in self.ledger.rows(row.started, row.started + _MOMENT)


class _Cost:
    """One attempt's job, in money. `since_s` is how long ago it was submitted."""

    def __init__(self, key: str, intent: Intent, end: JobEnd, since_s: float) -> None:
        self._key, self._intent, self._end, self._since_s = key, intent, end, since_s
        rates = {str(gpu): float(usd) for gpu, usd in dict(intent.facts.get("rates", {})).items()}
        self._gpu = str(end.facts.get("gpu", ""))
        self._dear = rates.get(self._gpu, max(rates.values(), default=intent.rate.usd_per_second if intent.rate else 0))
        self._rate = rates.get(self._gpu, min(rates.values(), default=self._dear))
        self._delay_s = float(end.facts.get("delay_s", 0.0))
        self._unknown = end.outcome is Outcome.LOST and not end.seconds
        """Nobody saw how long it was at work, if it was."""

    def work(self) -> CostRow:
        end, intent = self._end, self._intent
        return CostRow(
            kind=Kind.WORK, plane="endpoint", provider_id=str(intent.facts.get("endpoint", "")), resource=end.job_id,
            payer=Payer.model_validate(intent.facts.get("payer", {})), gpu=self._gpu, usd_per_second=self._rate,
            attempt=intent.attempt, outcome=end.outcome, started=self._began(), seconds=end.seconds,
            usd=end.seconds * self._rate, upper_usd=self._upper(), key=self._key,
        )

    def cold_start(self) -> CostRow | None:
        """Of its worker, from placement to the job; None where nobody told when it was placed."""
        placed = self._end.facts.get("worker_started")
        if not placed:
            return None
        born, work = datetime.fromisoformat(str(placed)), self.work()
        seconds = max(0.0, min((work.started - born).total_seconds(), self._delay_s))
        usd = seconds * self._rate
        return work.model_copy(update={
            "kind": Kind.COLD_START, "resource": str(self._end.facts["worker"]), "seconds": seconds, "usd": usd,
            "upper_usd": usd, "outcome": Outcome.UNKNOWN, "attempt": 1, "started": born if seconds else work.started,
            "payer": work.payer.model_copy(update={"stage": "", "label": ""}),
        })

    def spent(self) -> float:
        """What the budgets are settled with."""
        if self._unknown:
            return self._intent.worst_usd
        return (self._end.seconds + IDLE_S) * self._dear if self._end.seconds else 0.0

    def _began(self) -> datetime:
        return self._end.started or self._intent.at + timedelta(seconds=min(self._delay_s, self._since_s))

    def _upper(self) -> float:
        """With a cold start and the idle time after it. While a job waits a worker may start, and crash, all along."""
        if self._unknown:
            return self._intent.worst_usd
        unused = not self._end.seconds and self._end.outcome is Outcome.CANCELLED
        starting_s = max(COLD_START_S, self._since_s if unused else self._delay_s)
        return (self._end.seconds + starting_s + IDLE_S) * self._dear
