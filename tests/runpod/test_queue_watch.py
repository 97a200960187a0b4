from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from callsheet.errors import QueueStuck
from callsheet.runpod.client import JobsClient, JobState, JobStatus, Watch
from callsheet.runpod.control import Control
from callsheet.runpod.watch import Diagnosis, Verdict, Workforce, diagnose
from tests.support.scripted_api import Clock, Paths, api_of, ok

WATCH = Watch(patience_s=60, starting_s=600, silence_s=600)


@pytest.mark.parametrize(("force", "verdict", "words"), [
    (Workforce(most=0), Verdict.ASLEEP, "maximum is 0"),
    (Workforce(most=0, idle=1), Verdict.ASLEEP, "maximum is 0"),
    (Workforce(most=3), Verdict.CAPACITY, "no GPU of its pools is free"),
    (Workforce(most=3, throttled=2), Verdict.CAPACITY, "2 throttled"),
    (Workforce(), Verdict.CAPACITY, "or its maximum is 0"),
    (Workforce(throttled=1), Verdict.CAPACITY, "no GPU of its pools is free, "),
    (Workforce(most=3, unhealthy=2), Verdict.CRASHING, "crash as they start"),
    (Workforce(most=3, unhealthy=1, throttled=1), Verdict.CRASHING, "crash as they start"),
    (Workforce(most=3, unhealthy=1, initializing=1), Verdict.STARTING, "crash as they start"),
    (Workforce(most=3, initializing=1), Verdict.STARTING, "still starting"),
    (Workforce(most=3, initializing=1, throttled=2), Verdict.STARTING, "still starting"),
    (Workforce(most=3, running=1, unhealthy=2), Verdict.BUSY, "at other jobs"),
    (Workforce(most=3, idle=1), Verdict.IDLE, "takes nothing"),
    (None, Verdict.UNREADABLE, "could not be read"),
])
def test_each_workforce_has_one_diagnosis_with_counts_and_a_remedy(
    force: Workforce | None, verdict: Verdict, words: str
) -> None:
    found = diagnose(force, 61.2)
    assert found.verdict is verdict
    assert words in found.detail
    assert "61 s in the queue" in found.detail
    assert found.remedy


def test_only_what_waiting_cannot_help_is_hopeless() -> None:
    hopeless = {verdict for verdict in Verdict if Diagnosis(verdict, "", "").hopeless}
    assert hopeless == {Verdict.ASLEEP, Verdict.CRASHING, Verdict.CAPACITY}


def test_a_crash_that_was_seen_before_is_remembered_while_the_worker_starts_again() -> None:
    again = Workforce(most=3, initializing=1)
    assert "crash" in diagnose(again, 600, crashed_before=True).detail
    assert diagnose(Workforce(most=3), 600, crashed_before=True).verdict is Verdict.CRASHING


# ---- a wait notices

def endpoint(most: int) -> httpx.Response:
    return ok({"id": "ep1", "workers": {"min": 0, "max": most}})


def job(state: str) -> httpx.Response:
    return ok({"id": "j1", "status": state})


class Queue(Paths):
    """A job in a queue, and what both planes tell of the workers."""

    def __init__(self, *states: str, most: int = 3, taken_after: int | None = None, **more: Any) -> None:
        super().__init__(**{
            "workers": ok({"workers": [{"id": str(n), "status": state} for n, state in enumerate(states)]}),
            "serverless": endpoint(most), "cancel": job("CANCELLED"), "status": self._status, **more})
        self.taken_after = taken_after

    def _status(self, _: httpx.Request) -> httpx.Response:
        if "POST /v2/ep1/cancel/j1" in self.lines:
            return job("CANCELLED")
        looks = sum("/status/" in line for line in self.lines)
        return job("COMPLETED" if self.taken_after and looks > self.taken_after else "IN_QUEUE")


def wait(queue: Queue, clock: Clock | None = None, watch: Watch = WATCH, control: bool = True) -> JobStatus:
    async def run() -> JobStatus:
        clock_ = clock or Clock()
        plane = Control(api_of(queue, clock_)) if control else None
        return await JobsClient(api_of(queue, clock_, "https://a.example/v2"), "ep1", plane).wait("j1", watch=watch)

    return asyncio.run(run())


@pytest.mark.parametrize(("queue", "verdict", "words"), [
    (Queue("UNHEALTHY", "UNHEALTHY"), Verdict.CRASHING, "crash as they start"),
    (Queue("THROTTLED"), Verdict.CAPACITY, "CALLSHEET_RUNPOD_GPUS"),
    (Queue(), Verdict.CAPACITY, "no GPU of its pools is free"),
    (Queue(most=0), Verdict.ASLEEP, "callsheet runpod up"),
], ids=["crash loop", "throttled", "none", "asleep"])
def test_a_queue_that_cannot_move_is_given_up_after_the_patience_with_its_reason(
    queue: Queue, verdict: Verdict, words: str
) -> None:
    clock = Clock()
    with pytest.raises(QueueStuck, match=words) as caught:
        wait(queue, clock)
    assert 60 <= clock.now - 1000 < 70
    assert caught.value.facts["verdict"] == verdict.value
    assert caught.value.facts["job_id"] == "j1"
    assert queue.lines.count("POST /v2/ep1/cancel/j1") == 1
    assert "ep1" in str(caught.value)


def test_before_the_patience_is_over_no_worker_is_looked_at() -> None:
    queue = Queue(taken_after=20)
    assert wait(queue).state is JobState.COMPLETED
    assert all("/status/" in line for line in queue.lines)


def test_a_worker_that_starts_is_waited_for_until_the_second_limit() -> None:
    assert wait(Queue("INITIALIZING", taken_after=150)).state is JobState.COMPLETED
    clock = Clock()
    with pytest.raises(QueueStuck, match="still starting"):
        wait(Queue("INITIALIZING"), clock)
    assert 600 <= clock.now - 1000 < 670


def test_a_worker_that_crashes_and_starts_in_turn_is_called_a_crash_loop() -> None:
    crash = ok({"workers": [{"id": "w", "status": "UNHEALTHY"}, {"id": "x", "status": "INITIALIZING"}]})
    start = ok({"workers": [{"id": "w", "status": "INITIALIZING"}]})
    with pytest.raises(QueueStuck, match="crash as they start"):
        wait(Queue(workers=[crash, start]))


def test_a_queue_behind_other_jobs_is_waited_for_however_long() -> None:
    clock = Clock()
    assert wait(Queue("RUNNING", "THROTTLED", taken_after=1000), clock).state is JobState.COMPLETED
    assert clock.now - 1000 > WATCH.starting_s


def test_without_the_control_plane_the_health_tells() -> None:
    health = ok({"jobs": {}, "workers": {"unhealthy": 2}})
    for queue, control in ((Queue(health=health), False), (Queue(health=health, workers=ok({}, 403)), True)):
        with pytest.raises(QueueStuck, match="crash as they start"):
            wait(queue, control=control)


def test_when_neither_plane_tells_the_job_is_waited_for_until_the_second_limit() -> None:
    clock = Clock()
    with pytest.raises(QueueStuck, match="could not be read"):
        wait(Queue(health=ok({}, 403), workers=ok({}, 403)), clock)
    assert clock.now - 1000 >= 600


def test_a_job_that_is_taken_while_the_workers_are_read_is_not_cancelled() -> None:
    queue = Queue("THROTTLED")

    def status(_: httpx.Request) -> httpx.Response:
        if sum("/workers" in line for line in queue.lines) == 0:
            return job("IN_QUEUE")
        return job("IN_PROGRESS" if sum("/status/" in line for line in queue.lines) < 60 else "COMPLETED")

    queue.by_word["status"] = [status]
    assert wait(queue).state is JobState.COMPLETED
    assert not any("cancel" in line for line in queue.lines)


def test_a_job_that_ends_while_it_is_cancelled_keeps_its_result() -> None:
    queue = Queue("THROTTLED")
    queue.by_word["status"] = [
        lambda _: job("COMPLETED" if any("cancel" in line for line in queue.lines) else "IN_QUEUE")]
    assert wait(queue).state is JobState.COMPLETED


def test_a_job_that_goes_back_to_the_queue_has_its_patience_anew() -> None:
    queue = Queue("THROTTLED")
    states = ["IN_QUEUE"] * 20 + ["IN_PROGRESS"] + ["IN_QUEUE"] * 20 + ["COMPLETED"]
    queue.by_word["status"] = [job(state) for state in states]
    assert wait(queue).state is JobState.COMPLETED


def test_many_waiting_jobs_read_the_workers_once_together() -> None:
    async def crowd() -> None:
        clock = Clock()
        client = JobsClient(api_of(queue, clock, "https://a.example/v2"), "ep1", Control(api_of(queue, clock)))
        for _ in range(20):
            await client.workforce()
            clock.now += 1

    queue = Queue("RUNNING")
    asyncio.run(crowd())
    assert sum("/workers" in line for line in queue.lines) == 1
