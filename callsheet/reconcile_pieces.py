"""Rows of the ledger cut at the hours, as the provider's bill is. Values only; what they are for is in reconcile.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from callsheet.costs import CostRow, Kind


@dataclass(frozen=True)
class Piece:
    """A part of an estimate that lies within one hour."""

    of: CostRow
    started: datetime
    """UTC."""
    seconds: float
    parts: int
    """Of its row, this one counted."""

    @property
    def kind(self) -> Kind:
        return self.of.kind

    @property
    def usd(self) -> float:
        """At the rate of its row; a row without seconds keeps its amount."""
        return self.seconds * self.of.usd_per_second if self.of.seconds else self.of.usd

    @property
    def share(self) -> float:
        """Of its row."""
        return self.seconds / self.of.seconds if self.of.seconds else 1.0

    def row(self, scale: float = 1.0, reconciled: bool = False) -> CostRow:
        """As a row of the ledger, with `scale` times its seconds."""
        usd = self.usd * scale if reconciled else self.of.usd * self.share
        upper = usd if reconciled else self.of.upper_usd * self.share
        return self.of.model_copy(update={
            "started": self.started, "seconds": self.seconds * scale, "usd": usd, "upper_usd": upper,
            "reconciled": reconciled,
        })


def hour_of(at: datetime) -> datetime:
    """The hour's start, UTC."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def placed(rows: Iterable[CostRow]) -> Iterator[tuple[CostRow, datetime]]:
    """Each row with the moment from which its seconds count: work of one resource lies one after the other.

    Things that a machine did at once share its seconds among them, and each row has its share: beside each other from
    their beginnings they would leave the rest of that time empty, and crowd the hour in which they began.
    """
    free: dict[str, datetime] = {}
    for row in sorted(rows, key=lambda row: row.started):
        at = row.started.astimezone(UTC)
        if row.kind is Kind.WORK and row.seconds > 0:
            at = max(at, free.get(row.resource, at))
            free[row.resource] = at + timedelta(seconds=row.seconds)
        yield row, at


def split(rows: Iterable[CostRow]) -> Iterator[Piece]:
    """Every row, as it is placed, cut at the hours. One without seconds, or with negative ones, stays whole."""
    for row, at in placed(rows):
        left = row.seconds
        cuts: list[tuple[datetime, float]] = [] if left > 0 else [(at, left)]
        while left > 0:
            until = (hour_of(at) + timedelta(hours=1) - at).total_seconds()
            cuts.append((at, min(left, until)))
            at, left = hour_of(at) + timedelta(hours=1), left - until
        yield from (Piece(row, start, seconds, len(cuts)) for start, seconds in cuts)
