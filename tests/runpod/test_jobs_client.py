from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest

from callsheet.errors import (
    AnswerUnknown,
    JobLost,
    JobTimedOut,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderUnreached,
)
from callsheet.runpod import client as client_module
from callsheet.runpod.client import JobsClient, JobState, JobStatus, Policy, Watch, hint
from tests.support.scripted_api import Clock, Paths, Script, api_of, ok

T = TypeVar("T")
POLICY = Policy.covering(600, 300)
LOST_404 = ok({"detail": "not found"}, 404)


def job(state: str, **more: Any) -> httpx.Response:
    return ok({"id": "j1", "status": state, **more})


def do(script: Script, deed: Callable[[JobsClient], Awaitable[T]], clock: Clock | None = None) -> T:
    async def run() -> T:
        async with api_of(script, clock, "https://api.runpod.example/v2") as api:
            return await deed(JobsClient(api, "ep1", None))

    return asyncio.run(run())


# ---- submit

def test_a_submit_sends_input_and_policy_and_gives_the_jobs_id() -> None:
    script = Script(job("IN_QUEUE"))
    assert do(script, lambda c: c.submit({"job_type": "stage"}, POLICY)) == "j1"
    assert script.lines == ["POST /v2/ep1/run"]
    assert script.sent() == {
        "input": {"job_type": "stage"},
        "policy": {"executionTimeout": 600_000, "ttl": 1_020_000, "lowPriority": False},
    }


def test_a_webhook_is_sent_where_there_is_one() -> None:
    script = Script(job("IN_QUEUE"))
    do(script, lambda c: c.submit({}, POLICY, webhook="https://studio.example/hook"))
    assert script.sent()["webhook"] == "https://studio.example/hook"


@pytest.mark.parametrize("lost", [
    ok({}, 500), ok({}, 502), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut"), ok({"status": "IN_QUEUE"}),
    ok({"id": 7}), ok([]), httpx.Response(200, content=b"<html>"),
])
def test_a_submit_whose_answer_is_lost_is_sent_once_and_said_to_be_unknown(lost: Any) -> None:
    script = Script(lost)
    with pytest.raises(AnswerUnknown):
        do(script, lambda c: c.submit({}, POLICY))
    assert len(script.asked) == 1


@pytest.mark.parametrize(("refusal", "kind"), [
    (httpx.ConnectError("down"), ProviderUnreached), (ok({}, 401), ProviderDenied), (ok({}, 404), ProviderRefused),
])
def test_a_submit_that_was_surely_not_accepted_says_so(refusal: Any, kind: type[ProviderError]) -> None:
    script = Script(refusal)
    with pytest.raises(ProviderError) as caught:
        do(script, lambda c: c.submit({}, POLICY))
    assert type(caught.value) is kind
    assert len(script.asked) == 1


def test_a_busy_queue_began_nothing_and_is_asked_again_after_its_time() -> None:
    clock = Clock()
    script = Script(ok({}, 429, retry_after="3"), ok({}, 429), job("IN_QUEUE"))
    assert do(script, lambda c: c.submit({}, POLICY), clock) == "j1"
    assert len(script.asked) == 3
    assert clock.slept[0] >= 3


def test_a_queue_that_stays_busy_is_an_error_in_the_end() -> None:
    script = Script(ok({}, 429, retry_after="1"))
    with pytest.raises(ProviderBusy):
        do(script, lambda c: c.submit({}, POLICY))
    assert len(script.asked) == client_module.BUSY_TRIES


def test_an_input_that_is_too_large_is_never_sent() -> None:
    script = Script(job("IN_QUEUE"))
    with pytest.raises(ProviderRefused, match=r"10\.\d MB.*store"):
        do(script, lambda c: c.submit({"data": "x" * 10_000_000}, POLICY))
    assert script.asked == []


@pytest.mark.parametrize(("execution_s", "queue_s"), [(1, 0), (600, 86400), (10**9, 10**9)])
def test_a_policy_covers_queue_and_work_within_what_the_provider_takes(execution_s: float, queue_s: float) -> None:
    policy = Policy.covering(execution_s, queue_s)
    assert 5 <= policy.execution_s <= 7 * 86400
    assert policy.ttl_s >= policy.execution_s
    assert policy.ttl_s <= 7 * 86400
    assert policy.ttl_s == 7 * 86400 or policy.ttl_s > execution_s + queue_s


# ---- one look

def test_a_status_is_read_in_seconds() -> None:
    status = do(Script(job("COMPLETED", output={"a": 1}, delayTime=2500, executionTime=12345, workerId="w1")),
                lambda c: c.status("j1"))
    assert status == JobStatus(
        id="j1", state=JobState.COMPLETED, output={"a": 1}, delay_s=2.5, execution_s=12.345, worker_id="w1")


@pytest.mark.parametrize("skewed", [-5000, None, "soon", True])
def test_a_duration_that_skewed_clocks_made_is_none(skewed: Any) -> None:
    status = do(Script(job("COMPLETED", delayTime=skewed, executionTime=skewed)), lambda c: c.status("j1"))
    assert status is not None
    assert (status.delay_s, status.execution_s) == (0, 0)


def test_running_is_in_progress() -> None:
    status = do(Script(job("RUNNING")), lambda c: c.status("j1"))
    assert status is not None and status.state is JobState.IN_PROGRESS


@pytest.mark.parametrize("body", [{"id": "j1", "status": "PAUSED"}, {"id": "j1"}, [], "COMPLETED", None])
def test_a_state_that_nobody_knows_is_an_error_that_may_pass(body: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        do(Script(ok(body)), lambda c: c.status("j1"))
    assert caught.value.retryable


def test_a_job_that_the_provider_does_not_know_is_none() -> None:
    assert do(Script(LOST_404), lambda c: c.status("j1")) is None


def test_looking_survives_trouble() -> None:
    status = do(Script(ok({}, 502), httpx.ReadTimeout("slow"), job("FAILED", error="x")), lambda c: c.status("j1"))
    assert status is not None and status.error == "x"


def test_cancelling_is_repeated_and_gives_what_became_of_the_job() -> None:
    script = Script(ok({}, 500), httpx.ReadTimeout("slow"), job("CANCELLED"))
    status = do(script, lambda c: c.cancel("j1"))
    assert status is not None and status.state is JobState.CANCELLED
    assert script.lines == ["POST /v2/ep1/cancel/j1"] * 3


def test_cancelling_what_is_over_gives_its_end() -> None:
    script = Paths(cancel=ok({"error": "job is already completed"}, 400), status=job("COMPLETED"))
    status = do(script, lambda c: c.cancel("j1"))
    assert status is not None and status.state is JobState.COMPLETED


def test_cancelling_what_is_gone_is_none() -> None:
    assert do(Script(LOST_404), lambda c: c.cancel("j1")) is None


def test_health_is_counted() -> None:
    body = {"jobs": {"completed": 1, "failed": 2, "inProgress": 3, "inQueue": 4, "retried": 5},
            "workers": {"idle": 1, "initializing": 2, "ready": 1, "running": 0, "throttled": 3, "unhealthy": 4}}
    health = do(Script(ok(body)), lambda c: c.health())
    assert (health.in_queue, health.in_progress, health.workforce.throttled) == (4, 3, 3)
    assert health.workforce.idle == 1


@pytest.mark.parametrize("body", [{}, [], {"workers": 3}, None])
def test_a_health_of_nothing_is_an_error(body: Any) -> None:
    with pytest.raises(ProviderError):
        do(Script(ok(body)), lambda c: c.health())


def test_purging_tells_how_many_and_is_not_repeated() -> None:
    assert do(Script(ok({"removed": 3, "status": "completed"})), lambda c: c.purge()) == 3
    script = Script(ok({}, 500))
    with pytest.raises(AnswerUnknown):
        do(script, lambda c: c.purge())
    assert len(script.asked) == 1


def test_ids_stay_one_part_of_the_path() -> None:
    script = Script(job("IN_QUEUE"))
    do(script, lambda c: c.status("../run"))
    assert script.lines == ["GET /v2/ep1/status/..%2Frun"]


# ---- streaming

async def chunks(client: JobsClient) -> list[Any]:
    return [chunk async for chunk in client.stream("j1")]


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"])
def test_a_stream_gives_each_chunk_once_and_ends_with_the_job_however_it_ends(end: str) -> None:
    script = Script(
        job("IN_QUEUE", stream=[]), job("IN_PROGRESS", stream=[{"output": 1}, {"output": {"two": 2}}]),
        job("IN_PROGRESS"), ok({}, 502), job(end, stream=[{"output": 3}]), job(end, stream=[{"output": 4}]), job(end))
    assert do(script, chunks) == [1, {"two": 2}, 3, 4]


def test_a_stream_of_a_job_that_is_not_known_yet_begins_later_and_of_a_lost_one_ends() -> None:
    assert do(Script(LOST_404, LOST_404, job("COMPLETED", stream=[{"output": 1}]), job("COMPLETED")), chunks) == [1]
    with pytest.raises(JobLost):
        do(Script(LOST_404), chunks)


# ---- waiting

def waiting(client: JobsClient, watch: Watch | None = None, **options: Any) -> Awaitable[JobStatus]:
    return client.wait("j1", watch=watch, **options)


@pytest.mark.parametrize("end", ["COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"])
def test_a_wait_ends_with_the_job_however_it_ends(end: str) -> None:
    status = do(Script(job("IN_QUEUE"), job("IN_PROGRESS"), job(end)), waiting)
    assert status.state.value == end


def test_polls_are_jittered() -> None:
    clock = Clock()
    do(Script(*[job("IN_PROGRESS")] * 20, job("COMPLETED")), lambda c: c.wait("j1", poll_s=2), clock)
    assert len(set(clock.slept)) > 15
    assert all(1.3 <= pause <= 2.7 for pause in clock.slept)


def test_every_look_is_told_progress_included_and_silence_repeats_what_was_known() -> None:
    seen: list[tuple[str, Any]] = []

    async def on_status(status: JobStatus) -> None:
        seen.append((status.state.value, status.output))

    script = Script(httpx.ReadTimeout("slow"), job("IN_PROGRESS", output={"frame": 7}), ok({}, 500), job("COMPLETED"))
    do(script, lambda c: c.wait("j1", on_status=on_status))
    assert seen == [
        ("IN_QUEUE", None), ("IN_PROGRESS", {"frame": 7}), ("IN_PROGRESS", {"frame": 7}), ("COMPLETED", None)]


def test_what_the_listener_raises_ends_the_wait_and_leaves_the_job() -> None:
    def fenced(_: JobStatus) -> None:
        raise LookupError("somebody took over")

    script = Script(job("IN_PROGRESS"))
    with pytest.raises(LookupError):
        do(script, lambda c: c.wait("j1", on_status=fenced))
    assert script.lines == ["GET /v2/ep1/status/j1"]


def test_the_listener_hears_something_while_an_answer_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "BEAT_S", 0.01)
    heard = 0

    class Slow(Script):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            while heard < 3:
                await asyncio.sleep(0.005)
            return await super().handle_async_request(request)

    def on_status(_: JobStatus) -> None:
        nonlocal heard
        heard += 1

    do(Slow(job("COMPLETED")), lambda c: c.wait("j1", on_status=on_status))
    assert heard >= 4


def test_a_wait_outlasts_a_silence_of_a_minute() -> None:
    clock, script = Clock(), Script(job("IN_PROGRESS"), *[httpx.ConnectError("down")] * 30, job("COMPLETED"))
    assert do(script, waiting, clock).state is JobState.COMPLETED
    assert clock.now - 1000 > 40


def test_a_wait_ends_with_too_long_a_silence_and_cancels_nothing() -> None:
    clock, script = Clock(), Script(job("IN_PROGRESS"), ok({}, 500))
    with pytest.raises(ProviderError):
        do(script, lambda c: waiting(c, Watch(silence_s=60)), clock)
    assert 60 < clock.now - 1000 < 70
    assert set(script.lines) == {"GET /v2/ep1/status/j1"}


def test_a_key_that_is_refused_ends_the_wait_at_once() -> None:
    script = Script(ok({}, 401))
    with pytest.raises(ProviderDenied):
        do(script, waiting)
    assert len(script.asked) == 1


def test_a_busy_provider_is_asked_no_earlier_than_it_wants() -> None:
    clock = Clock()
    do(Script(ok({}, 429, retry_after="20"), job("COMPLETED")), waiting, clock)
    assert clock.slept[0] >= 20


def test_a_job_that_is_not_known_yet_is_waited_for() -> None:
    assert do(Script(LOST_404, LOST_404, job("IN_QUEUE"), job("COMPLETED")), waiting).state is JobState.COMPLETED


def test_a_job_that_vanishes_is_lost_after_a_moment_and_not_at_once() -> None:
    clock, script = Clock(), Script(job("IN_PROGRESS"), LOST_404)
    with pytest.raises(JobLost):
        do(script, lambda c: waiting(c, Watch(settle_s=15)), clock)
    assert 15 <= clock.now - 1000 < 25
    assert do(Script(job("IN_PROGRESS"), LOST_404, job("COMPLETED")), waiting).state is JobState.COMPLETED


def test_two_moments_of_not_knowing_are_not_one_long_one() -> None:
    script = Script(LOST_404, *[job("IN_PROGRESS")] * 20, LOST_404, job("COMPLETED"))
    assert do(script, lambda c: waiting(c, Watch(settle_s=15))).state is JobState.COMPLETED


def test_a_job_that_is_gone_after_an_unanswered_cancel_was_given_up_for_its_reason() -> None:
    script = Paths(status=[*[job("IN_PROGRESS")] * 8, LOST_404], cancel=ok({}, 500))
    with pytest.raises(JobTimedOut):
        do(script, lambda c: waiting(c, Watch(running_s=10)))


def test_a_job_that_outlives_its_limit_is_cancelled() -> None:
    clock = Clock()
    script = Paths(status=lambda _: job("CANCELLED" if cancelled(script) else "IN_PROGRESS"), cancel=job("CANCELLED"))
    with pytest.raises(JobTimedOut, match="50 s"):
        do(script, lambda c: waiting(c, Watch(running_s=50)), clock)
    assert 50 < clock.now - 1000 < 60


def test_a_limit_counts_from_the_last_start_and_the_longest_from_the_first() -> None:
    clock = Clock()
    again = [*[job("IN_PROGRESS")] * 10, *[job("IN_QUEUE")] * 3, *[job("IN_PROGRESS")] * 10, job("COMPLETED")]
    steady, limits = Script(*again), Watch(running_s=35)
    assert do(steady, lambda c: waiting(c, limits, poll_s=2), clock).state is JobState.COMPLETED
    assert clock.now - 1000 > 36 and not cancelled(steady)
    script = Paths(status=lambda _: job("CANCELLED" if cancelled(script) else "IN_QUEUE"), cancel=job("CANCELLED"))
    with pytest.raises(JobTimedOut):
        do(script, lambda c: waiting(c, Watch(longest_s=90)))


def test_a_job_that_ends_by_itself_as_it_is_cancelled_keeps_its_end() -> None:
    script = Paths(status=lambda _: job("COMPLETED" if cancelled(script) else "IN_PROGRESS"), cancel=job("COMPLETED"))
    assert do(script, lambda c: waiting(c, Watch(running_s=10))).state is JobState.COMPLETED


def test_a_cancel_that_is_ignored_is_sent_again_and_the_job_is_not_given_up_while_it_lives() -> None:
    script = Paths(
        status=lambda _: job("CANCELLED" if script.lines.count("POST /v2/ep1/cancel/j1") > 4 else "IN_PROGRESS"),
        cancel=job("CANCELLED"))
    with pytest.raises(JobTimedOut):
        do(script, lambda c: waiting(c, Watch(running_s=10)))
    assert script.lines.count("POST /v2/ep1/cancel/j1") == 5


def test_a_job_that_can_neither_be_waited_for_nor_cancelled_is_said_to_be_unknown() -> None:
    script = Paths(status=job("IN_PROGRESS"), cancel=job("CANCELLED"))
    with pytest.raises(AnswerUnknown, match="neither ends nor can be cancelled"):
        do(script, lambda c: waiting(c, Watch(running_s=10, silence_s=60)))


def test_a_cancel_that_gets_no_answer_is_sent_at_the_next_look() -> None:
    script = Paths(
        status=lambda _: job("CANCELLED" if script.lines.count("POST /v2/ep1/cancel/j1") > 6 else "IN_PROGRESS"),
        cancel=[*[ok({}, 500)] * 6, job("CANCELLED")])
    with pytest.raises(JobTimedOut):
        do(script, lambda c: waiting(c, Watch(running_s=10)))


def test_a_watch_that_covers_a_policy_leaves_the_stopping_to_the_provider() -> None:
    watch = Watch.covering(POLICY)
    assert watch.running_s is not None and watch.running_s > POLICY.execution_s
    assert watch.longest_s is not None and watch.longest_s > POLICY.ttl_s


def cancelled(script: Script) -> bool:
    return any("/cancel/" in line for line in script.lines)


# ---- hints

@pytest.mark.parametrize(("body", "job_id"), [
    (b'{"id": "j1", "status": "COMPLETED"}', "j1"), ('{"id": "j1"}', "j1"), ({"id": "j1"}, "j1"),
    (b"", None), (b"\xff\xfe", None), (b"[]", None), ({"id": 7}, None), ({"id": ""}, None), ({"id": "x" * 500}, None),
    ({"status": "COMPLETED"}, None), ("null", None), ("[" * 100_000, None),
])
def test_of_a_webhook_only_the_jobs_id_is_taken(body: Any, job_id: str | None) -> None:
    assert hint(body) == job_id


def test_a_hint_makes_the_next_look_earlier_and_nothing_else() -> None:
    async def hinted(client: JobsClient) -> JobStatus:
        async def never(seconds: float) -> None:
            slept.append(seconds)
            await asyncio.sleep(3600 if seconds > 1 else 0)

        client.api.sleep = never
        task = asyncio.ensure_future(client.wait("j1", poll_s=1000))
        while not slept:
            await asyncio.sleep(0)
        client.nudge("another job")
        client.nudge("j1")
        client.nudge("j1")
        return await task

    slept: list[float] = []
    script = Script(job("IN_PROGRESS"), job("COMPLETED"))
    assert do(script, hinted).state is JobState.COMPLETED
    assert len(script.asked) == 2


def test_two_waits_for_one_job_both_hear_a_hint() -> None:
    async def both(client: JobsClient) -> list[JobStatus]:
        return await asyncio.gather(client.wait("j1"), client.wait("j1"))

    ends = do(Script(job("IN_PROGRESS"), job("COMPLETED")), both)
    assert [status.state for status in ends] == [JobState.COMPLETED] * 2


def test_cancelling_the_task_of_a_wait_ends_it_and_leaves_the_job() -> None:
    async def stopped(client: JobsClient) -> None:
        client.api.sleep = asyncio.sleep
        task = asyncio.ensure_future(client.wait("j1", poll_s=1000))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    script = Script(job("IN_PROGRESS"))
    do(script, stopped)
    assert script.lines == ["GET /v2/ep1/status/j1"]


def test_cancelling_the_task_of_a_wait_ends_its_request_too() -> None:
    class Silent(Script):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            reached.set()
            await asyncio.sleep(3600)
            raise AssertionError

    async def stopped(client: JobsClient) -> None:
        task = asyncio.ensure_future(client.wait("j1"))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(20):
                await task
        assert len(asyncio.all_tasks()) == 1

    reached = asyncio.Event()
    do(Silent(job("IN_PROGRESS")), stopped)
