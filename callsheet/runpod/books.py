"""One flow run's pages in the store's books: journal, budget of the day, ledger.

Covers which calls are made and in what order they must be safe; the books themselves are the store's. Everything
that asks the store runs in a thread. A store that fails for a while neither stops nor abandons a machine that runs:
only beginning needs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from callsheet.costs import Outcome, Payer
from callsheet.errors import StoreError
from callsheet.pricing import Rate
from callsheet.runpod.life import Life, rows, spent

if TYPE_CHECKING:
    from callsheet.store.budgets import Budgets
    from callsheet.store.journal import Journal, Turn
    from callsheet.store.ledger import Ledger


class Books:
    """Journal, budgets and ledger for one flow run. `turn()` comes first."""

    def __init__(
        self,
        flow_run_id: str,
        journal: Journal,
        budgets: Budgets,
        ledger: Ledger,
        *,
        day_usd: float | None,
        payer: Payer | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """`day_usd`: the day's budget, None for no limit. `facts` are kept with each attempt."""
        self.key = f"flow_run/{flow_run_id}"
        self.payer = payer or Payer()
        self._journal = journal
        self._budgets = budgets
        self._ledger = ledger
        self._day_usd = day_usd
        self._facts = dict(facts or {})
        self._turn: Turn | None = None
        self._told: Rate | None = None
        """By the provider, of the open attempt's machine."""

    # ---- whose run it is

    async def turn(self) -> bool:
        """Take the run's turn; False while somebody else has it. Raises StoreError."""
        self._turn = await asyncio.to_thread(self._journal.turn, self.key)
        if self._turn is not None and self._turn.is_open and self._turn.intent is not None:
            self._facts = {**self._facts, **self._turn.intent.facts}
            self._told = await asyncio.to_thread(self._turn.told_rate)
        return self._turn is not None

    @property
    def open(self) -> bool:
        """Whether an attempt has begun and not ended."""
        return self._held.is_open

    @property
    def job_id(self) -> str:
        """The machine of the open attempt; empty while it is not known."""
        return self._held.job_id if self.open else ""

    @property
    def attempt(self) -> int:
        return self._held.attempt

    @property
    def owner(self) -> str:
        return self._held.owner

    @property
    def facts(self) -> Mapping[str, Any]:
        """Of the open attempt."""
        return self._facts

    @property
    def intended(self) -> datetime:
        """When the open attempt began: before anything was asked of the provider."""
        intent = self._held.intent
        return intent.at if intent is not None else self.now()

    @property
    def rate(self) -> Rate:
        """What the open attempt's machine costs; while that is not known, the dearest that it may be paid at."""
        intent = self._held.intent
        return self._told or (intent.rate if intent is not None else None) or Rate(gpu="", usd_per_second=0.0)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._journal.clock(), UTC)

    # ---- before anything is paid

    async def promise(self, worst_usd: float, what: str) -> None:
        """Reserve the worst case of the whole run in the day's budget. Raises BudgetExceeded, StoreError."""
        scope = str(self._facts.get("scope") or f"day/{self.now():%Y-%m-%d}")
        self._facts["scope"] = scope
        limit = math.inf if self._day_usd is None else self._day_usd
        await asyncio.to_thread(self._budgets.reserve, {scope: limit}, self.key, worst_usd, what)

    async def intend(self, worst_usd: float, rate: Rate, facts: Mapping[str, Any]) -> int:
        """Raises Fenced, StoreError."""
        self._facts |= {**facts, "spent_usd": self._facts.get("spent_usd", 0.0)}
        self._told = None
        return await asyncio.to_thread(self._held.intend, worst_usd, rate, self._facts)

    # ---- while it runs

    async def submitted(self, job_id: str, rate: Rate | None = None) -> None:
        """The open attempt has that machine, at that price where it is known. Raises Fenced, StoreError."""
        if self.job_id != job_id:
            await asyncio.to_thread(self._held.submitted, job_id, rate)
            self._told = rate

    async def beat(self) -> None:
        """Keep the turn. A silent store is no reason to stop; raises Fenced when somebody else took over."""
        with contextlib.suppress(StoreError):
            await asyncio.to_thread(self._held.renew_if_due)

    async def leave(self) -> None:
        """Let the next worker go on at once."""
        if self._turn is not None and self.open:
            with contextlib.suppress(StoreError):
                await asyncio.to_thread(self._turn.release)

    # ---- when it is over

    async def paid(self, life: Life) -> None:
        """Write down what a machine cost. Raises StoreError."""
        self._facts["spent_usd"] = self._facts.get("spent_usd", 0.0) + await asyncio.to_thread(self._record, life)

    async def end(self, outcome: Outcome, message: str = "") -> None:
        """The open attempt is over. Raises Fenced, StoreError."""
        if self.open:
            await asyncio.to_thread(lambda: self._held.end(outcome, message=message))

    async def settle(self) -> None:
        """The run needs no more machines: what was promised and not spent is free again. Raises StoreError."""
        scope = self._facts.get("scope")
        if scope:
            usd = float(self._facts.get("spent_usd", 0.0))
            await asyncio.to_thread(self._budgets.settle, [str(scope)], self.key, usd)

    def _record(self, life: Life) -> float:
        margin = timedelta(days=1)
        until = self.now() + margin
        told = [row for row in self._ledger.rows(life.began - margin, until) if row.resource == life.resource]
        for name, row in rows(life, told).items():
            self._ledger.record(row, name)
        return spent(life, told)

    @property
    def _held(self) -> Turn:
        assert self._turn is not None, "take the turn first"
        return self._turn
