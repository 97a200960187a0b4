"""The bill: whole seconds of each machine's life, split at the hour and at a change of price."""

from __future__ import annotations

import math
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.runpod.emulator import billing, buckets
from callsheet.runpod.emulator.rows import Life, Price

HOUR = 1_795_172_400.0
"""A whole hour."""


def life(started: float, ended: float | None, *changes: tuple[float, float]) -> Life:
    prices = [Price(at=started, usd_per_second=0.01), *(Price(at=at, usd_per_second=usd) for at, usd in changes)]
    return Life(id="a-0", plane="pod", provider_id="a", resource="a", gpu="NVIDIA A40", gpus=1, started=started,
                ended=ended, prices=prices)


@pytest.mark.parametrize(("lasted", "paid"), [(0.0, 0), (0.001, 1), (1.0, 1), (1.2, 2), (3600.0, 3600)])
def test_a_life_is_rounded_up_to_whole_seconds_once(lasted: float, paid: int) -> None:
    assert billing.seconds(life(HOUR, HOUR + lasted), now=HOUR + 9e6) == paid


def test_a_machine_that_runs_costs_until_now() -> None:
    assert billing.seconds(life(HOUR, None), now=HOUR + 7.5) == 8


def test_a_second_belongs_to_the_hour_in_which_it_begins() -> None:
    found = billing.charges(life(HOUR - 2.5, HOUR + 2.5), now=HOUR + 9)
    assert [(charge.hour - HOUR / 3600, charge.seconds) for charge in found] == [(-1, 3), (0, 2)]


def test_each_second_has_the_price_at_its_beginning() -> None:
    found = billing.charges(life(HOUR, HOUR + 10, (HOUR + 3.5, 0.02)), now=HOUR + 10)
    assert [(charge.seconds, charge.usd_per_second) for charge in found] == [(4, 0.01), (6, 0.02)]


@pytest.mark.parametrize(("size", "first", "next_"), [
    ("hour", "2026-02-28T23:00", "2026-03-01T00:00"), ("day", "2026-02-28T00:00", "2026-03-01T00:00"),
    ("week", "2026-02-23T00:00", "2026-03-02T00:00"), ("month", "2026-02-01T00:00", "2026-03-01T00:00"),
    ("year", "2026-01-01T00:00", "2027-01-01T00:00"),
])
def test_a_bucket_begins_and_ends_with_the_calendar(size: str, first: str, next_: str) -> None:
    def at(text: str) -> float:
        return datetime.fromisoformat(f"{text}+00:00").timestamp()

    inside = at("2026-02-28T23:59")
    assert (buckets.begin(inside, size), buckets.end(inside, size)) == (at(first), at(next_))
    assert buckets.ending(at(next_), size) == at(next_)
    assert buckets.back(at(next_), size, 1) == at(first)


@given(
    started=st.floats(HOUR - 4000, HOUR + 4000),
    lasted=st.floats(0, 20_000),
    changes=st.lists(st.floats(-100, 25_000), max_size=3).map(sorted),
)
def test_the_hours_of_a_life_add_up_to_its_seconds(started: float, lasted: float, changes: list[float]) -> None:
    one = life(started, started + lasted, *((started + max(0.0, at), 0.02) for at in changes))
    found = billing.charges(one, now=started + lasted)
    assert sum(charge.seconds for charge in found) == billing.seconds(one, now=started + lasted)
    by_hour = {charge.hour: 0 for charge in found}
    for charge in found:
        assert charge.seconds > 0
        by_hour[charge.hour] += charge.seconds
    assert all(seconds <= 3600 for seconds in by_hour.values())
    hours = sorted(by_hour)
    assert hours == list(range(hours[0], hours[-1] + 1)) if hours else lasted < 1e-6
    total = billing.by_hour([one], started + lasted)
    assert math.isclose(sum(total.values()), billing.usd(one, started + lasted), abs_tol=1e-9)
