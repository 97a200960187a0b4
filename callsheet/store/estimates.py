"""The ledger's rows as they were recorded, corrections from the bill left out: what reconciling begins with each time.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from pydantic import TypeAdapter

from callsheet.costs import CostRow
from callsheet.errors import StoreCorrupt
from callsheet.store.ledger import Ledger

_READERS = 16
_ROWS: TypeAdapter[tuple[CostRow, ...]] = TypeAdapter(tuple[CostRow, ...])


def estimates(ledger: Ledger, since: datetime, until: datetime) -> list[CostRow]:
    """Rows of every day (UTC) from that of `since` to that of `until`, in order of time. Raises StoreError."""
    days = [(since + timedelta(days=n)).strftime("%Y-%m-%d") for n in range((until.date() - since.date()).days + 1)]
    names = [
        name for day in days for name in ledger.store.names(f"ledger/{day}/")
        if not name.rpartition("/")[2].startswith("reconciled-")
    ]
    with ThreadPoolExecutor(_READERS) as readers:
        found = [row for rows in readers.map(lambda name: _read(ledger, name), names) for row in rows]
    return sorted(found, key=lambda row: (row.started, row.resource, row.kind, row.attempt))


def _read(ledger: Ledger, name: str) -> tuple[CostRow, ...]:
    try:
        return _ROWS.validate_python(json.loads(ledger.store.read(name)))
    except ValueError as error:
        raise StoreCorrupt(key=name, url=ledger.store.url, detail="not readable rows") from error
