"""What reaped machines cost, written down: only what they did not write down themselves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from callsheet.runpod.reap import Reaped
from callsheet.store.ledger import Ledger


def write_down(gone: Iterable[Reaped], ledger: Ledger, now: datetime) -> None:
    """An orphan's row for each pod that was deleted. Raises StoreError."""
    for one in gone:
        if not one.deleted:
            continue
        row = one.row(now)
        known = sum(each.seconds for each in ledger.rows(row.started, now) if each.resource == one.pod_id)
        seconds = max(0.0, row.seconds - known)
        usd = one.rate.cost(seconds)
        ledger.record(row.model_copy(update={"seconds": seconds, "usd": usd, "upper_usd": usd}), "orphan")
