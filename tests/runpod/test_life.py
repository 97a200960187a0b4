"""Rows of a machine's life: nothing twice, nothing negative, and the bill between estimate and bound."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.costs import CostRow, Kind
from callsheet.pricing import Rate
from callsheet.runpod.life import Life, rows
from tests.support.pod_account import NOON

RATE = Rate(gpu="NVIDIA A40", usd_per_second=0.001)


def life(seconds: float = 100.0, most_s: float = 103.0, **more: Any) -> Life:
    return Life(
        plane="pod", provider_id="p", resource="p", rate=RATE, began=NOON, seconds=seconds, most_s=most_s,
        key="flow_run/x", **more)


def worked(at: float, seconds: float, resource: str = "p") -> CostRow:
    return CostRow(
        kind=Kind.WORK, plane="pod", provider_id=resource, resource=resource, gpu=RATE.gpu, usd_per_second=0.001,
        started=NOON + timedelta(seconds=at), seconds=seconds, usd=seconds * 0.001, upper_usd=seconds * 0.001,
        key="poster/abc")


def test_work_of_other_machines_is_not_its_work() -> None:
    assert list(rows(life(), [worked(10, 5, "other")])) == ["machine"]


def test_seconds_are_cold_start_work_and_idle() -> None:
    found = rows(life(), [worked(40, 20), worked(70, 10)])
    assert {name: row.seconds for name, row in found.items()} == {"cold-start": 40, "idle": 30}


def test_writing_it_down_twice_tells_the_same() -> None:
    once = rows(life(), [])
    assert rows(life(), list(once.values())) == once


@given(
    seconds=st.floats(0, 5000), slack=st.floats(0, 30),
    work=st.lists(st.tuples(st.floats(-10, 6000), st.floats(0, 400)), max_size=6),
    dearest=st.one_of(st.none(), st.floats(0.001, 0.004)),
)
def test_no_row_is_negative_and_the_bound_holds_the_bill(
    seconds: float, slack: float, work: list[tuple[float, float]], dearest: float | None
) -> None:
    told = [worked(at, length) for at, length in work]
    rate = None if dearest is None else Rate(gpu="", usd_per_second=dearest)
    found = list(rows(life(seconds, seconds + slack, dearest=rate), told).values())
    assert all(row.seconds >= 0 and row.usd >= 0 and row.upper_usd >= row.usd for row in found)
    bill = (seconds + slack) * (dearest or RATE.usd_per_second)
    upper = sum(row.upper_usd for row in found) + sum(row.upper_usd for row in told)
    assert upper >= bill * 0.999999 or upper == pytest.approx(bill)
    if sum(length for _, length in work) == 0:
        assert sum(row.usd for row in found) <= bill + 1e-5
