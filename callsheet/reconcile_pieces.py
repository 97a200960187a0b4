"""Rows of the ledger cut at the hours, as the provider's bill is, and laid side by side where a machine did several
things at once. Values only; what they are for is in reconcile.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

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


def split(rows: Iterable[CostRow]) -> Iterator[Piece]:
    """Every row cut at the hours. One without seconds, or with negative ones, stays whole."""
    for row in rows:
        at, left = row.started.astimezone(UTC), row.seconds
        cuts: list[tuple[datetime, float]] = [] if left > 0 else [(at, left)]
        while left > 0:
            until = (hour_of(at) + timedelta(hours=1) - at).total_seconds()
            cuts.append((at, min(left, until)))
            at, left = hour_of(at) + timedelta(hours=1), left - until
        yield from (Piece(row, start, seconds, len(cuts)) for start, seconds in cuts)


def alone(rows: Iterable[CostRow]) -> list[Piece]:
    """As split, with the seconds in which a resource worked at several things shared among them: they are paid once.

    A resource is one machine, or one job on one; jobs of an endpoint run beside each other and are all paid.
    """
    pieces, work = list[Piece](), defaultdict[str, list[Piece]](list)
    for piece in split(rows):
        if piece.kind is Kind.WORK and piece.seconds > 0:
            work[piece.of.resource].append(piece)
        else:
            pieces.append(piece)
    return pieces + [piece for together in work.values() for piece in _shared(together)]


def _shared(work: list[Piece]) -> list[Piece]:
    """A sweep over all beginnings and ends; what goes on between two of them shares that time equally."""
    if len(work) == 1:
        return work
    edges = sorted({at for piece in work for at in (piece.started, _end(piece))})
    seconds = [0.0] * len(work)
    for start, end in pairwise(edges):
        going = [n for n, piece in enumerate(work) if piece.started <= start and end <= _end(piece)]
        for n in going:
            seconds[n] += (end - start).total_seconds() / len(going)
    return [replace(piece, seconds=seconds[n]) for n, piece in enumerate(work)]


def _end(piece: Piece) -> datetime:
    return piece.started + timedelta(seconds=piece.seconds)
