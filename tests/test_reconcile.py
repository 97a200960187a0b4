"""Ledger against bill: seconds and money of each hour, whatever the ledger missed."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.costs import CostRow, Kind, Outcome, Payer
from callsheet.reconcile import Seen, billed_seconds, changes, corrections, reconcile
from callsheet.reconcile_pieces import hour_of

TEN = datetime(2026, 11, 20, 10, tzinfo=UTC)
RATE = 0.00034
AVA, LEO = Payer(actor="ava", stage="segments"), Payer(actor="leo", stage="segments")


class Line(NamedTuple):
    provider_id: str
    start: datetime
    end: datetime
    usd: float


def billed(provider_id: str, usd: float, hour: int = 0) -> Line:
    start = TEN + timedelta(hours=hour)
    return Line(provider_id, start, start + timedelta(hours=1), usd)


def row(
    kind: Kind, at_s: float, seconds: float, *, resource: str = "job-1", plane: str = "endpoint", of: str = "ep1",
    payer: Payer = AVA, rate: float = RATE,
) -> CostRow:
    return CostRow(
        kind=kind, plane="pod" if plane == "pod" else "endpoint", provider_id=of, resource=resource, payer=payer,
        gpu="NVIDIA A40", usd_per_second=rate, outcome=Outcome.MADE, started=TEN + timedelta(seconds=at_s),
        seconds=seconds, usd=seconds * rate, upper_usd=seconds * rate * 2,
    )


def pod_row(kind: Kind, at_s: float, seconds: float, payer: Payer = AVA, of: str = "pod1") -> CostRow:
    return row(kind, at_s, seconds, resource=of, plane="pod", of=of, payer=payer)


def totals(rows: list[CostRow]) -> dict[Kind, float]:
    found: dict[Kind, float] = defaultdict(float)
    for one in rows:
        found[one.kind] += one.seconds
    return {kind: round(seconds, 3) for kind, seconds in found.items()}


def test_what_work_leaves_goes_to_cold_starts_as_estimated_and_then_to_idle_time() -> None:
    rows = [row(Kind.WORK, 40, 100), row(Kind.COLD_START, 0, 40, resource="worker-1")]
    out = reconcile(rows, [("endpoint", billed("ep1", 150 * RATE))])
    assert totals(out) == {Kind.WORK: 100, Kind.COLD_START: 40, Kind.IDLE: 10}
    assert sum(one.usd for one in out) == pytest.approx(150 * RATE)
    assert all(one.reconciled for one in out)


def test_a_cold_start_shorter_than_estimated_is_cut_and_idle_time_is_never_negative() -> None:
    rows = [row(Kind.WORK, 40, 100), row(Kind.COLD_START, 0, 60), row(Kind.IDLE, 140, 5)]
    out = reconcile(rows, [("endpoint", billed("ep1", 120 * RATE))])
    assert totals(out) == {Kind.WORK: 100, Kind.COLD_START: 20}


def test_jobs_that_were_each_rounded_up_are_scaled_to_the_bill() -> None:
    rows = [row(Kind.WORK, n, 1, resource=f"job-{n}") for n in range(10)]
    out = reconcile(rows, [("endpoint", billed("ep1", 4 * RATE))])
    assert totals(out) == {Kind.WORK: 4}
    assert len(out) == 10


def test_a_row_over_two_hours_is_cut_at_the_hour_and_each_part_meets_its_own_bill() -> None:
    rows = [row(Kind.WORK, 3500, 200)]
    out = reconcile(rows, [("endpoint", billed("ep1", 100 * RATE)), ("endpoint", billed("ep1", 110 * RATE, hour=1))])
    assert [(one.kind, round(one.seconds), one.started.hour) for one in out] == [
        (Kind.WORK, 100, 10), (Kind.IDLE, 10, 11), (Kind.WORK, 100, 11)]


def test_an_hour_without_a_bill_stays_an_estimate() -> None:
    rows = [row(Kind.WORK, 3500, 200)]
    out = reconcile(rows, [("endpoint", billed("ep1", 100 * RATE))])
    assert [(one.reconciled, round(one.seconds)) for one in out] == [(True, 100), (False, 100)]
    assert sum(one.upper_usd for one in out) == pytest.approx(100 * RATE + 200 * RATE), "half of the estimate's upper"


def test_things_that_a_pod_did_at_once_lie_one_after_the_other() -> None:
    shares = [pod_row(Kind.WORK, 3000, 400, payer) for payer in (AVA, LEO, AVA)]
    out = reconcile([pod_row(Kind.COLD_START, 2970, 30), *shares], [
        ("pod", billed("pod1", 630 * RATE)), ("pod", billed("pod1", 610 * RATE, hour=1))])
    assert totals(out) == {Kind.COLD_START: 30, Kind.WORK: 1200, Kind.IDLE: 10}
    assert not [one for one in out if one.kind is Kind.ADJUSTMENT]


def test_jobs_of_an_endpoint_beside_each_other_are_all_paid() -> None:
    rows = [row(Kind.WORK, 3500, 100), row(Kind.WORK, 3500, 100, resource="job-2")]
    out = reconcile(rows, [("endpoint", billed("ep1", 200 * RATE))])
    assert [(one.resource, one.seconds) for one in out] == [("job-1", 100), ("job-2", 100)]


def test_what_nobody_knows_is_an_orphan_and_its_seconds_come_from_what_was_seen_of_it() -> None:
    seen = [Seen(plane="pod", provider_id="pod9", gpu="NVIDIA L40S", usd_per_second=0.001, started=TEN)]
    out = reconcile([], [("pod", billed("pod9", 0.5)), ("pod", billed("pod8", 0.25))], seen)
    assert [(one.provider_id, one.kind, round(one.seconds), one.usd) for one in out] == [
        ("pod8", Kind.ORPHAN, 0, 0.25), ("pod9", Kind.ORPHAN, 500, 0.5)]
    assert out[0].gpu == "unknown"


def test_the_tail_of_a_pod_that_a_reaper_found_is_an_orphans() -> None:
    rows = [pod_row(Kind.WORK, 0, 100), pod_row(Kind.IDLE, 100, 10), pod_row(Kind.ORPHAN, 110, 50, Payer())]
    out = reconcile(rows, [("pod", billed("pod1", 300 * RATE))])
    assert totals(out) == {Kind.WORK: 100, Kind.IDLE: 10, Kind.ORPHAN: 190}


def test_a_warm_endpoint_without_jobs_is_idle_not_an_orphan() -> None:
    seen = [Seen(plane="endpoint", provider_id="ep1", gpu="NVIDIA A40", usd_per_second=RATE, started=TEN)]
    out = reconcile([], [("endpoint", billed("ep1", 3600 * RATE))], seen)
    assert totals(out) == {Kind.IDLE: 3600}


def test_a_price_change_of_a_pod_whose_life_was_seen_is_money_without_seconds() -> None:
    rows = [pod_row(Kind.COLD_START, 0, 30), pod_row(Kind.WORK, 30, 60)]
    seen = [Seen(plane="pod", provider_id="pod1", gpu="NVIDIA A40", usd_per_second=RATE, started=TEN,
                 ended=TEN + timedelta(seconds=99.2))]
    out = reconcile(rows, [("pod", billed("pod1", 100 * RATE * 1.5))], seen)
    assert totals(out) == {Kind.COLD_START: 30, Kind.WORK: 60, Kind.IDLE: 10, Kind.ADJUSTMENT: 0}
    assert [one.usd for one in out if one.kind is Kind.ADJUSTMENT] == [pytest.approx(50 * RATE)]


def test_a_pod_cannot_exist_longer_than_the_hour_so_the_rest_is_money() -> None:
    out = reconcile([pod_row(Kind.WORK, 0, 600)], [("pod", billed("pod1", 5000 * RATE))])
    assert totals(out) == {Kind.WORK: 600, Kind.IDLE: 3000, Kind.ADJUSTMENT: 0}
    assert sum(one.usd for one in out) == pytest.approx(5000 * RATE)


def test_a_bill_far_below_the_work_is_a_cheaper_price_not_less_work() -> None:
    out = reconcile([row(Kind.WORK, 0, 600)], [("endpoint", billed("ep1", 300 * RATE))])
    assert totals(out) == {Kind.WORK: 600, Kind.ADJUSTMENT: 0}
    assert [one.usd for one in out if one.kind is Kind.ADJUSTMENT] == [pytest.approx(-300 * RATE)]


def test_a_job_that_cost_nothing_keeps_its_row() -> None:
    rows = [row(Kind.WORK, 0, 0, resource="cancelled"), row(Kind.WORK, 0, 10)]
    out = reconcile(rows, [("endpoint", billed("ep1", 10 * RATE))])
    assert {one.resource for one in out} == {"cancelled", "job-1"}


def test_several_lines_of_one_hour_are_one_amount() -> None:
    bill = [("endpoint", billed("ep1", 60 * RATE)), ("endpoint", billed("ep1", RATE))]
    out = reconcile([row(Kind.WORK, 0, 60)], bill)
    assert totals(out) == {Kind.WORK: 60, Kind.IDLE: 1}


def test_only_what_changes_is_written_and_a_later_bill_replaces_an_earlier_one() -> None:
    rows = [row(Kind.WORK, 0, 100)]
    first = reconcile(rows, [("endpoint", billed("ep1", 105 * RATE))])
    assert {(change.resource, change.day) for change in changes(first, rows)} == {
        ("job-1", "2026-11-20"), ("ep1", "2026-11-20")}
    assert changes(first, first) == []
    later = reconcile([*rows, *first], [("endpoint", billed("ep1", 130 * RATE))])
    (change,) = changes(later, first)
    assert change.resource == "ep1"
    assert totals(list(change.rows)) == {Kind.IDLE: 30}
    exact = reconcile(rows, [("endpoint", billed("ep1", 100 * RATE))])
    assert [(one.resource, one.rows) for one in changes(exact, later)] == [("ep1", ())], "no idle time after all"


def test_estimates_that_no_bill_touches_are_not_rewritten() -> None:
    rows = [row(Kind.WORK, 0, 100), row(Kind.WORK, 0, 50, of="ep2", resource="job-2")]
    out = reconcile(rows, [("endpoint", billed("ep1", 100 * RATE))])
    assert [change.resource for change in changes(out, rows)] == ["job-1"]


def test_an_estimate_of_which_no_hour_is_billed_stays_whole() -> None:
    rows = [row(Kind.WORK, 3500, 200)]
    assert reconcile(rows, []) == rows
    assert changes(reconcile(rows, []), rows) == []


@pytest.mark.parametrize("billed_too", [True, False])
def test_what_went_on_over_midnight_is_counted_once(billed_too: bool) -> None:
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    work = row(Kind.WORK, 0, 1200).model_copy(update={"started": midnight - timedelta(seconds=600)})
    early = row(Kind.WORK, 0, 10, resource="job-0")
    bill = [("endpoint", Line("ep1", midnight, midnight + timedelta(hours=1), 600 * RATE))] if billed_too else []
    written = corrections([early, work], [early, work], bill, [], midnight)
    if not billed_too:
        assert written == []
        return
    assert [(change.resource, change.day) for change in written] == [("job-1", "2026-11-20"), ("job-1", "2026-11-21")]
    assert [(one.seconds, one.reconciled) for change in written for one in change.rows] == [(600, False), (600, True)]
    after = [early, *(one for change in written for one in change.rows)]
    assert corrections([early, work], after, bill, [], midnight) == [], "twice is as once"


def test_shares_that_lie_behind_midnight_are_counted_there_once() -> None:
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    work = [pod_row(Kind.WORK, 0, 400, payer).model_copy(update={"started": midnight - timedelta(seconds=500)})
            for payer in (AVA, LEO, Payer(actor="kai"))]
    bill = [("pod", Line("pod1", midnight, midnight + timedelta(hours=1), 700 * RATE))]
    written = corrections(work, work, bill, [], midnight)
    rows = [one for change in written for one in change.rows]
    assert sum(one.seconds for one in rows) == pytest.approx(1200)
    assert sum(one.seconds for one in rows if one.reconciled) == pytest.approx(700)
    assert sorted({one.day for one in rows}) == ["2026-11-20", "2026-11-21"]
    assert corrections(work, rows, bill, [], midnight) == []


# ---- any truth

class Life(NamedTuple):
    """One machine as it really was: seconds after TEN."""

    started: float
    cold: float
    jobs: tuple[float, ...]
    idle: float


LIVES = st.lists(
    st.builds(
        Life, st.floats(0, 7000), st.floats(0, 90), st.lists(st.floats(0.05, 400), max_size=6).map(tuple),
        st.floats(0, 30),
    ),
    min_size=1, max_size=6,
)


def bill_of(lives: list[Life], provider_ids: list[str]) -> dict[tuple[str, datetime], float]:
    """Seconds the provider counts: each life rounded up, cut at the hours."""
    found: dict[tuple[str, datetime], float] = defaultdict(float)
    for life, provider_id in zip(lives, provider_ids, strict=True):
        at = TEN + timedelta(seconds=life.started)
        left = float(math.ceil(life.cold + sum(life.jobs) + life.idle))
        while left > 1e-9:
            until = (hour_of(at) + timedelta(hours=1) - at).total_seconds()
            found[provider_id, hour_of(at)] += min(left, until)
            at, left = hour_of(at) + timedelta(hours=1), left - until
    return dict(found)


def estimates_of(lives: list[Life], provider_ids: list[str], plane: str, missing: frozenset[int]) -> list[CostRow]:
    rows = []
    for n, (life, provider_id) in enumerate(zip(lives, provider_ids, strict=True)):
        at = life.started + life.cold
        for m, seconds in enumerate(life.jobs):
            paid = float(math.ceil(seconds)) if plane == "endpoint" else seconds
            if n not in missing:
                rows.append(row(Kind.WORK, at, paid, resource=provider_id if plane == "pod" else f"job-{n}-{m}",
                                plane=plane, of=provider_id, payer=AVA if m % 2 else LEO))
            at += seconds
    return rows


@pytest.mark.parametrize("plane", ["endpoint", "pod"])
@settings(max_examples=150, deadline=None)
@given(lives=LIVES, missing=st.frozensets(st.integers(0, 5), max_size=3))
def test_seconds_and_money_of_each_hour_equal_the_bill(plane: str, lives: list[Life], missing: frozenset[int]) -> None:
    ids = [f"pod{n}" if plane == "pod" else "ep1" for n in range(len(lives))]
    bill = bill_of(lives, ids)
    rows = estimates_of(lives, ids, plane, missing)
    seen = [Seen(plane=plane, provider_id=who, gpu="NVIDIA A40", usd_per_second=RATE, started=TEN) for who in set(ids)]
    lines = [(plane, Line(who, hour, hour + timedelta(hours=1), seconds * RATE))
             for (who, hour), seconds in bill.items()]
    out = reconcile(rows, lines, seen)

    counted = billed_seconds(one for one in out if one.reconciled)
    money: dict[tuple[str, datetime], float] = defaultdict(float)
    for one in out:
        if one.reconciled:
            money[one.provider_id, hour_of(one.started)] += one.usd
        assert one.seconds >= 0
    for place, seconds in bill.items():
        assert money[place] == pytest.approx(seconds * RATE, abs=1e-9)
        adjusted = sum(one.usd for one in out if one.kind is Kind.ADJUSTMENT
                       and (one.provider_id, hour_of(one.started)) == place)
        # An hour's work may be estimated on the other side of the hour's end: then it is money, not seconds.
        assert counted.get(place, 0.0) + adjusted / RATE == pytest.approx(seconds, abs=1.0)
    assert reconcile([*rows, *out], lines, seen) == out, "twice is as once"
    assert changes(out, out) == []
