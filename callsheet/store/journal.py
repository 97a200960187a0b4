"""What was submitted to a provider, so that nobody pays for it twice: one log a key of work.

A key is `{stage}/{fingerprint}` or `flow_run/{id}`; its log lies at `journal/{key}/{n}.json`. Each entry is put if
absent as number n+1, so n is a fencing token: an owner whose lease ran out and who was taken over cannot write.
Clocks decide only how soon somebody takes over, never whether it is safe. Covers entries, leases, and the index of
what is open; what to do with an open attempt is in paying.py, and the claim of a worker in attempts.py.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from callsheet.costs import Outcome
from callsheet.errors import Fenced, StoreCorrupt, StoreError
from callsheet.pricing import Rate
from callsheet.store.base import Store
from callsheet.store.claims import is_gone, new_owner
from callsheet.store.journal_entries import ENTRY, Ended, Entry, Intent, Lease, Submitted
from callsheet.store.numbered import NumberedLog

__all__ = ["Ended", "Entry", "Intent", "Journal", "Lease", "State", "Submitted", "Turn"]

LEASE_S = 60.0
OPEN_DAYS = 3
"""How far back open work is looked for. No provider keeps a job that long; older ones are found by their key."""

State = Literal["new", "intent", "submitted", "ended"]


class Journal:
    """The logs of a store. Thread safe; every method asks the store anew."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.time,
        lease_s: float = LEASE_S,
        gone: Callable[[str], bool] = is_gone,
        owner: Callable[[], str] = new_owner,
    ) -> None:
        self.store = store
        self.clock = clock
        """Seconds since the epoch."""
        self.lease_s = lease_s
        self.gone = gone
        """Whether an owner is known to be no more."""
        self.new_owner = owner

    def history(self, key: str, after: int = 0) -> list[Entry]:
        """The entries of a key with numbers above `after`, oldest first."""
        log = self._log(key)
        return [_entry(log, number) for number in range(after + 1, log.newest() + 1)]

    def length(self, key: str) -> int:
        """How many entries a key has."""
        return self._log(key).newest()

    def turn(self, key: str) -> Turn | None:
        """The right to go on with a key, from wherever it is; None while somebody else's lease is live.

        An attempt that was left open is taken over. A key that is new or ended is held by nobody until `intend`.
        """
        log = self._log(key)
        number = log.newest()
        if not number:
            return Turn(self, key, log, 0, None, None)
        entry = _entry(log, number)
        if isinstance(entry, Ended):
            return Turn(self, key, log, number, entry, None)
        if entry.until > self.clock() and not self.gone(entry.owner):
            return None
        intent = entry if isinstance(entry, Intent) else _entry(log, entry.began)
        assert isinstance(intent, Intent), f"{key}: entry {number} names {intent.kind} as its intent"
        turn = Turn(self, key, log, number, entry, intent)
        try:
            turn.renew()
        except Fenced:                                # somebody was quicker
            return None
        return turn

    def open_keys(self, prefix: str = "", days: int = OPEN_DAYS) -> list[str]:
        """Keys whose newest attempt, begun in the last days, has not ended; sorted.

        `prefix` is empty or ends with `/`. Costs a listing a day, and reads for those that seem open.
        """
        today = self._now()
        seen: dict[str, set[str]] = {}
        for back in range(days):
            top = f"opened/{_day(today - timedelta(days=back))}/"
            for name in self.store.names(top + prefix):
                key, _, mark = name.removeprefix(top).rpartition("/")
                seen.setdefault(key, set()).add(mark)
        return sorted(key for key, marks in seen.items() if _unended(marks) and self._is_open(key))

    def _is_open(self, key: str) -> bool:
        log = self._log(key)
        number = log.newest()
        return number > 0 and not isinstance(_entry(log, number), Ended)

    def _log(self, key: str) -> NumberedLog:
        return NumberedLog(self.store, f"journal/{key}/")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)


class Turn:
    """One owner's right to go on with one key. Thread safe. Writing raises Fenced once somebody took over."""

    def __init__(
        self, journal: Journal, key: str, log: NumberedLog, number: int, entry: Entry | None, intent: Intent | None
    ) -> None:
        self.journal = journal
        self.key = key
        self.owner = journal.new_owner()
        self.number = number
        """Of the newest entry that this turn has seen."""
        self.entry = entry
        self.intent = intent
        """What the attempt that is open began with."""
        self._began = getattr(entry, "began", number)
        self._log = log
        self._lock = threading.Lock()

    @property
    def attempt(self) -> int:
        """Number of the newest attempt; 0 when there was none."""
        return self.entry.attempt if self.entry else 0

    @property
    def job_id(self) -> str:
        """Of the newest attempt, empty while it is not known."""
        return getattr(self.entry, "job_id", "")

    @property
    def state(self) -> State:
        if self.entry is None:
            return "new"
        if isinstance(self.entry, Ended):
            return "ended"
        return "submitted" if self.job_id else "intent"

    @property
    def is_open(self) -> bool:
        """Whether an attempt has begun and not ended."""
        return self.state in ("intent", "submitted")

    def intend(self, worst_usd: float, rate: Rate | None, facts: Mapping[str, Any]) -> int:
        """Begin the next attempt, before anything is submitted; its number. Raises Fenced, StoreError."""
        with self._lock:
            now = self.journal._now()
            intent = Intent(
                attempt=self.attempt + 1, owner=self.owner, until=self._until(), at=now, worst_usd=worst_usd,
                rate=rate, facts=dict(facts),
            )
            # The mark comes first: a mark without an attempt is harmless, an attempt without one is not found.
            self._mark(intent, self.number + 1, "")
            written = self._append(intent)
            assert isinstance(written, Intent)
            self.intent, self._began = written, self.number
            return written.attempt

    def submitted(self, job_id: str, rate: Rate | None = None) -> None:
        """Write down the provider's answer, with the price that it told. Raises Fenced, StoreError."""
        with self._lock:
            self._append(Submitted(
                attempt=self.attempt, owner=self.owner, until=self._until(), at=self.journal._now(), job_id=job_id,
                began=self._began, rate=rate,
            ))

    def told_rate(self) -> Rate | None:
        """The price that the provider's answer told, to whomever; None where nobody noted one. Raises StoreError."""
        for number in range(self._began + 1, self.number + 1):
            entry = _entry(self._log, number)
            if isinstance(entry, Submitted) and entry.rate is not None:
                return entry.rate
        return None

    def renew(self) -> bool:
        """Hold it for another lease; False when nothing is open. Raises Fenced, StoreError."""
        return self._lease(self.journal.lease_s)

    def renew_if_due(self) -> bool:
        """Renew when a third of the lease is gone; whether it did. Raises Fenced, StoreError."""
        until = getattr(self.entry, "until", 0.0)
        return until - self.journal.clock() < self.journal.lease_s * 2 / 3 and self.renew()

    def release(self) -> None:
        """Leave the attempt open for whoever comes next, at once. Raises Fenced, StoreError."""
        self._lease(0.0)

    def end(
        self,
        outcome: Outcome,
        *,
        job_id: str = "",
        seconds: float = 0.0,
        artifacts: Mapping[str, str] | None = None,
        code: str = "",
        message: str = "",
        remedy: str = "",
        retryable: bool = False,
    ) -> None:
        """The attempt is over. Raises Fenced, StoreError."""
        with self._lock:
            intent = self.intent
            assert intent is not None and self.is_open, f"{self.key}: only what is open can end"
            self._append(Ended(
                attempt=self.attempt, owner=self.owner, at=self.journal._now(), outcome=outcome,
                job_id=job_id or self.job_id, seconds=seconds, artifacts=dict(artifacts or {}), code=code,
                message=message, remedy=remedy, retryable=retryable, began=self._began,
            ))
            with contextlib.suppress(StoreError):     # without the mark, its log tells that it has ended
                self._mark(intent, self._began, _ENDED)

    def _lease(self, seconds: float) -> bool:
        with self._lock:
            if not self.is_open:
                return False
            self._append(Lease(
                attempt=self.attempt, owner=self.owner, until=self.journal.clock() + seconds, job_id=self.job_id,
                began=self._began,
            ))
            return True

    def _until(self) -> float:
        return self.journal.clock() + self.journal.lease_s

    def _append(self, entry: Entry) -> Entry:
        """Write it as the next entry; what is there now. An earlier entry of ours whose answer was lost is kept."""
        data = entry.model_dump_json(indent=1).encode()
        while not self._log.put(self.number + 1, data):
            theirs = _entry(self._log, self.number + 1)
            if theirs.owner != self.owner:
                raise Fenced(key=self.key)
            self.number += 1
            self.entry = theirs
            if type(theirs) is type(entry) and not isinstance(entry, Lease):
                return theirs
        self.number += 1
        self.entry = entry
        return entry

    def _mark(self, intent: Intent, number: int, suffix: str) -> None:
        self.journal.store.put_if_absent(f"opened/{_day(intent.at)}/{self.key}/{number:06d}{suffix}", b"{}\n")


_ENDED = ".ended"


def _unended(marks: set[str]) -> bool:
    return any(not mark.endswith(_ENDED) and mark + _ENDED not in marks for mark in marks)


def _day(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d")


def _entry(log: NumberedLog, number: int) -> Entry:
    try:
        return ENTRY.validate_python(json.loads(log.read(number)))
    except ValueError as error:
        raise StoreCorrupt(key=log.key(number), url=log.store.url, detail="not a readable entry") from error
