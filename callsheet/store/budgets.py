"""What may still be spent: one log a scope, in which the worst case is reserved before anything is submitted.

A scope is a name such as `day/2026-11-20`, `batch/actors` or `order/hello`; its log lies at
`budgets/{scope}/{n}.json`. A reservation is entry n+1, put if absent by somebody who has seen the n before: so two
that race cannot both take the last dollar. Where limits come from, and what is only a warning, is the caller's.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, TypeAdapter

from callsheet.errors import BudgetExceeded, StoreCorrupt
from callsheet.store.base import Store
from callsheet.store.numbered import NumberedLog
from callsheet.units import Frozen

_CENT_DUST = 1e-9
"""USD: sums of floats differ by less."""

Usd = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Reserve(Frozen):
    """So much may be spent under this id."""

    kind: Literal["reserve"] = "reserve"
    schema_version: int = 1
    id: str
    usd: Usd
    at: AwareDatetime
    what: str


class Settle(Frozen):
    """So much was spent under this id; the rest of its reservation is free again."""

    kind: Literal["settle"] = "settle"
    schema_version: int = 1
    id: str
    usd: Usd
    at: AwareDatetime


_ENTRY: TypeAdapter[Reserve | Settle] = TypeAdapter(Annotated[Reserve | Settle, Field(discriminator="kind")])


class Standing(Frozen):
    """How a scope stands, in USD."""

    spent: float
    promised: float
    """Reserved and not settled."""

    @property
    def total(self) -> float:
        return self.spent + self.promised


@dataclass
class _Scope:
    """What was read of a log so far. Entries never change, so each is read once."""

    log: NumberedLog
    number: int = 0
    spent: float = 0.0
    open: dict[str, Reserve] = field(default_factory=dict)
    """By reservation, while it is not settled."""
    settled: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def catch_up(self) -> None:
        while (data := self.log.seek(self.number + 1)) is not None:
            self.take(_entry(self.log, self.number + 1, data))

    def take(self, entry: Reserve | Settle) -> None:
        self.number += 1
        if isinstance(entry, Reserve):
            self.open[entry.id] = entry
            self.settled.discard(entry.id)
        else:
            self.open.pop(entry.id, None)
            self.settled.add(entry.id)
            self.spent += entry.usd

    def append(self, wanted: Callable[[], Reserve | Settle | None]) -> bool:
        """Write what is wanted in view of all entries; False when nothing is. Raises what `wanted` raises."""
        with self.lock:
            while True:
                self.catch_up()
                entry = wanted()
                if entry is None:
                    return False
                if self.log.put(self.number + 1, entry.model_dump_json(indent=1).encode()):
                    self.take(entry)
                    return True

    @property
    def standing(self) -> Standing:
        return Standing(spent=self.spent, promised=sum(entry.usd for entry in self.open.values()))


class Budgets:
    """The scopes of a store. Thread safe; what others wrote is seen by every method."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self.clock = clock
        self._scopes: dict[str, _Scope] = {}
        self._lock = threading.Lock()

    def reserve(self, limits: Mapping[str, float], reservation: str, usd: float, what: str) -> None:
        """Reserve the worst case in every scope (name -> most USD), or in none.

        Reserving once more what is reserved changes nothing. A reservation that was settled can be made again; what
        it cost before stays spent. Raises BudgetExceeded, StoreError.
        """
        made: set[str] = set()
        try:
            for scope in sorted(limits):              # in one order, so that two that race do not block each other
                if self._reserve(scope, limits[scope], reservation, usd, what):
                    made.add(scope)
        except BaseException:
            self.settle(made, reservation, 0.0)
            raise

    def settle(self, scopes: Iterable[str], reservation: str, usd: float) -> None:
        """Say what it cost in the end. Once settled, settling again changes nothing. Raises StoreError."""
        for name in sorted(scopes):
            scope = self._scope(name)

            def wanted(scope: _Scope = scope) -> Settle | None:
                if reservation in scope.settled:
                    return None
                return Settle(id=reservation, usd=usd, at=self._now())

            scope.append(wanted)

    def standing(self, scope: str) -> Standing:
        """Raises StoreError."""
        found = self._scope(scope)
        with found.lock:
            found.catch_up()
            return found.standing

    def promises(self, scope: str) -> dict[str, Reserve]:
        """By reservation, those that are not settled. Raises StoreError."""
        found = self._scope(scope)
        with found.lock:
            found.catch_up()
            return dict(found.open)

    def _reserve(self, name: str, hard: float, reservation: str, usd: float, what: str) -> bool:
        scope = self._scope(name)

        def wanted() -> Reserve | None:
            if reservation in scope.open:
                return None
            spent = scope.standing.total
            if spent + usd > hard + _CENT_DUST:
                raise BudgetExceeded(scope=name, hard=hard, spent=spent, what=what, worst=usd)
            return Reserve(id=reservation, usd=usd, at=self._now(), what=what)

        return scope.append(wanted)

    def _scope(self, name: str) -> _Scope:
        with self._lock:
            return self._scopes.setdefault(name, _Scope(NumberedLog(self.store, f"budgets/{name}/")))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)


def _entry(log: NumberedLog, number: int, data: bytes) -> Reserve | Settle:
    try:
        return _ENTRY.validate_python(json.loads(data))
    except ValueError as error:
        raise StoreCorrupt(key=log.key(number), url=log.store.url, detail="not a readable entry") from error
