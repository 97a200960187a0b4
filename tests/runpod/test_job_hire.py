"""A flow run as a job of an endpoint: submitted once, found by its claim, watched, cancelled, paid."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from callsheet.costs import Kind, Outcome
from callsheet.errors import AnswerUnknown, Fenced, ProviderError, QueueStuck
from callsheet.pricing import Rate, card
from callsheet.runpod.attend import Attendance, End
from callsheet.runpod.books import Books
from callsheet.runpod.job_hire import CLAIM_WAIT_S, JobHire
from callsheet.runpod.jobs import JobState, JobStatus
from callsheet.runpod.tending import Phase
from callsheet.runpod.watch import Policy
from callsheet.store.attempts import close_attempt, holder, take_attempt
from callsheet.store.budgets import Budgets
from callsheet.store.journal import Journal
from callsheet.store.ledger import Ledger
from callsheet.store.local import LocalStore
from tests.support.pod_account import FakeDesk, Time

RUN = UUID("0c3a1f5e-8f4a-4d55-9a53-6a4f0a0f0001")
KEY = f"flow_run/{RUN}"


class Queue:
    """An endpoint whose jobs go from state to state when the clock says so."""

    endpoint = "abc123"
    control = None

    def __init__(self, time: Time) -> None:
        self.time = time
        self.jobs: dict[str, JobStatus] = {}
        self.inputs: list[Mapping[str, Any]] = []
        self.policies: list[Policy] = []
        self.cancelled: list[str] = []
        self.lost = self.down = self.silent = False
        self.stuck: QueueStuck | None = None
        self._ids = (f"job{n}" for n in itertools.count(1))

    async def submit(self, input: Mapping[str, Any], policy: Policy) -> str:
        if self.lost and self.down:
            raise AnswerUnknown(provider="RunPod", detail="502")
        self.inputs.append(input)
        self.policies.append(policy)
        job_id = next(self._ids)
        self.jobs[job_id] = JobStatus(id=job_id, state=JobState.IN_QUEUE)
        if self.lost:
            raise AnswerUnknown(provider="RunPod", detail="502")
        return job_id

    async def wait(self, job_id: str, *, on_status: Any, watch: Any) -> JobStatus:
        while True:
            if self.stuck is not None:
                await self.cancel(job_id)
                raise self.stuck
            if not self.silent:
                said = self.jobs[job_id].model_copy()
            on_status(said)                               # the last that was heard, while it is silent
            if said.over:
                return said
            await asyncio.sleep(0)

    async def status(self, job_id: str) -> JobStatus | None:
        return self.jobs[job_id]

    async def cancel(self, job_id: str) -> JobStatus | None:
        if self.down:
            raise ProviderError(provider="RunPod", detail="502")
        self.cancelled.append(job_id)
        self.becomes(job_id, JobState.CANCELLED, execution_s=self.jobs[job_id].execution_s)
        return JobStatus(id=job_id, state=self.jobs[job_id].state)

    def becomes(self, job_id: str, state: JobState, **facts: Any) -> None:
        if not self.jobs[job_id].over:
            self.jobs[job_id] = JobStatus(id=job_id, state=state, **facts)

    def will(self, seconds: float, state: JobState, job_id: str = "job1", **facts: Any) -> None:
        self.time.when(seconds, lambda: self.becomes(job_id, state, **facts))


class Claims:
    def __init__(self, store: LocalStore) -> None:
        self.store = store

    def holder(self, attempt: int) -> str | None:
        return holder(self.store, KEY, attempt)

    def close(self, attempt: int) -> str | None:
        return close_attempt(self.store, KEY, attempt, "me")


class World:
    def __init__(self, folder: Path) -> None:
        self.time = Time()
        self.queue = Queue(self.time)
        self.desk = FakeDesk(self.time)
        self.store = LocalStore(folder)

    def journal(self) -> Journal:
        return Journal(self.store, self.time.epoch, gone=lambda owner: True)

    def attend(self) -> End:
        books = Books(
            str(RUN), self.journal(), Budgets(self.store, self.time.epoch), Ledger(self.store), day_usd=None)
        attendance = Attendance(self.hire(), books, self.desk, "flow run 'x'", clock=self.time, sleep=self.time.sleep)
        return asyncio.run(attendance.run())

    def hire(self) -> JobHire:
        return JobHire(
            self.queue, RUN, {"PREFECT__WORKER_NAME": "w"},  # type: ignore[arg-type]
            (card("A40"), card("L40S")), Claims(self.store), api="https://me:hush@p.example/api", deadline_s=600,
            quiet_s=200, capacity_s=300, cancel_grace_s=8, key=KEY, now=self.time.now, sleep=self.time.sleep)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def works(world: World) -> None:
    world.queue.will(20, JobState.IN_PROGRESS)
    world.desk.will(25, Phase.RUNNING)
    world.desk.will(80, Phase.FINAL, Outcome.MADE)
    world.queue.will(85, JobState.COMPLETED, execution_s=64.2, worker_id="w1")


def test_a_run_is_one_job_with_its_limits_and_one_row(world: World) -> None:
    works(world)
    end = world.attend()
    assert (end.verdict.outcome, end.machine_id, world.desk.became) == (Outcome.MADE, "job1", None)
    (said,), (policy,) = world.queue.inputs, world.queue.policies
    assert said["job_type"] == "flow_run" and said["flow_run_id"] == str(RUN) and said["attempt"] == 1
    assert said["api"] == "https://p.example/api" and set(said["environment"]) == {
        "PREFECT__WORKER_NAME", "CALLSHEET_PAID_RATE"}
    assert policy.execution_s == 600 and policy.ttl_s >= 900
    (row,) = Ledger(world.store).rows()
    assert (row.kind, row.plane, row.provider_id, row.resource) == (Kind.WORK, "endpoint", "abc123", "job1")
    assert row.usd == pytest.approx(64.2 * 0.00034)              # the cheapest card it may have been on
    assert row.upper_usd >= (65 + 65) * 0.00053                  # the dearest, with cold start and idle time
    assert world.journal().open_keys() == []


def test_seconds_in_which_the_provider_was_silent_are_those_that_it_tells_afterwards(world: World) -> None:
    world.queue.will(20, JobState.IN_PROGRESS)
    world.desk.will(25, Phase.RUNNING)
    world.time.when(30, lambda: setattr(world.queue, "silent", True))
    world.queue.will(40, JobState.COMPLETED, execution_s=20.0, worker_id="w1")
    world.desk.will(80, Phase.FINAL, Outcome.MADE)
    world.attend()
    (row,) = Ledger(world.store).rows()
    assert row.seconds == 20.0


def test_seconds_of_which_nobody_tells_count_as_long_as_it_was_seen_at_work(world: World) -> None:
    world.queue.will(20, JobState.IN_PROGRESS)
    world.desk.will(25, Phase.RUNNING)
    world.time.when(30, lambda: setattr(world.queue, "silent", True))
    world.queue.will(40, JobState.COMPLETED, worker_id="w1")
    world.desk.will(80, Phase.FINAL, Outcome.MADE)
    world.attend()
    (row,) = Ledger(world.store).rows()
    assert row.seconds <= 10.0 and row.upper_usd >= 110 * 0.00053


def test_a_job_that_fails_makes_its_run_crashed_with_the_jobs_own_words(world: World) -> None:
    world.queue.will(20, JobState.IN_PROGRESS)
    world.desk.will(25, Phase.RUNNING)
    error = {"code": "x", "message": "no space left", "remedy": "take a larger disk"}
    world.queue.will(50, JobState.FAILED, error=error)
    assert world.attend().verdict.outcome is Outcome.FAILED
    assert world.desk.became is not None
    assert world.desk.became[0] == "crashed" and "no space left: take a larger disk" in world.desk.became[1]


def test_a_queue_that_does_not_move_is_told_with_its_reason(world: World) -> None:
    world.queue.stuck = QueueStuck(endpoint="abc123", detail="its workers crash as they start", remedy="read the log")
    world.attend()
    assert world.desk.became is not None and "crash as they start" in world.desk.became[1]
    assert world.queue.cancelled


@pytest.mark.parametrize(("state", "most_s"), [(JobState.IN_QUEUE, 6), (JobState.IN_PROGRESS, 15)])
def test_cancelling_the_run_cancels_the_job(world: World, state: JobState, most_s: float) -> None:
    if state is JobState.IN_PROGRESS:
        world.queue.will(5, JobState.IN_PROGRESS)
        world.desk.will(6, Phase.RUNNING)
    world.desk.will(40, Phase.CANCELLING)
    world.attend()
    assert world.queue.cancelled == ["job1"]
    assert world.time.seconds <= 40 + most_s
    assert world.desk.became is not None and world.desk.became[0] == "cancelled"


def test_a_job_whose_submit_was_not_answered_is_found_by_its_claim(world: World) -> None:
    world.queue.lost = True
    world.time.when(30, lambda: take_attempt(world.store, KEY, 1, "job1", "w1"))
    works(world)
    assert world.attend().machine_id == "job1"
    assert len(world.queue.inputs) == 1
    assert world.desk.became is None


def test_without_a_claim_the_attempt_is_closed_and_the_run_crashed(world: World) -> None:
    world.queue.lost = world.queue.down = True
    world.attend()
    assert world.time.seconds >= CLAIM_WAIT_S
    assert world.desk.became is not None and world.desk.became[0] == "crashed"
    assert take_attempt(world.store, KEY, 1, "job9", "w9") == "", "a job that comes late must not run"


def test_cancelling_while_a_job_is_looked_for_closes_its_attempt_at_once(world: World) -> None:
    world.queue.lost = world.queue.down = True
    world.desk.will(10, Phase.CANCELLING)
    world.attend()
    assert world.time.seconds < 20
    assert world.desk.became is not None and world.desk.became[0] == "cancelled"
    assert take_attempt(world.store, KEY, 1, "job9", "w9") == ""


def test_a_job_that_another_worker_submitted_is_adopted(world: World) -> None:
    job_id = asyncio.run(world.queue.submit({}, Policy.covering(600, 300)))
    turn = world.journal().turn(KEY)
    assert turn is not None
    turn.intend(0.3, None, {"mode": "serverless", "scope": "day/2026-11-20"})
    turn.submitted(job_id)
    works(world)
    assert world.attend().machine_id == "job1"
    assert len(world.queue.inputs) == 1
    assert world.desk.machines == [("job:abc123/job1", True)]


def test_a_submit_that_surely_never_arrived_is_made_in_another_attempt(world: World) -> None:
    world.queue.lost = world.queue.down = True
    world.time.when(CLAIM_WAIT_S / 2, lambda: setattr(world.queue, "lost", False))
    world.time.when(CLAIM_WAIT_S / 2, lambda: setattr(world.queue, "down", False))
    world.queue.will(CLAIM_WAIT_S + 40, JobState.IN_PROGRESS)
    world.desk.will(CLAIM_WAIT_S + 45, Phase.RUNNING)
    world.desk.will(CLAIM_WAIT_S + 80, Phase.FINAL, Outcome.MADE)
    world.queue.will(CLAIM_WAIT_S + 85, JobState.COMPLETED, execution_s=40.0, worker_id="w1")
    assert world.attend().verdict.outcome is Outcome.MADE
    assert [said["attempt"] for said in world.queue.inputs] == [2]
    assert holder(world.store, KEY, 1) == ""


def test_who_was_taken_over_leaves_its_job_to_the_new_owner(world: World) -> None:
    """Who has adopted it by its claim, or has closed the attempt: then the job ends at once."""
    async def fenced(job_id: str, rate: Rate | None) -> None:
        raise Fenced(key=KEY)

    async def wanted() -> None:
        pass

    with pytest.raises(Fenced):
        asyncio.run(world.hire().order(1, fenced, wanted))
    assert list(world.queue.jobs) == ["job1"] and world.queue.cancelled == []
