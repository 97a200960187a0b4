"""What reaped machines cost, written down: only what they did not write down themselves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from callsheet.runpod.reap import Reaped
from callsheet.store.ledger import Ledger


def write_down(gone: Iterable[Reaped], ledger: Ledger, now: datetime) -> None:
    """An orphan's row for each pod that was deleted, at `now` or later. Raises StoreError."""
    for one in gone:
        if not one.deleted:
            continue
        row = one.row(now)
        known = sum(each.seconds for each in ledger.rows(row.started, now) if each.resource == one.pod_id)
        seconds = max(0.0, row.seconds - known)
        usd = one.rate.cost(seconds)
        most_s = max(row.seconds, (datetime.now(UTC) - row.started).total_seconds()) - known
        upper_usd = max(usd, one.rate.cost(math.ceil(most_s) + 1))      # the provider bills whole seconds
        ledger.record(row.model_copy(update={"seconds": seconds, "usd": usd, "upper_usd": upper_usd}), "orphan")
