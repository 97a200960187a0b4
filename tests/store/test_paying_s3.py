"""The same promises on a real S3 server."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from callsheet.errors import BudgetExceeded
from callsheet.store.attempts import close_attempt, take_attempt
from callsheet.store.budgets import Budgets
from callsheet.store.s3 import S3Store
from tests.support.rented import KEY, Rented
from tests.support.s3_server import S3Server

pytestmark = pytest.mark.slow


@pytest.fixture
def store(s3_server: S3Server) -> S3Store:
    return S3Store(s3_server.new_url(), s3_server.shared)


def test_eight_who_want_it_at_once_pay_once(store: S3Store) -> None:
    rented = Rented(store)

    async def all_of_them() -> list[str]:
        return list(await asyncio.gather(*(rented.paying() for _ in range(8))))

    assert asyncio.run(all_of_them()) == ["job-1"] * 8
    assert rented.submitted == [1]
    assert rented.journal().open_keys() == []


def test_a_job_that_was_left_is_found_and_waited_for(store: S3Store) -> None:
    rented = Rented(store)
    turn = rented.journal().turn(KEY)
    assert turn is not None
    turn.intend(0.5, None, {})
    turn.submitted("left")
    assert rented.journal().open_keys("segments/") == [KEY]
    rented.now += 100
    assert rented.pay() == "left"


def test_an_attempt_is_one_jobs(store: S3Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda n: take_attempt(store, KEY, 1, f"job-{n}", "worker"), range(8)))
    assert taken.count(None) == 1
    assert close_attempt(store, KEY, 1, "owner") == f"job-{taken.index(None)}"


def test_a_budget_is_not_overshot(store: S3Store) -> None:
    def reserve(number: int) -> bool:
        try:
            Budgets(store).reserve({"day/x": 1.0}, f"r{number}", 0.3, "a job")
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(reserve, range(8))) == 3
    assert Budgets(store).standing("day/x").promised == pytest.approx(0.9)
