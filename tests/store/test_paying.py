"""What a person who pays sees: results that are there are used, jobs are waited for, failures say what was tried."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from callsheet.costs import Outcome
from callsheet.errors import (
    AnswerUnknown,
    BudgetExceeded,
    JobFailed,
    JobLost,
    JobTimedOut,
    ProviderBusy,
    ProviderError,
    ProviderUnpaid,
    QueueStuck,
)
from callsheet.store.attempts import close_attempt, holder, take_attempt
from callsheet.store.jobs import JobEnd
from callsheet.store.journal import Intent
from callsheet.store.local import LocalStore
from tests.support.rented import FAILED, KEY, MADE, RATE, Rented


@pytest.fixture
def rented() -> Rented:
    return Rented()


def test_what_is_not_there_is_submitted_once_and_written_down(tmp_path: Path) -> None:
    rented = Rented(LocalStore(tmp_path))
    assert rented.pay() == "job-1"
    assert (rented.submitted, rented.reserved, [end.seconds for end in rented.settled]) == ([1], [0.5], [10])
    assert rented.kinds() == ["intent", "submitted", "ended"]
    assert (rented.last().outcome, rented.last().job_id) == (Outcome.MADE, "job-1")
    assert rented.journal().open_keys() == []


def test_what_is_there_is_not_paid_for(rented: Rented) -> None:
    rented.store.put_if_absent(f"results/{KEY}", b"made before")
    assert rented.pay() == "made before"
    assert rented.submitted == [] and rented.kinds() == []


def test_the_intent_is_written_before_the_submit_and_with_the_worst_case(rented: Rented) -> None:
    def look(job_id: str, attempt: int) -> None:
        entry = rented.journal().history(KEY)[0]
        assert isinstance(entry, Intent)
        assert (entry.worst_usd, entry.rate, entry.facts) == (0.5, RATE, {"endpoint": "e1"})

    rented.on_submit = look
    rented.pay()


def test_a_job_that_somebody_left_is_waited_for(rented: Rented) -> None:
    turn = rented.journal().turn(KEY)
    assert turn is not None
    turn.intend(0.5, RATE, {})
    turn.submitted("left")
    rented.now += 100
    assert rented.pay() == "left"
    assert (rented.submitted, rented.waited) == ([], ["left"])


def test_a_live_owner_is_waited_for(rented: Rented) -> None:
    turn = rented.journal().turn(KEY)
    assert turn is not None
    turn.intend(0.5, RATE, {})

    async def both() -> str:
        waiting = asyncio.ensure_future(rented.paying())
        while len(rented.pauses) < 3:
            await asyncio.sleep(0)
        rented.store.put_if_absent(f"results/{KEY}", b"theirs")
        turn.end(Outcome.MADE)
        return await waiting

    assert asyncio.run(both()) == "theirs"
    assert rented.submitted == []


class SideBySide(Rented):
    """Waits of several askers do not add up: a clock that ran ahead of a slow disk would end the owner's lease."""

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0.001)


def test_ten_who_want_it_at_once_pay_once(tmp_path: Path) -> None:
    rented = SideBySide(LocalStore(tmp_path))

    async def all_of_them() -> list[str]:
        return list(await asyncio.gather(*(rented.paying() for _ in range(10))))

    assert asyncio.run(all_of_them()) == ["job-1"] * 10
    assert rented.submitted == [1]


# ---- lost answers


def test_after_a_lost_answer_the_job_is_known_by_its_claim(rented: Rented) -> None:
    rented.submits = [AnswerUnknown(provider="RunPod", detail="time-out")]
    rented.on_submit = lambda job_id, attempt: (
        None if take_attempt(rented.store, KEY, attempt, job_id, "worker") is None else pytest.fail("taken"))
    assert rented.pay() == "job-1"
    assert rented.submitted == [1]


def test_after_a_lost_answer_and_no_claim_the_attempt_is_closed_before_the_next(rented: Rented) -> None:
    rented.submits = [AnswerUnknown(provider="RunPod", detail="time-out")]
    began = rented.now

    def closed(job_id: str, attempt: int) -> None:
        assert attempt == 1 or holder(rented.store, KEY, 1) == ""

    rented.on_submit = closed
    assert rented.pay(claim_wait_s=90) == "job-2"
    assert rented.submitted == [1, 2]
    assert rented.now - began >= 90, "a cold start is waited for first"
    assert take_attempt(rented.store, KEY, 1, "job-1", "worker") == "", "what was accepted after all does not render"


def test_a_submit_that_comes_back_after_a_takeover_is_cancelled(rented: Rented) -> None:
    def overtaken(job_id: str, attempt: int) -> None:
        if attempt == 1:
            rented.now += 100
            turn = rented.journal().turn(KEY)
            assert turn is not None
            close_attempt(rented.store, KEY, attempt, "other")
            turn.end(Outcome.LOST, retryable=True)

    rented.on_submit = overtaken
    assert rented.pay() == "job-2"
    assert rented.cancelled == ["job-1"]


def test_a_late_submit_whose_job_renders_already_is_left_to_the_new_owner(rented: Rented) -> None:
    def overtaken(job_id: str, attempt: int) -> None:
        take_attempt(rented.store, KEY, attempt, job_id, "worker")
        rented.now += 100
        assert rented.journal().turn(KEY) is not None
        rented.now += 100                             # and the new one dies

    rented.on_submit = overtaken
    assert rented.pay() == "job-1"
    assert (rented.submitted, rented.cancelled) == ([1], [])


# ---- refusals


def test_a_submit_that_is_asked_for_patience_is_tried_again_in_the_same_attempt(rented: Rented) -> None:
    rented.submits = [ProviderBusy(provider="RunPod", detail="429", retry_after_s=7),
                      ProviderError(provider="RunPod", detail="no connection")]
    assert rented.pay() == "job-3"
    assert rented.submitted == [1, 1, 1]
    assert rented.pauses[0] == 7


def test_a_submit_that_is_refused_ends_the_attempt_and_the_next_run_may_try(rented: Rented) -> None:
    rented.submits = [ProviderUnpaid(provider="RunPod", detail="402")]
    with pytest.raises(ProviderUnpaid):
        rented.pay()
    assert (rented.last().outcome, rented.last().code) == (Outcome.CANCELLED, "provider.unpaid")
    assert rented.pay() == "job-2"


def test_a_provider_that_never_answers_ends_the_attempt(rented: Rented) -> None:
    rented.submits = [ProviderError(provider="RunPod", detail="no connection")] * 99
    with pytest.raises(ProviderError, match="no connection"):
        rented.pay()
    assert set(rented.submitted) == {1}
    assert rented.last().outcome is Outcome.CANCELLED


def test_beyond_the_budget_nothing_is_submitted_and_a_larger_one_goes_on(rented: Rented) -> None:
    rented.budget = 0.4
    with pytest.raises(BudgetExceeded):
        rented.pay()
    assert rented.submitted == []
    assert rented.last().code == "budget.exceeded"
    rented.budget = 0.6
    assert rented.pay() == "job-1"


# ---- failures


def test_a_failure_that_may_pass_is_tried_again(rented: Rented) -> None:
    rented.ends = [FAILED, FAILED]
    assert rented.pay() == "job-3"
    assert rented.submitted == [1, 2, 3]
    assert [end.outcome for end in rented.settled] == [Outcome.FAILED, Outcome.FAILED, Outcome.MADE]


def test_enough_failures_say_how_often_it_was_tried_and_the_last_job(rented: Rented) -> None:
    rented.ends = [FAILED] * 9
    with pytest.raises(JobFailed, match="job job-3 failed: out of memory; tried 3 times: a larger card") as caught:
        rented.pay()
    assert caught.value.facts["job_code"] == "engine.failed"
    assert rented.submitted == [1, 2, 3]
    rented.ends = [FAILED, MADE]
    assert rented.pay() == "job-5", "the next run counts anew"


def test_a_failure_that_cannot_pass_is_not_tried_again(rented: Rented) -> None:
    rented.ends = [FAILED.model_copy(update={"retryable": False})]
    with pytest.raises(JobFailed, match="tried once"):
        rented.pay()
    assert rented.submitted == [1]


@pytest.mark.parametrize(("end", "kind"), [
    (JobEnd(outcome=Outcome.TIMED_OUT, seconds=120, message="limit", retryable=True), JobTimedOut),
    (JobTimedOut(job_id="x", seconds=120, detail="limit"), JobTimedOut),
    (JobEnd(outcome=Outcome.LOST, retryable=True), JobLost),
    (JobLost(job_id="x", detail="404"), JobLost),
], ids=["timed out", "timed out, raised", "lost", "lost, raised"])
def test_how_it_ended_is_told_by_the_kind_of_error(rented: Rented, end: JobEnd | Exception, kind: type) -> None:
    rented.ends = [end] * 2
    with pytest.raises(kind, match="job-2 .*tried 2 times"):
        rented.pay(most_attempts=2)


def test_done_without_a_result_is_a_failure(rented: Rented) -> None:
    rented.ends = [JobEnd(outcome=Outcome.MADE, artifacts={"main": "b" * 64})] * 3
    with pytest.raises(JobFailed, match="its result is not in the store; tried once"):
        rented.pay()
    assert (rented.last().outcome, rented.last().artifacts) == (Outcome.FAILED, {})


def test_a_lost_job_whose_result_is_there_has_made_it(rented: Rented) -> None:
    rented.ends = [JobEnd(outcome=Outcome.LOST, retryable=True)]
    rented.on_submit = lambda job_id, attempt: (
        None if rented.store.put_if_absent(f"results/{KEY}", b"late") else pytest.fail("there before"))
    assert rented.pay() == "late"
    assert rented.submitted == [1]


def test_what_others_tried_meanwhile_counts(rented: Rented) -> None:
    turn = rented.journal().turn(KEY)
    assert turn is not None
    turn.intend(0.5, RATE, {})
    turn.submitted("theirs")

    async def both() -> str:
        waiting = asyncio.ensure_future(rented.paying())
        while not rented.pauses:
            await asyncio.sleep(0)
        turn.end(Outcome.FAILED, message="no such LoRA", retryable=False)
        return await waiting

    with pytest.raises(JobFailed, match="job theirs failed: no such LoRA"):
        asyncio.run(both())
    assert rented.submitted == []


def test_a_job_that_was_cancelled_at_the_provider_is_not_begun_again(rented: Rented) -> None:
    rented.ends = [JobEnd(outcome=Outcome.CANCELLED)]
    with pytest.raises(JobFailed, match="cancelled at the provider"):
        rented.pay()
    assert rented.submitted == [1]


def test_a_queue_that_is_stuck_ends_the_attempt(rented: Rented) -> None:
    rented.ends = [QueueStuck(endpoint="e1", detail="max is 0")]
    with pytest.raises(QueueStuck):
        rented.pay()
    assert (rented.last().outcome, rented.last().job_id) == (Outcome.CANCELLED, "job-1")


def test_a_provider_that_is_silent_leaves_the_job_to_the_next_run(rented: Rented) -> None:
    rented.ends = [ProviderError(provider="RunPod", detail="502 for ten minutes")]
    with pytest.raises(ProviderError, match="502"):
        rented.pay()
    assert rented.cancelled == [] and rented.journal().open_keys() == [KEY]
    assert rented.pay() == "job-1", "at once, and without another submit"
    assert rented.submitted == [1]
