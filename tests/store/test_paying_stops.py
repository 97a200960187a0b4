"""Whoever stops stops paying; a store or a process that fails costs no job; what was left is brought to its end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from callsheet.costs import Outcome
from callsheet.errors import Cancelled, QueueStuck, StoreError
from callsheet.store.attempts import holder, take_attempt
from callsheet.store.jobs import Beat, JobEnd
from callsheet.store.paying import adopted
from tests.support.rented import FAILED, KEY, MADE, RATE, Rented
from tests.support.stores import MemoryStore


@pytest.fixture
def rented() -> Rented:
    return Rented()


# ---- stopping


def test_a_cancelled_run_cancels_its_job_and_ends_the_attempt(rented: Rented) -> None:
    rented.beats = 10**6

    async def run() -> None:
        task = asyncio.ensure_future(rented.paying())
        while not rented.waited:
            await asyncio.sleep(0.001)
        rented.ends, rented.beats = [JobEnd(outcome=Outcome.CANCELLED, seconds=4)], 1
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert rented.cancelled == ["job-1"]
    assert (rented.last().outcome, rented.last().seconds) == (Outcome.CANCELLED, 4)
    assert [end.seconds for end in rented.settled] == [4], "what was paid until then is written down"


def test_a_run_that_is_told_to_stop_does_the_same(rented: Rented) -> None:
    rented.beats, rented.ends = 3, [JobEnd(outcome=Outcome.CANCELLED)]

    def check() -> None:
        if rented.waited:
            raise Cancelled(what="segments")

    with pytest.raises(Cancelled):
        rented.pay(check=check)
    assert rented.cancelled == ["job-1"] and rented.last().outcome is Outcome.CANCELLED


def test_who_is_stopped_before_the_submit_pays_nothing(rented: Rented) -> None:
    def check() -> None:
        if rented.reserved:
            raise Cancelled(what="segments")

    with pytest.raises(Cancelled):
        rented.pay(check=check)
    assert rented.submitted == [] and rented.last().outcome is Outcome.CANCELLED


def test_a_run_that_is_cancelled_while_it_submits_lets_no_worker_begin(rented: Rented) -> None:
    class Slow(Rented):
        async def submit(self, key: str, attempt: int) -> str:
            self.submitted.append(attempt)
            await asyncio.Event().wait()
            return ""

    slow = Slow()

    async def run() -> None:
        task = asyncio.ensure_future(slow.paying())
        while not slow.submitted:
            await asyncio.sleep(0.001)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert slow.last().outcome is Outcome.CANCELLED
    assert take_attempt(slow.store, KEY, 1, "job-1", "worker") == ""


def test_a_job_that_cannot_be_cancelled_is_looked_at_by_the_next_run(rented: Rented) -> None:
    rented.beats = 10**6

    def check() -> None:
        if rented.waited:
            raise Cancelled(what="segments")

    with pytest.raises(Cancelled):
        rented.pay(check=check)
    assert rented.cancelled == ["job-1"] and rented.journal().open_keys() == [KEY]
    rented.beats = 1
    assert rented.pay() == "job-1"
    assert rented.submitted == [1]


# ---- stores that fail


class Outage(MemoryStore):
    failing = 0

    def put_if_absent(self, key: str, source: Path | bytes) -> bool:
        if self.failing and key.startswith("journal/"):
            self.failing -= 1
            raise StoreError(url=self.url, detail="503")
        return super().put_if_absent(key, source)


@pytest.mark.parametrize("times", [1, 8])
def test_a_store_that_fails_after_the_submit_does_not_cost_the_job(times: int) -> None:
    store = Outage()
    rented = Rented(store)
    rented.on_submit = lambda job_id, attempt: setattr(store, "failing", times)
    assert rented.pay() == "job-1"
    assert rented.submitted == [1] and rented.last().outcome is Outcome.MADE


def test_a_lease_that_cannot_be_renewed_does_not_end_the_wait() -> None:
    store = Outage()
    rented = Rented(store)
    rented.beats = 40
    wait = rented.wait

    async def waiting(job_id: str, beat: Beat) -> JobEnd:
        store.failing = 20
        return await wait(job_id, beat)

    rented.wait = waiting  # type: ignore[method-assign]
    assert rented.pay() == "job-1"


# ---- adopting


def adopt(rented: Rented) -> bool:
    async def run() -> bool:
        return await adopted(KEY, rented.journal(), rented, rented.found, store=rented.store, accounts=rented,
                             pause=rented.pause)

    return asyncio.run(run())


@pytest.mark.parametrize("end", [MADE, FAILED, JobEnd(outcome=Outcome.CANCELLED), QueueStuck(endpoint="e", detail="")],
                         ids=["made", "failed", "cancelled", "stuck"])
def test_what_was_left_open_is_brought_to_its_end_and_nothing_is_submitted(rented: Rented, end: Any) -> None:
    turn = rented.journal().turn(KEY)
    assert turn is not None
    turn.intend(0.5, RATE, {})
    turn.submitted("left")
    assert not adopt(rented), "its owner lives"
    rented.now += 100
    rented.ends = [end]
    assert adopt(rented)
    assert rented.submitted == [] and len(rented.settled) == 1
    assert rented.journal().open_keys() == []
    assert not adopt(rented), "nothing is open"


def test_an_adopter_closes_an_attempt_that_no_worker_took(rented: Rented) -> None:
    turn = rented.journal().turn(KEY)
    assert turn is not None
    turn.intend(0.5, RATE, {})
    rented.now += 100
    assert adopt(rented)
    assert rented.last().outcome is Outcome.LOST and holder(rented.store, KEY, 1) == ""
