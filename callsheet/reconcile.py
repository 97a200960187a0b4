"""Ledger against bill: what each hour of each pod and endpoint really cost, and what it went into. Values only.

    for change in corrections(estimates, current, bill, seen, since):
        ledger.correct(change.resource, change.day, change.rows)

The provider bills a pod or an endpoint by the hour and names no job, so the seconds behind an amount are its USD over
the rate, or, where a machine's whole life was seen, that life. In each billed hour the seconds go to work first, then
to cold starts as far as they were estimated; the rest was idle time, or an orphan's where the ledger knows nothing of
the machine. Work that is more than the bill has (each job is rounded up by itself) is scaled down to it. What no
seconds explain is an adjustment in money.

Always reckoned from the estimates, never from an earlier correction: doing it twice changes nothing, and a later bill
replaces what an earlier one led to. Rows of hours without a bill stay as they are. Does not read or write anything.
On an endpoint with several cards at once idle time is paid at the mean of the work.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from pydantic import AwareDatetime

from callsheet.costs import CostRow, Kind, Outcome, Payer
from callsheet.pricing import Rate
from callsheet.reconcile_pieces import Piece, hour_of, placed, split
from callsheet.units import Frozen

CLOSE_S = 1.5
"""Seconds that rounding alone explains: the provider's, which rounds a machine's life up, and ours."""
HOUR_S = 3600.0
UNKNOWN_GPU = "unknown"
_NOBODY = Payer()


class Billed(Protocol):
    """One line of the provider's bill; `BillRow` of runpod/control.py is one."""

    @property
    def provider_id(self) -> str:
        """The pod's id, or the endpoint's."""

    @property
    def start(self) -> datetime:
        """Of its hour, aware."""

    @property
    def end(self) -> datetime: ...

    @property
    def usd(self) -> float: ...


class Seen(Frozen):
    """A machine as somebody watched it: where a rate is from, and, for a pod with an end, how long it was paid."""

    plane: str
    """`pod` or `endpoint`."""
    provider_id: str
    gpu: str
    usd_per_second: float
    started: AwareDatetime
    ended: AwareDatetime | None = None
    """None while it lives, or when nobody saw its end: then the bill's amount tells its seconds."""


class Change(NamedTuple):
    """What the ledger is to have for a resource on a day, in place of all it has."""

    resource: str
    day: str
    rows: tuple[CostRow, ...]


def reconcile(
    estimates: Iterable[CostRow], bill: Iterable[tuple[str, Billed]], seen: Iterable[Seen] = ()
) -> list[CostRow]:
    """The rows that stand for the estimates once the bill is known, in order of time.

    `bill` has each line with its plane, `pod` or `endpoint`. In each billed hour of each pod and endpoint the rows'
    USD sum to the bill. An estimate of which no hour was billed comes out as it is.
    """
    rows, watched = defaultdict[str, list[CostRow]](list), defaultdict[str, list[Seen]](list)
    for row in estimates:
        if not row.reconciled:
            rows[row.provider_id].append(row)
    for one in seen:
        watched[one.provider_id].append(one)
    pieces: dict[tuple[str, datetime], list[Piece]] = defaultdict(list)
    for provider_id, own in rows.items():
        for piece in split(own):
            pieces[provider_id, hour_of(piece.started)].append(piece)
    out: list[CostRow] = []
    for (plane, provider_id, start), usd in sorted(_amounts(bill).items()):
        own, seen_of_it = rows.get(provider_id, []), watched.get(provider_id, [])
        hour = _Hour(plane, provider_id, start, usd, pieces.pop((provider_id, start), []), _rates(own, seen_of_it),
                     _lived(start, seen_of_it), bool(own) or any(one.plane == "endpoint" for one in seen_of_it))
        out += hour.rows()
    out += _unbilled([piece for left in pieces.values() for piece in left])
    return sorted(out, key=lambda row: (row.started, row.provider_id, row.resource, row.kind))


def corrections(
    estimates: Sequence[CostRow], current: Sequence[CostRow], bill: Iterable[tuple[str, Billed]],
    seen: Iterable[Seen], since: datetime,
) -> list[Change]:
    """What to write so that the ledger agrees with a bill of everything from `since`, a midnight (UTC), on.

    `estimates` and `current`, the rows that the ledger shows now, also have the day before: what began then and
    went on over midnight is cut there.
    """
    starts = dict(placed(estimates))
    over = {row for row, start in starts.items() if row.started < since < start + timedelta(seconds=row.seconds)}
    after = reconcile(estimates, bill, seen)
    whole = {row for row in after if row.started < since}
    before = [
        row if row in whole or row not in over else _until(row, starts[row], since)
        for row in current if row.started < since
    ]
    return changes([*filter(None, before), *(row for row in after if row.started >= since)], current)


def changes(corrected: Sequence[CostRow], current: Sequence[CostRow]) -> list[Change]:
    """What to write so that the ledger, which shows `current` now, shows `corrected`."""
    after, before = _by_place(corrected), _by_place(current)
    return [
        Change(resource, day, tuple(after.get((resource, day), ())))
        for resource, day in sorted({*after, *before})
        if after.get((resource, day), []) != before.get((resource, day), [])
    ]


def _unbilled(pieces: Sequence[Piece]) -> list[CostRow]:
    """Rows whole where no part of them was billed, else the parts that were not."""
    left: dict[int, list[Piece]] = defaultdict(list)
    for piece in pieces:
        left[id(piece.of)].append(piece)
    return [
        row for parts in left.values()
        for row in ([parts[0].of] if len(parts) == parts[0].parts else [piece.row() for piece in parts])
    ]


def _until(row: CostRow, start: datetime, at: datetime) -> CostRow | None:
    """The part of a row, whose seconds count from `start` on, before a moment."""
    share = (at - start).total_seconds() / row.seconds
    return None if share <= 0 else row.model_copy(update={
        "seconds": row.seconds * share, "usd": row.usd * share, "upper_usd": row.upper_usd * share,
    })


def _by_place(rows: Sequence[CostRow]) -> dict[tuple[str, str], list[CostRow]]:
    found: dict[tuple[str, str], list[CostRow]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.started, row.kind, row.usd)):
        found[row.resource, row.day].append(row)
    return found


def _amounts(bill: Iterable[tuple[str, Billed]]) -> dict[tuple[str, str, datetime], float]:
    """USD of each plane, id and hour; the provider may say an hour in several lines."""
    found: dict[tuple[str, str, datetime], float] = defaultdict(float)
    for plane, line in bill:
        found[plane, line.provider_id, hour_of(line.start)] += line.usd
    return dict(found)


def _rates(rows: Iterable[CostRow], seen: Iterable[Seen]) -> list[Rate]:
    """Every rate known for it, the one that most was done at first."""
    weights: dict[tuple[str, float], float] = defaultdict(float)
    for row in rows:
        if row.usd_per_second > 0:
            weights[row.gpu, row.usd_per_second] += max(row.seconds, 0.0) + 1.0
    for one in seen:
        if one.usd_per_second > 0:
            weights[one.gpu, one.usd_per_second] += 0.5
    return [Rate(gpu=gpu, usd_per_second=usd) for gpu, usd in sorted(weights, key=lambda rate: -weights[rate])]


def _lived(hour: datetime, seen: Iterable[Seen]) -> float | None:
    """Seconds of the hour in which a pod existed; None unless its whole life was seen."""
    for one in seen:
        if one.plane == "pod" and one.ended is not None:
            end = one.started + timedelta(seconds=math.ceil((one.ended - one.started).total_seconds()))
            inside = min(end, hour + timedelta(hours=1)) - max(one.started, hour)
            return max(0.0, inside.total_seconds())
    return None


class _Hour(NamedTuple):
    """One billed hour of one pod or endpoint."""

    plane: str
    provider_id: str
    start: datetime
    usd: float
    pieces: list[Piece]
    rates: list[Rate]
    lived_s: float | None
    ours: bool
    """Whether the ledger knows of it; an endpoint that is watched is ours too."""

    def rows(self) -> list[CostRow]:
        """Rows whose USD sum to the bill's."""
        work = [piece for piece in self.pieces if piece.kind is Kind.WORK and piece.seconds >= 0]
        idle_rate = self._rate(work)
        if idle_rate is None:
            return [self._row(Kind.ORPHAN, Rate(gpu=UNKNOWN_GPU, usd_per_second=0.0), 0.0, self.usd)]
        work_usd = sum(piece.usd for piece in work)
        left_s = (self.usd - work_usd) / idle_rate.usd_per_second
        if self.lived_s is not None and self.lived_s >= sum(piece.seconds for piece in work) - CLOSE_S:
            lived_left = max(0.0, self.lived_s - sum(piece.seconds for piece in work))
            left_s = left_s if abs(left_s - lived_left) <= CLOSE_S else lived_left
        if self.plane == "pod":
            left_s = min(left_s, HOUR_S - sum(piece.seconds for piece in work))       # one machine, one hour
        out = self._work(work, left_s) + (self._rest(left_s, idle_rate) if left_s > 0 else [])
        return self._even(out)

    def _rate(self, work: Sequence[Piece]) -> Rate | None:
        """What a second costs here that no row accounts for: on several cards, the mean of the work."""
        seconds = sum(piece.seconds for piece in work)
        if seconds and len({piece.of.usd_per_second for piece in work}) > 1:
            main = max(work, key=lambda piece: piece.seconds).of
            return Rate(gpu=main.gpu, usd_per_second=sum(piece.usd for piece in work) / seconds)
        if work and work[0].of.usd_per_second > 0:
            return Rate(gpu=work[0].of.gpu, usd_per_second=work[0].of.usd_per_second)
        return self.rates[0] if self.rates else None

    def _work(self, work: Sequence[Piece], left_s: float) -> list[CostRow]:
        """Work as it was measured; scaled to the bill where rounding made it a little more."""
        seconds = sum(piece.seconds for piece in work)
        scale = 1.0
        if 0 > left_s >= -(CLOSE_S + len(work)) and seconds > 0:
            scale = max(0.0, (seconds + left_s) / seconds)
        return [piece.row(scale, reconciled=True) for piece in work]

    def _rest(self, left_s: float, rate: Rate) -> list[CostRow]:
        """What the work leaves: cold starts as far as they were estimated, then idle time, or an orphan's.

        Where somebody found an orphan, idle time is what was estimated as such, and the orphan's all the rest.
        """
        orphan = not self.ours or any(piece.kind is Kind.ORPHAN for piece in self.pieces)
        out: list[CostRow] = []
        for piece in self.pieces:
            taken = piece.kind is Kind.COLD_START or (piece.kind is Kind.IDLE and orphan)
            if taken and left_s > 0 and piece.seconds > 0:
                seconds = min(piece.seconds, left_s)
                out.append(piece.row(seconds / piece.seconds, reconciled=True))
                left_s -= seconds
        if left_s > 0:
            kind = Kind.ORPHAN if orphan else Kind.IDLE
            of = [piece for piece in self.pieces if piece.kind is kind]
            payers = {piece.of.payer for piece in (of or self.pieces)}
            payer = payers.pop() if len(payers) == 1 else _NOBODY
            out.append(self._row(kind, rate, left_s, left_s * rate.usd_per_second, payer, of))
        return out

    def _row(
        self, kind: Kind, rate: Rate, seconds: float, usd: float, payer: Payer = _NOBODY, of: Sequence[Piece] = ()
    ) -> CostRow:
        """A row of the machine's own; like the estimate it stands for, where there is exactly one."""
        like = of[0].of if len({(piece.of.resource, piece.of.outcome, piece.of.key) for piece in of}) == 1 else None
        return CostRow(
            kind=kind, plane="pod" if self.plane == "pod" else "endpoint", provider_id=self.provider_id,
            resource=like.resource if like else self.provider_id, payer=payer, gpu=rate.gpu,
            usd_per_second=rate.usd_per_second, outcome=like.outcome if like else Outcome.UNKNOWN,
            started=self.start, seconds=seconds, usd=usd, upper_usd=usd, key=like.key if like else "",
            reconciled=True,
        )

    def _even(self, rows: list[CostRow]) -> list[CostRow]:
        """With the sum made exact: a hair goes to the largest row, more is an adjustment."""
        over = self.usd - sum(row.usd for row in rows)
        at = max(range(len(rows)), key=lambda n: rows[n].usd, default=None)
        if at is not None and abs(over) <= 1e-9 + 1e-6 * self.usd:
            usd = max(0.0, rows[at].usd + over)
            rows[at] = rows[at].model_copy(update={"usd": usd, "upper_usd": usd})
        elif over:
            rate = self.rates[0]
            rows.append(self._row(Kind.ADJUSTMENT, rate, 0.0, over))
        return rows


def billed_seconds(rows: Iterable[CostRow]) -> Mapping[tuple[str, datetime], float]:
    """Seconds of each pod or endpoint and hour: what is held against the bill."""
    found: dict[tuple[str, datetime], float] = defaultdict(float)
    for row in rows:
        found[row.provider_id, hour_of(row.started.astimezone(UTC))] += row.seconds
    return dict(found)
