"""Nobody promises a dollar that is not there, however many want it at once."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.errors import BudgetExceeded, StoreCorrupt, StoreError
from callsheet.store.budgets import Budgets, Standing
from tests.support.stores import MemoryStore


@pytest.fixture
def budgets() -> Budgets:
    return Budgets(MemoryStore())


def test_what_is_reserved_is_promised_and_what_is_settled_is_spent(budgets: Budgets) -> None:
    budgets.reserve({"day/x": 1.0}, "a", 0.6, "a segment")
    assert budgets.standing("day/x") == Standing(spent=0, promised=0.6)
    budgets.settle(["day/x"], "a", 0.2)
    assert budgets.standing("day/x") == Standing(spent=0.2, promised=0)
    assert budgets.standing("day/y").total == 0


def test_promises_are_told_by_name_until_they_are_settled(budgets: Budgets) -> None:
    budgets.reserve({"day/x": 1.0}, "a", 0.6, "a segment")
    budgets.reserve({"day/x": 1.0}, "b", 0.1, "a take")
    budgets.settle(["day/x"], "a", 0.2)
    assert {name: entry.usd for name, entry in budgets.promises("day/x").items()} == {"b": 0.1}
    assert budgets.promises("day/y") == {}


def test_more_than_is_left_is_refused_with_the_figures(budgets: Budgets) -> None:
    budgets.reserve({"day/x": 1.0}, "a", 0.6, "a segment")
    words = r"day/x is \$1\.00: \$0\.60 is spent or promised, and b could cost \$0\.50"
    with pytest.raises(BudgetExceeded, match=words):
        budgets.reserve({"day/x": 1.0}, "b", 0.5, "b")
    budgets.settle(["day/x"], "a", 0.5)
    budgets.reserve({"day/x": 1.0}, "b", 0.5, "b")


def test_exactly_what_is_left_can_be_had(budgets: Budgets) -> None:
    for number in range(10):
        budgets.reserve({"day/x": 1.0}, f"r{number}", 0.1, "a tenth")
    with pytest.raises(BudgetExceeded):
        budgets.reserve({"day/x": 1.0}, "more", 0.001, "more")


def test_all_scopes_are_reserved_or_none(budgets: Budgets) -> None:
    with pytest.raises(BudgetExceeded, match="order/o"):
        budgets.reserve({"batch/b": 5.0, "day/x": 5.0, "order/o": 0.5}, "a", 0.6, "a segment")
    assert [budgets.standing(scope).total for scope in ("batch/b", "day/x", "order/o")] == [0, 0, 0]
    budgets.reserve({"batch/b": 5.0, "day/x": 5.0, "order/o": 1.0}, "a", 0.6, "a segment")
    assert [budgets.standing(scope).promised for scope in ("batch/b", "day/x", "order/o")] == [0.6, 0.6, 0.6]


def test_a_refusal_leaves_alone_what_this_id_had_reserved_before(budgets: Budgets) -> None:
    budgets.reserve({"day/x": 1.0}, "a", 0.6, "a segment")
    with pytest.raises(BudgetExceeded):
        budgets.reserve({"day/x": 1.0, "order/o": 0.1}, "a", 0.6, "a segment")
    assert budgets.standing("day/x").promised == 0.6


def test_reserving_and_settling_twice_is_once(budgets: Budgets) -> None:
    for each in (budgets, Budgets(budgets.store)):
        each.reserve({"day/x": 1.0}, "a", 0.6, "a segment")
    for each in (budgets, Budgets(budgets.store)):
        each.settle(["day/x"], "a", 0.3)
    assert Budgets(budgets.store).standing("day/x") == Standing(spent=0.3, promised=0)


def test_what_was_settled_can_be_reserved_again_and_its_cost_stays(budgets: Budgets) -> None:
    budgets.reserve({"day/x": 1.0}, "a", 0.6, "a segment")
    budgets.settle(["day/x"], "a", 0.3)
    budgets.reserve({"day/x": 1.0}, "a", 0.6, "a segment")
    assert budgets.standing("day/x") == Standing(spent=0.3, promised=0.6)


def test_money_that_was_never_reserved_is_spent_all_the_same(budgets: Budgets) -> None:
    budgets.settle(["day/x"], "found later", 0.3)
    assert budgets.standing("day/x").spent == 0.3


def test_a_scope_without_a_limit_is_kept_too(budgets: Budgets) -> None:
    budgets.reserve({"day/x": math.inf}, "a", 1e6, "much")
    assert budgets.standing("day/x").promised == 1e6


def test_a_raised_limit_goes_on_from_there(budgets: Budgets) -> None:
    budgets.reserve({"day/x": 1.0}, "a", 0.9, "a")
    with pytest.raises(BudgetExceeded):
        budgets.reserve({"day/x": 1.0}, "b", 0.9, "b")
    budgets.reserve({"day/x": 2.0}, "b", 0.9, "b")


def test_what_others_reserve_is_seen(budgets: Budgets) -> None:
    other = Budgets(budgets.store)
    assert other.standing("day/x").total == 0
    budgets.reserve({"day/x": 1.0}, "a", 0.9, "a")
    assert other.standing("day/x").promised == 0.9


class Shaky(MemoryStore):
    fails = False

    def put_if_absent(self, key: str, source: Path | bytes) -> bool:
        wrote = super().put_if_absent(key, source)
        if self.fails:
            self.fails = False
            raise StoreError(url=self.url, detail="503")
        return wrote


def test_a_lost_answer_does_not_promise_twice() -> None:
    store = Shaky()
    budgets = Budgets(store)
    store.fails = True
    with pytest.raises(StoreError):
        budgets.reserve({"day/x": 1.0}, "a", 0.6, "a")
    budgets.reserve({"day/x": 1.0}, "a", 0.6, "a")
    assert budgets.standing("day/x").promised == 0.6


def test_an_entry_that_cannot_be_read_is_named(budgets: Budgets) -> None:
    budgets.store.put_if_absent("budgets/day/x/000001.json", b"{}")
    with pytest.raises(StoreCorrupt, match="budgets/day/x/000001"):
        budgets.standing("day/x")


@settings(max_examples=40, deadline=None)
@given(
    amounts=st.lists(st.floats(0.01, 1.0), min_size=2, max_size=24),
    hard=st.floats(0.1, 6.0),
    narrow=st.floats(0.1, 6.0),
    shared=st.booleans(),
)
def test_however_many_race_no_scope_is_ever_overshot(
    amounts: list[float], hard: float, narrow: float, shared: bool
) -> None:
    store = MemoryStore()
    common = Budgets(store)
    limits = {"day/x": hard, "batch/b": narrow}

    def reserve(number: int) -> float:
        budgets = common if shared else Budgets(store)
        try:
            budgets.reserve(limits, f"r{number}", amounts[number], "a job")
        except BudgetExceeded:
            return 0.0
        if number % 3 == 0:
            budgets.settle(limits, f"r{number}", amounts[number] / 2)
            return amounts[number] / 2
        return amounts[number]

    with ThreadPoolExecutor(8) as threads:
        got = sum(threads.map(reserve, range(len(amounts))))
    assert got <= min(hard, narrow) + 1e-6
    for scope in limits:
        assert Budgets(store).standing(scope).total == pytest.approx(got)
