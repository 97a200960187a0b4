"""What was paid: one file a row, `ledger/{day}/{resource}/{name}.json`, put if absent.

Rows have names that follow from what they are about, so that recording twice is one row. Nothing is changed
afterwards: a correction from the provider's bill lies beside the rows of its resource and day as
`reconciled-{n}.json`, and the newest stands for all of them. How the bill is split up is in reconcile.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import groupby

from pydantic import TypeAdapter

from callsheet.costs import CostRow
from callsheet.errors import StoreCorrupt
from callsheet.store.base import Store

_TOP = "ledger/"
_CORRECTION = "reconciled-"
_READERS = 16
_ROWS: TypeAdapter[tuple[CostRow, ...]] = TypeAdapter(tuple[CostRow, ...])


class Ledger:
    """The rows of a store. Thread safe; a file that was read is not read again by this object."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._read: dict[str, tuple[CostRow, ...]] = {}

    def record(self, row: CostRow, name: str) -> bool:
        """Keep a row under a name that is its own within its resource and day; False when it was there already.

        The first row of that name stays. Raises StoreError.
        """
        if name.startswith(_CORRECTION):
            raise ValueError(f"{name}: names that begin with {_CORRECTION} belong to corrections")
        return self.store.put_if_absent(f"{_folder(row.day, row.resource)}{name}.json", _dump([row]))

    def correct(self, resource: str, day: str, rows: Sequence[CostRow]) -> bool:
        """Let these rows stand for all of a resource and day (UTC, 2026-11-20); False when they did already.

        Raises ValueError for a row of another resource or day, StoreError.
        """
        for row in rows:
            if (row.day, row.resource) != (day, resource):
                raise ValueError(f"a row of {row.resource} on {row.day} cannot correct {resource} on {day}")
        folder = _folder(day, resource)
        while True:
            newest = max(filter(_is_correction, self.store.names(folder)), default="")
            if newest and self._rows_of(newest) == tuple(rows):
                return False
            number = _number(newest) + 1 if newest else 1
            if self.store.put_if_absent(f"{folder}{_CORRECTION}{number:06d}.json", _dump(rows)):
                return True

    def rows(self, since: datetime | None = None, until: datetime | None = None) -> list[CostRow]:
        """Rows that started at or after `since` and before `until`, corrected where the bill is known, by time.

        Raises StoreError.
        """
        return self._between(_in_force(self._names(since, until)), since, until)

    def estimates(self, since: datetime | None = None, until: datetime | None = None) -> list[CostRow]:
        """As `rows`, but as they were recorded, whatever corrected them: what reconciling begins with."""
        return self._between([name for name in self._names(since, until) if not _is_correction(name)], since, until)

    def _between(self, names: Sequence[str], since: datetime | None, until: datetime | None) -> list[CostRow]:
        with ThreadPoolExecutor(_READERS) as readers:
            found = [row for rows in readers.map(self._rows_of, names) for row in rows]
        wanted = [
            row for row in found
            if (since is None or row.started >= since) and (until is None or row.started < until)
        ]
        return sorted(wanted, key=lambda row: (row.started, row.resource, row.kind, row.attempt))

    def _names(self, since: datetime | None, until: datetime | None) -> list[str]:
        if since is None or until is None:
            return self.store.names(_TOP)
        return [name for day in _days(since, until) for name in self.store.names(f"{_TOP}{day}/")]

    def _rows_of(self, name: str) -> tuple[CostRow, ...]:
        if name not in self._read:
            try:
                self._read[name] = _ROWS.validate_python(json.loads(self.store.read(name)))
            except ValueError as error:
                raise StoreCorrupt(key=name, url=self.store.url, detail="not readable rows") from error
        return self._read[name]


def _folder(day: str, resource: str) -> str:
    return f"{_TOP}{day}/{resource}/"


def _in_force(names: Iterable[str]) -> list[str]:
    """Of each resource and day: the newest correction, or else every row."""
    chosen: list[str] = []
    for _, group in groupby(sorted(names), key=lambda name: name.rpartition("/")[0]):
        files = list(group)
        corrections = [name for name in files if _is_correction(name)]
        chosen += [max(corrections)] if corrections else files
    return chosen


def _days(since: datetime, until: datetime) -> Iterator[str]:
    day, last = since.astimezone(UTC).date(), until.astimezone(UTC).date()
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)


def _dump(rows: Sequence[CostRow]) -> bytes:
    return _ROWS.dump_json(tuple(rows), indent=1)


def _is_correction(name: str) -> bool:
    return name.rpartition("/")[2].startswith(_CORRECTION)


def _number(name: str) -> int:
    return int(name[-11:-5])
