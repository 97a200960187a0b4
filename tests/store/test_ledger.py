"""What was paid is written down once, and the bill has the last word."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callsheet.costs import CostRow, Kind, Payer
from callsheet.errors import StoreCorrupt
from callsheet.store.ledger import Ledger
from tests.support.stores import MemoryStore

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = "2026-11-20"


def row(resource: str = "job-1", seconds: float = 10.0, started: datetime = NOON, **facts: Any) -> CostRow:
    return CostRow(
        kind=Kind.WORK, plane="endpoint", provider_id="endpoint-1", resource=resource, payer=Payer(actor="maya"),
        gpu="NVIDIA A40", usd_per_second=0.001, started=started, seconds=seconds, usd=seconds * 0.001, **facts,
    )


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(MemoryStore())


def test_recording_twice_is_one_row_and_the_first_stays(ledger: Ledger) -> None:
    assert ledger.record(row(seconds=10), "attempt-1")
    assert not ledger.record(row(seconds=11), "attempt-1")
    assert [each.seconds for each in ledger.rows()] == [10]


def test_sixteen_who_record_the_same_make_one_row(ledger: Ledger) -> None:
    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(lambda _: ledger.record(row(), "attempt-1"), range(16))) == 1
    assert len(ledger.rows()) == 1


def test_a_row_comes_back_as_it_was(ledger: Ledger) -> None:
    wanted = row(attempt=2, upper_usd=0.5, key="segments/aa")
    ledger.record(wanted, "attempt-2")
    assert Ledger(ledger.store).rows() == [wanted]


def test_rows_come_by_time_and_from_the_time_asked_for(ledger: Ledger) -> None:
    for hours in (30, 0, -30, 1):
        ledger.record(row(started=NOON + timedelta(hours=hours), seconds=hours + 100), f"at-{hours + 50}")
    assert [each.seconds for each in ledger.rows()] == [70, 100, 101, 130]
    assert [each.seconds for each in ledger.rows(since=NOON)] == [100, 101, 130]
    assert [each.seconds for each in ledger.rows(until=NOON)] == [70]
    assert [each.seconds for each in ledger.rows(NOON, NOON + timedelta(hours=1))] == [100]


def test_only_the_days_asked_for_are_listed(ledger: Ledger) -> None:
    ledger.record(row(), "a")
    listed: list[str] = []
    names = ledger.store.names

    def counted(prefix: str) -> list[str]:
        listed.append(prefix)
        return names(prefix)

    ledger.store.names = counted  # type: ignore[method-assign]
    ledger.rows(NOON, NOON + timedelta(hours=13))
    assert listed == [f"ledger/{DAY}/", "ledger/2026-11-21/"]


def test_a_correction_stands_for_the_rows_of_its_resource_and_day(ledger: Ledger) -> None:
    ledger.record(row(seconds=10), "attempt-1")
    ledger.record(row(seconds=20), "attempt-2")
    ledger.record(row("job-2", seconds=5), "attempt-1")
    ledger.record(row(seconds=7, started=NOON + timedelta(days=1)), "attempt-3")
    assert ledger.correct("job-1", DAY, [row(seconds=29, reconciled=True)])
    assert sorted(each.seconds for each in ledger.rows()) == [5, 7, 29]
    assert sorted(each.seconds for each in ledger.estimates()) == [5, 7, 10, 20]


def test_the_newest_correction_wins_and_an_equal_one_is_not_written(ledger: Ledger) -> None:
    assert ledger.correct("job-1", DAY, [row(seconds=1)])
    assert ledger.correct("job-1", DAY, [row(seconds=2), row(seconds=3)])
    assert not ledger.correct("job-1", DAY, [row(seconds=2), row(seconds=3)])
    assert ledger.correct("job-1", DAY, [row(seconds=1)]), "what was said before can be said again"
    assert [each.seconds for each in ledger.rows()] == [1]
    assert len(ledger.store.names("ledger/")) == 3


def test_a_row_that_comes_after_its_correction_waits_for_the_next_one(ledger: Ledger) -> None:
    ledger.correct("job-1", DAY, [row(seconds=1)])
    ledger.record(row(seconds=9), "late")
    assert [each.seconds for each in ledger.rows()] == [1]
    assert [each.seconds for each in ledger.estimates()] == [9]


def test_a_correction_to_nothing_leaves_nothing(ledger: Ledger) -> None:
    ledger.record(row(), "attempt-1")
    assert ledger.correct("job-1", DAY, [])
    assert ledger.rows() == []


def test_corrections_that_race_are_all_kept_and_the_last_one_wins(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: ledger.correct("job-1", DAY, [row(seconds=n)]), range(8)))
    names = ledger.store.names("ledger/")
    assert [name[-11:-5] for name in names] == [f"{n:06d}" for n in range(1, 9)]
    assert len(ledger.rows()) == 1


@pytest.mark.parametrize("other", [row("job-2"), row(started=NOON + timedelta(days=1))], ids=["resource", "day"])
def test_a_correction_is_about_one_resource_and_day(ledger: Ledger, other: CostRow) -> None:
    with pytest.raises(ValueError, match="cannot correct job-1 on 2026-11-20"):
        ledger.correct("job-1", DAY, [other])


def test_names_of_corrections_are_not_for_rows(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="corrections"):
        ledger.record(row(), "reconciled-000001")


def test_a_file_is_read_once(ledger: Ledger) -> None:
    for number in range(5):
        ledger.record(row(), f"attempt-{number}")
    reads: list[str] = []
    read = ledger.store.read

    def counted(key: str) -> bytes:
        reads.append(key)
        return read(key)

    ledger.store.read = counted  # type: ignore[method-assign]
    assert len(ledger.rows()) == len(ledger.rows()) == len(reads) == 5


def test_a_file_that_cannot_be_read_is_named(ledger: Ledger) -> None:
    ledger.store.put_if_absent(f"ledger/{DAY}/job-1/x.json", b"[{}]")
    with pytest.raises(StoreCorrupt, match=r"job-1/x\.json"):
        ledger.rows()
