"""What goes wrong at an endpoint, one fault at a time: what comes of a recipe, what it costs, what is said.

Every kind of fault that concerns requests, queues, workers, jobs, webhooks, prices and clocks, on the emulator with
the provider's own worker loop and our handler. One of each family belongs to `make test`, all kinds to `make soak`.
Pods, the pool and killed processes are elsewhere.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from callsheet.costs import Kind, Outcome
from callsheet.errors import (
    Cancelled,
    JobFailed,
    JobLost,
    JobTimedOut,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderUnpaid,
    QueueStuck,
)
from callsheet.recipe import Recipe
from callsheet.runpod.client import Api, JobsClient, JobState, JobStatus, Policy, Watch, hint
from callsheet.runpod.emulator.faults import Fault, FaultKind
from callsheet.runpod.emulator.serve import Emulator, running_emulator
from callsheet.runpod.job_inputs import StageJob
from callsheet.store import payment
from callsheet.store.attempts import holder
from callsheet.store.journal import Journal
from callsheet.store.paying import paid_once
from tasks import endpoint as endpoint_module
from tasks import spending
from tasks.direct import direct
from tasks.left_jobs import settle_left_jobs
from tasks.run import running
from tests.support.one_recipe import Rental, a_clip, a_long_clip, a_poster, key_of, opened, renting_one

MADE, FAILED, CANCELLED = Outcome.MADE, Outcome.FAILED, Outcome.CANCELLED
LOST, TIMED_OUT, DUPLICATE = Outcome.LOST, Outcome.TIMED_OUT, Outcome.DUPLICATE
K = FaultKind
RUN, STATUS, CANCEL = "POST /jobs/*/run", "GET /jobs/*/status/*", "POST /jobs/*/cancel/*"
SEEDS = itertools.count(1)

slow, soak = pytest.mark.slow, pytest.mark.soak


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("account")
    with running_emulator(folder, heartbeat_s=0.5, stop_grace_s=5, ping_s=2, restart_s=0.2) as account:
        yield account


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def shared(emulator: Emulator, folder: Path) -> str:
    """An endpoint whose worker stays warm from test to test."""
    return opened(emulator, folder)


@pytest.fixture
def rental(
    emulator: Emulator, folder: Path, shared: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Rental]:
    with renting_one(emulator, folder, shared, monkeypatch, f"night-{next(SEEDS)}") as it:
        yield it


def fresh() -> Recipe:
    return a_poster(next(SEEDS))


def kinds(*every: Any, quick: int = 0) -> pytest.MarkDecorator:
    """The first `quick` of these cases belong to `make test`, all others to the soak."""
    cases = [each if isinstance(each, tuple) else (each,) for each in every]
    return pytest.mark.parametrize("case", [
        pytest.param(case, marks=slow if n < quick else soak, id="-".join(str(part) for part in case[:2]))
        for n, case in enumerate(cases)])


def settle_left() -> list[str]:
    """What `callsheet runpod reap` does for jobs."""
    with running("reap"), direct():
        return asyncio.run(settle_left_jobs())


# ---- requests: submit

@kinds((K.UNPAID, 402, ProviderUnpaid, "wants money first", "add credit to the account"),
       (K.DENIED, 401, ProviderDenied, "refused the key", "check RUNPOD_API_KEY"),
       (K.FORBIDDEN, 403, ProviderDenied, "refused the key", "check RUNPOD_API_KEY"), quick=1)
def test_a_refused_submit_costs_nothing_says_why_and_is_made_the_next_time(rental: Rental, case: Any) -> None:
    kind, status, error, words, remedy = case
    recipe = fresh()
    rental.emulator.inject(kind, where=RUN)
    told = rental.make(recipe)
    assert type(told.error) is error
    assert f"{words} ({status} to POST /{rental.endpoint}/run" in told.words and remedy in told.words
    rental.assert_paid(recipe, CANCELLED, jobs=0)
    assert not rental.rows(recipe)
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, CANCELLED, MADE, jobs=1)


@kinds((K.BUSY, {"seconds": 1.0}), (K.BUSY, {}))
def test_a_busy_provider_is_waited_for_within_one_attempt(rental: Rental, case: Any) -> None:
    kind, facts = case
    recipe = fresh()
    rental.emulator.inject(kind, where=RUN, count=2, **facts)
    began = time.monotonic()
    assert not rental.make(recipe).error
    assert time.monotonic() - began > 2, "it asked for patience, or the pauses grow"
    rental.assert_paid(recipe, MADE, jobs=1)


@soak
def test_a_provider_that_stays_busy_is_given_up_without_a_job(
    rental: Rental, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, waited = fresh(), list[float]()

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setitem(paid_once.__kwdefaults__, "pause", pause)
    rental.emulator.inject(K.BUSY, where=RUN, count=-1, seconds=60)
    told = rental.make(recipe)
    assert type(told.error) is ProviderBusy
    assert "asks for patience (429 to POST" in told.words and "wait a minute" in told.words
    assert waited.count(60.0) == 3 * (payment.MOST_REFUSALS - 1), "as long as was asked for"
    rental.assert_paid(recipe, CANCELLED, CANCELLED, CANCELLED, jobs=0)


@kinds(K.REQUEST_LOST, K.BROKEN, K.BAD_GATEWAY, quick=1)
def test_a_submit_that_did_not_arrive_is_closed_and_made_in_a_second_attempt(rental: Rental, case: Any) -> None:
    rental.hurry(claim_wait_s=0.5)
    recipe = fresh()
    rental.emulator.inject(case[0], where=RUN)
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, LOST, MADE, jobs=1)
    assert holder(rental.store, key_of(recipe), 1) == "", "nobody can begin the first any more"
    assert [row.attempt for row in rental.rows(recipe)] == [2]


@kinds(K.ANSWER_LOST, K.BROKEN_AFTER, quick=1)
def test_a_submit_that_arrived_unanswered_is_adopted_and_not_repeated(rental: Rental, case: Any) -> None:
    recipe = fresh()
    rental.emulator.inject(case[0], where=RUN)
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, MADE, jobs=1)
    assert [row.resource for row in rental.rows(recipe)] == [rental.jobs(recipe)[0]["id"]]


@soak
def test_a_submit_that_was_given_up_and_had_arrived_renders_nothing(rental: Rental) -> None:
    rental.hurry(claim_wait_s=0.5)
    rental.open_endpoint()
    recipe = fresh()
    rental.emulator.inject(K.THROTTLED, where=rental.endpoint, seconds=2)
    rental.emulator.inject(K.ANSWER_LOST, where=RUN)
    assert not rental.make(recipe).error
    first = rental.jobs(recipe)[0]
    assert first["state"] == "FAILED" and first["error"]["code"] == "claim.taken"
    assert "somebody who gave it up" in first["error"]["message"] and "made nothing" in first["error"]["remedy"]
    rental.assert_paid(recipe, LOST, MADE, jobs=2)
    rental.assert_bill()


@soak
@pytest.mark.parametrize("kind", [K.SLOW, K.REQUEST_LATE])
def test_a_slow_submit_is_waited_for(rental: Rental, kind: FaultKind) -> None:
    recipe = fresh()
    rental.emulator.inject(kind, where=RUN, seconds=2)
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, MADE, jobs=1)


@soak
def test_a_provider_that_is_down_for_a_while_costs_one_job(rental: Rental) -> None:
    rental.hurry(claim_wait_s=1.5)
    recipe = fresh()
    rental.emulator.inject(K.DOWN, seconds=2)
    assert not rental.make(recipe).error
    ends = rental.ends(recipe)
    assert ends[-1] is MADE and set(ends[:-1]) <= {LOST}
    rental.assert_paid(recipe, *ends, jobs=1)


# ---- requests: status

@kinds((K.BROKEN, {}), (K.BAD_GATEWAY, {}), (K.BUSY, {}), (K.BUSY, {"seconds": 1}), (K.BROKEN_AFTER, {}),
       (K.ANSWER_LOST, {}), (K.REQUEST_LOST, {}), (K.SLOW, {"seconds": 1.0}),
       (K.REQUEST_LATE, {"seconds": 1.0}), quick=1)
def test_looking_goes_on_through_what_passes(rental: Rental, case: Any) -> None:
    kind, facts = case
    recipe = fresh()
    rental.emulator.inject(kind, where=STATUS, count=3, **facts)
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, MADE, jobs=1)


@kinds((K.DENIED, 401, ProviderDenied, "check RUNPOD_API_KEY"), (K.FORBIDDEN, 403, ProviderDenied, "check RUNPOD"),
       (K.UNPAID, 402, ProviderUnpaid, "add credit"))
def test_a_run_that_may_not_look_ends_and_its_job_is_settled_later(rental: Rental, case: Any) -> None:
    kind, status, error, remedy = case
    recipe = a_clip(next(SEEDS), frames=100, side=512)
    rental.emulator.inject(kind, where=STATUS)
    told = rental.make(recipe)
    assert type(told.error) is error
    assert f"{status} to GET /{rental.endpoint}/status/" in told.words and remedy in told.words
    assert rental.ends(recipe) == [], "the job goes on: nobody may pay for another one"
    rental.soon(recipe, "COMPLETED")
    assert not rental.make(recipe).error
    assert settle_left() == [f"{key_of(recipe)}: its job is settled"]
    rental.assert_paid(recipe, MADE, jobs=1)


@soak
def test_a_provider_that_is_silent_for_too_long_is_told_and_nothing_is_paid_twice(rental: Rental) -> None:
    rental.hurry(silence_s=0.5)
    recipe = a_long_clip(next(SEEDS))
    began = 0.0

    def go_silent() -> None:
        nonlocal began
        wait_for(lambda: rental.jobs(recipe), "the job is there")        # a busy machine takes a while to submit
        began = time.monotonic()
        rental.emulator.inject(K.DOWN, where=STATUS, seconds=3)

    silence = threading.Thread(target=go_silent)
    silence.start()
    told = rental.make(recipe)
    assert type(told.error) is ProviderError and f"GET /{rental.endpoint}/status/" in told.words
    assert rental.ends(recipe) == []
    silence.join()
    wait_for(lambda: time.monotonic() - began > 3.2, "it is up again")
    assert not rental.make(recipe).error, "the same job is waited for"
    rental.assert_paid(recipe, MADE, jobs=1)


# ---- requests: cancel

@kinds((K.BROKEN, {}), (K.BAD_GATEWAY, {}), (K.BUSY, {}), (K.BUSY, {"seconds": 1.0}), (K.BROKEN_AFTER, {}),
       (K.ANSWER_LOST, {}), (K.REQUEST_LOST, {}), (K.SLOW, {"seconds": 1.0}),
       (K.REQUEST_LATE, {"seconds": 1.0}), quick=1)
def test_a_run_that_is_stopped_cancels_its_job_through_what_passes(rental: Rental, case: Any) -> None:
    kind, facts = case
    recipe = a_long_clip(next(SEEDS))
    rental.emulator.inject(kind, where=CANCEL, count=2, **facts)
    told = rental.make_and_stop(recipe)
    assert type(told.error) is Cancelled and f"{recipe.label} was cancelled" in told.words
    assert rental.jobs(recipe)[-1]["state"] == "CANCELLED"
    rental.assert_paid(recipe, CANCELLED, jobs=1)
    assert rental.results(recipe) == 0


@kinds(K.DENIED, K.FORBIDDEN, K.UNPAID)
def test_a_job_that_may_not_be_cancelled_is_used_by_the_next_run(rental: Rental, case: Any) -> None:
    recipe = a_long_clip(next(SEEDS))
    rental.emulator.inject(case[0], where=CANCEL, count=-1)
    assert type(rental.make_and_stop(recipe).error) is Cancelled
    assert rental.ends(recipe) == []
    assert rental.jobs(recipe)[-1]["state"] == "IN_PROGRESS"
    assert rental.history(recipe)[-1].until <= time.time(), "nobody has to wait for its lease"
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, MADE, jobs=1)


@kinds(K.CANCEL_IGNORED)
def test_a_cancel_that_is_ignored_leaves_the_job_to_the_next_run(
    rental: Rental, monkeypatch: pytest.MonkeyPatch, case: Any
) -> None:
    monkeypatch.setattr(payment, "GRACE_S", 0.2)
    recipe = a_clip(next(SEEDS), frames=120, side=1440)
    rental.emulator.inject(case[0], where=key_of(recipe))
    assert type(rental.make_and_stop(recipe).error) is Cancelled
    assert not rental.make(recipe).error
    settle_left()                                      # where the result was there before the next run asked
    rental.assert_paid(recipe, MADE, jobs=1)


@soak
def test_a_late_result_after_a_cancel_is_used_and_paid_once(rental: Rental) -> None:
    recipe = a_clip(next(SEEDS), frames=100, side=720)
    rental.emulator.inject(K.LATE_RESULT, where=key_of(recipe))
    assert type(rental.make_and_stop(recipe).error) is Cancelled
    rental.soon(recipe, "COMPLETED")
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, CANCELLED, jobs=1)
    assert rental.results(recipe) == 1


# ---- queues and workers

@kinds((K.MAX_ZERO, {}, "it sleeps: its maximum is 0 workers", "wake it with `callsheet runpod up`"),
       (K.THROTTLED, {"count": -1}, "no GPU of its pools is free, after 1 s in the queue, workers: 1 throttled",
        "allow more cards with CALLSHEET_RUNPOD_GPUS"),
       (K.NO_WORKERS, {}, "no GPU of its pools is free, after 1 s in the queue, workers: none", "run again later"),
       (K.UNHEALTHY, {"count": -1}, "its workers crash as they start", "read a worker's log"), quick=1)
def test_a_queue_that_does_not_move_is_left_without_a_job_in_it(rental: Rental, case: Any) -> None:
    kind, facts, words, remedy = case
    rental.hurry(patience_s=1.0, starting_s=30.0)
    rental.open_endpoint()
    recipe = fresh()
    rental.emulator.inject(kind, where=rental.endpoint, **facts)
    told = rental.make(recipe)
    assert type(told.error) is QueueStuck
    assert f"the queue of endpoint {rental.endpoint} does not move: {words}" in told.words and remedy in told.words
    assert {job["state"] for job in rental.jobs(recipe)} == {"CANCELLED"}
    rental.assert_paid(recipe, CANCELLED, jobs=1)
    rental.emulator.inject(K.MAX_ZERO, where=rental.endpoint)      # what crashes would crash for ever
    rental.assert_bill()


@soak
def test_a_queue_that_moves_after_a_while_is_waited_for(rental: Rental) -> None:
    rental.hurry(patience_s=1.0, starting_s=60.0)
    rental.open_endpoint()
    recipe = fresh()
    rental.emulator.inject(K.THROTTLED, where=rental.endpoint, seconds=0.8)
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, MADE, jobs=1)
    rental.assert_bill()


@soak
def test_a_run_that_is_stopped_in_the_queue_pays_nothing(rental: Rental) -> None:
    rental.open_endpoint()
    recipe = fresh()
    rental.emulator.inject(K.THROTTLED, where=rental.endpoint, count=-1)
    assert type(rental.make_and_stop(recipe, "IN_QUEUE").error) is Cancelled
    rental.assert_paid(recipe, CANCELLED, jobs=1)
    assert [(row.outcome, row.seconds, row.usd) for row in rental.rows(recipe)] == [(CANCELLED, 0, 0)]
    assert sum(row.usd for row in rental.assert_bill()) == 0


# ---- jobs

@soak
def test_a_job_that_times_out_is_tried_again(rental: Rental) -> None:
    recipe = a_clip(next(SEEDS), frames=100, side=512)
    rental.emulator.inject(K.TIMED_OUT, where=key_of(recipe))
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, TIMED_OUT, MADE, jobs=2)
    assert [row.outcome for row in rental.rows(recipe)] == [TIMED_OUT, MADE]


@soak
def test_a_job_that_times_out_every_time_is_given_up_after_three(rental: Rental) -> None:
    recipe = a_long_clip(next(SEEDS))
    rental.emulator.inject(K.TIMED_OUT, where=key_of(recipe), count=-1, seconds=0.7)
    told = rental.make(recipe)
    assert type(told.error) is JobTimedOut
    assert f"job {rental.jobs(recipe)[-1]['id']} was stopped" in told.words and "tried 3 times" in told.words
    assert "a faster card" in told.words
    rental.assert_paid(recipe, TIMED_OUT, TIMED_OUT, TIMED_OUT, jobs=3)


@soak
def test_a_job_that_vanished_is_looked_for_in_the_store_first(rental: Rental) -> None:
    rental.hurry(settle_s=8.0)
    assert not rental.make(fresh()).error, "a warm worker needs much less than that"
    recipe = fresh()
    rental.emulator.inject(K.VANISHED, where=key_of(recipe))
    assert not rental.make(recipe).error
    ends = rental.ends(recipe)
    assert ends in ([LOST], [MADE]), "made: the store had it by the time the provider was asked"
    rental.assert_paid(recipe, *ends, jobs=1)
    assert rental.results(recipe) == 1


@soak
def test_a_job_that_vanished_without_a_result_is_tried_again_and_rendered_once(rental: Rental) -> None:
    rental.hurry(settle_s=0.3)
    recipe = a_clip(next(SEEDS), frames=100, side=720)
    rental.emulator.inject(K.VANISHED, where=key_of(recipe))
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, LOST, MADE, jobs=2)


@soak
def test_jobs_that_vanish_every_time_are_given_up_after_three(rental: Rental, tmp_path: Path) -> None:
    rental.hurry(settle_s=0.3)
    rental.open_endpoint(tmp_path)                     # what its workers make, nobody finds
    recipe = fresh()
    rental.emulator.inject(K.VANISHED, where=key_of(recipe), count=-1)
    told = rental.make(recipe)
    assert type(told.error) is JobLost
    assert f"(endpoint {rental.endpoint} knows nothing of it; tried 3 times)" in told.words
    rental.assert_paid(recipe, LOST, LOST, LOST, jobs=3)
    rental.assert_bill()


@soak
def test_results_that_go_to_a_wrong_store_are_told_after_one_job(rental: Rental, tmp_path: Path) -> None:
    rental.open_endpoint(tmp_path)
    recipe = fresh()
    told = rental.make(recipe)
    assert type(told.error) is JobFailed
    assert "its result is not in the store; tried once" in told.words
    assert "let the machine's CALLSHEET_STORE be the store of this run" in told.words
    rental.assert_paid(recipe, FAILED, jobs=1)
    rental.assert_bill()


@kinds(K.CRASH, K.WORKER_FROZEN, K.HEARTBEAT_LOST, quick=1)
def test_a_worker_that_dies_over_a_job_costs_one_more_job_and_no_second_result(rental: Rental, case: Any) -> None:
    rental.open_endpoint(max_workers=2)
    alive = case[0] is K.HEARTBEAT_LOST                # it is only believed dead, and works until a second one came
    recipe = a_long_clip(next(SEEDS)) if alive else a_clip(next(SEEDS), frames=100, side=512)
    rental.emulator.inject(case[0], where=key_of(recipe), seconds=0.7)     # it has claimed the attempt by then
    assert not rental.make(recipe).error
    first = rental.jobs(recipe)[0]
    assert len(first["deliveries"]) == 2 and first["error"]["code"] == "claim.taken"
    rental.assert_paid(recipe, DUPLICATE, MADE, jobs=2)
    rental.assert_bill()


@soak
def test_a_worker_that_dies_before_it_claims_a_job_costs_no_other_job(rental: Rental) -> None:
    recipe = fresh()
    rental.emulator.inject(K.CRASH, where=key_of(recipe))
    assert not rental.make(recipe).error
    ends = rental.ends(recipe)
    assert ends in ([MADE], [DUPLICATE, MADE]), "with luck it had claimed the attempt"
    rental.assert_paid(recipe, *ends, jobs=len(ends))


@kinds(K.CRASH_AT_REPLY)
def test_a_worker_that_dies_after_the_upload_costs_nothing_more(rental: Rental, case: Any) -> None:
    recipe = fresh()
    rental.emulator.inject(case[0], where=key_of(recipe))
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, MADE, jobs=1)


JUNK = {"artifacts": {"main": "no digest", "x": 7}, "stage": None}

@kinds((K.OUTPUT_REPLACED, JUNK), (K.OUTPUT_MISSING, None), (K.OUTPUT_CUT, None),
       (K.OUTPUT_ERRORS, "node 9 failed"), (K.OUTPUT_LEGACY, None), (K.OUTPUT_REPLACED, [1, 2]),
       (K.OUTPUT_REPLACED, "done"), (K.OUTPUT_REPLACED, {"error": {"code": "engine.failed", "message": "x"}}),
       (K.PROGRESS_AFTER_DONE, {"share": 0.5}), quick=1)
def test_whatever_a_job_says_the_store_has_the_last_word(rental: Rental, case: Any) -> None:
    kind, value = case
    recipe = fresh()
    rental.emulator.inject(Fault(kind=kind, where=key_of(recipe), value=value))
    told = rental.make(recipe)
    assert not told.error
    assert told.records == [rental.record(recipe)]
    (outcome,) = rental.ends(recipe)
    assert outcome is (FAILED if isinstance(value, dict) and "error" in value else MADE)
    rental.assert_paid(recipe, outcome, jobs=1)


@soak
def test_a_result_that_is_refused_is_used_although_its_job_times_out(
    rental: Rental, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not rental.make(fresh()).error, "a warm worker needs much less than its limit"
    monkeypatch.setattr(endpoint_module, "worst_s", lambda recipe, speed: 8.0)
    recipe = fresh()
    rental.emulator.inject(K.OUTPUT_TOO_LARGE, where=key_of(recipe))
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, TIMED_OUT, jobs=1)
    assert rental.results(recipe) == 1


@soak
def test_a_job_that_fails_by_itself_is_not_tried_again_and_says_its_own_words(rental: Rental) -> None:
    known = a_poster(next(SEEDS))
    recipe = type(known).model_validate({**known.model_dump(), "engine": {"name": "nobody", "version": 1}})
    told = rental.make(recipe)
    assert type(told.error) is JobFailed
    assert "nobody" in told.words and "tried once" in told.words
    rental.assert_paid(recipe, FAILED, jobs=1)


# ---- several at once

@kinds(K.CRASH)
def test_one_of_several_recipes_may_fail_and_the_others_are_made_once(rental: Rental, case: Any) -> None:
    recipes = [fresh() for _ in range(4)]
    rental.emulator.inject(case[0], where=key_of(recipes[1]))
    rental.emulator.inject(K.ANSWER_LOST, where=RUN, after=2)
    told = rental.make(*recipes)
    assert [record.fingerprint for record in told.records] == [recipe.fingerprint for recipe in recipes]
    assert [rental.results(recipe) for recipe in recipes] == [1, 1, 1, 1]
    assert sum(len(rental.jobs(recipe)) for recipe in recipes) <= 5
    for recipe in recipes:
        rental.assert_paid(recipe, *rental.ends(recipe), jobs=len(rental.jobs(recipe)))


# ---- webhooks

class _Listener:
    """Bodies that were posted to `url`."""

    def __init__(self) -> None:
        bodies = self.bodies = list[bytes]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *words: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/done"


@contextmanager
def listening() -> Iterator[_Listener]:
    listener = _Listener()
    thread = threading.Thread(target=listener.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield listener
    finally:
        listener.server.shutdown()
        thread.join()
        listener.server.server_close()


async def waited(rental: Rental, recipe: Recipe, listener: _Listener, poll_s: float) -> tuple[JobStatus, int]:
    """A job's end with a webhook as hint, and how often it was looked at."""
    looks = 0

    def look(status: JobStatus) -> None:
        nonlocal looks
        looks += 1

    async def pass_hints(client: JobsClient) -> None:
        while True:
            for body in listener.bodies:
                if (job := hint(body)) is not None:
                    client.nudge(job)
            await asyncio.sleep(0.1)

    client = JobsClient(Api(rental.emulator.jobs, SecretStr(rental.emulator.key)), rental.endpoint)
    policy = Policy.covering(60, 60)
    job_id = await client.submit(StageJob.of(recipe).model_dump(mode="json"), policy, webhook=listener.url)
    hints = asyncio.create_task(pass_hints(client))
    try:
        return await client.wait(job_id, on_status=look, poll_s=poll_s, watch=Watch.covering(policy)), looks
    finally:
        hints.cancel()


@kinds((K.WEBHOOK_DOUBLED, 30.0, 2), (K.WEBHOOK_LOST, 1.5, 0), (K.WEBHOOK_LATE, 1.5, 0))
def test_a_webhook_is_a_hint_and_nothing_more(rental: Rental, case: Any) -> None:
    kind, poll_s, heard = case
    recipe = fresh()
    facts = {"seconds": 30.0} if kind is K.WEBHOOK_LATE else {}
    rental.emulator.inject(kind, where=key_of(recipe), **facts)
    with listening() as listener:
        began = time.monotonic()
        status, looks = asyncio.run(waited(rental, recipe, listener, poll_s))
        assert status.state is JobState.COMPLETED
        assert heard == 0 or time.monotonic() - began < poll_s * 0.7, "the hint came before the next look was due"
        assert looks >= 2
        wait_for(lambda: len(listener.bodies) >= heard, "both copies arrive")
        assert len(listener.bodies) == heard
    assert rental.results(recipe) == 1 and len(rental.jobs(recipe)) == 1


# ---- prices and clocks

@kinds(K.PRICE_CHANGE)
def test_a_price_that_changes_in_the_middle_is_known_from_the_bill(
    rental: Rental, monkeypatch: pytest.MonkeyPatch, case: Any
) -> None:
    rental.open_endpoint(pools=("ADA_80_PRO",))
    monkeypatch.setenv("CALLSHEET_RUNPOD_GPUS", "H100")
    before, after = fresh(), fresh()
    assert not rental.make(before).error
    rental.emulator.inject(case[0], where="NVIDIA H100*", value=1.5)
    try:
        assert not rental.make(after).error
        monkeypatch.setattr(spending, "_PRICES", {})
        newer = fresh()
        assert not rental.make(newer).error
    finally:
        rental.emulator.inject(case[0], where="NVIDIA H100*", value=1 / 1.5)
    rates = [rental.rows(recipe)[0].usd_per_second for recipe in (before, after, newer)]
    assert rates[0] == rates[1] and rates[2] == pytest.approx(rates[0] * 1.5), "as known when it was submitted"
    for recipe in (before, after, newer):
        rental.assert_paid(recipe, MADE, jobs=1)
    rows = rental.assert_bill(known=False)
    assert {row.kind for row in rows} <= {Kind.WORK, Kind.COLD_START, Kind.IDLE, Kind.ADJUSTMENT}


@kinds((K.CLOCK_SKEW, 7.0), (K.CLOCK_SKEW, -7.0), (K.CLOCK_SKEW, 5000.0), (K.CLOCK_SKEW, -5000.0))
def test_a_skewed_clock_of_the_provider_changes_no_result_and_no_sum(rental: Rental, case: Any) -> None:
    kind, seconds = case
    rental.open_endpoint()
    recipe = fresh()
    rental.emulator.inject(kind, seconds=seconds, count=-1)
    began = time.monotonic()
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, MADE, jobs=1)
    (row,) = rental.rows(recipe)
    assert 0 <= row.seconds <= time.monotonic() - began + 1, "no more than has passed, whatever the provider says"
    rental.assert_bill(known=False)


# ---- and in the end

@slow
def test_after_all_of_it_the_ledger_of_the_shared_endpoint_is_the_bill(rental: Rental) -> None:
    recipe = fresh()
    assert not rental.make(recipe).error
    rental.assert_paid(recipe, MADE, jobs=1)
    rows = rental.assert_bill()
    assert {row.kind for row in rows} <= {Kind.WORK, Kind.COLD_START, Kind.IDLE}
    assert not Journal(rental.store).open_keys()


def wait_for(look: Any, what: str, patience_s: float = 60.0) -> None:
    end = time.monotonic() + patience_s
    while not look():
        assert time.monotonic() < end, what
        time.sleep(0.1)
