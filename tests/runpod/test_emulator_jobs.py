"""Jobs of the emulator, carried out by the production loop of the provider's SDK in real worker processes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from callsheet.runpod.emulator.faults import FaultKind
from callsheet.runpod.emulator.serve import Emulator, running_emulator
from tests.runpod.emulation import IMAGES, ended, refused, row, running, soon, status, submit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("emulator"), images=IMAGES, heartbeat_s=0.5, restart_s=0.2,
                          ping_s=1, stop_grace_s=2) as found:
        yield found


@pytest.fixture(scope="module")
def warm(emulator: Emulator) -> str:
    """An endpoint that keeps two workers, for tests that leave them as they were."""
    id_ = emulator.endpoint("echo:1", args="", min_workers=2, max_workers=2, name="warm")
    soon(lambda: workers(emulator, id_) == ["IDLE", "IDLE"], "two workers are idle")
    return id_


@pytest.fixture
def fresh(emulator: Emulator) -> Iterator[str]:
    """An endpoint without a worker yet."""
    id_ = emulator.endpoint("echo:1", args="", max_workers=2, idle_s=2)
    yield id_
    emulator.clear_faults()
    emulator.ask("DELETE", f"/v2/serverless/{id_}")


def workers(emulator: Emulator, endpoint: str) -> list[str]:
    return [worker["status"] for worker in emulator.ask("GET", f"/v2/serverless/{endpoint}/workers")["workers"]]


def test_a_job_goes_through_the_queue_with_progress_to_its_output(emulator: Emulator, warm: str) -> None:
    job = submit(emulator, warm, {"say": "hello", "wait": 1, "progress": {"percent": 40}})
    soon(lambda: status(emulator, warm, job).get("output") == {"percent": 40}, "progress is seen")
    done = ended(emulator, warm, job)
    assert (done["status"], done["output"]["said"]) == ("COMPLETED", "hello")
    assert done["executionTime"] >= 1000 and done["delayTime"] >= 0
    assert done["workerId"] == row(emulator, "jobs", job)["deliveries"][0]["worker"]


def test_a_workers_environment_is_the_endpoints_and_the_providers(emulator: Emulator) -> None:
    id_ = emulator.endpoint("echo:1", args="", env={"CALLSHEET_STORE": "s3://b"})
    job = submit(emulator, id_, {"env": ["CALLSHEET_STORE", "RUNPOD_ENDPOINT_ID", "RUNPOD_POD_ID", "USER"]})
    done = ended(emulator, id_, job)
    assert done["output"]["env"] == {"CALLSHEET_STORE": "s3://b", "RUNPOD_ENDPOINT_ID": id_,
                                     "RUNPOD_POD_ID": done["workerId"], "USER": None}
    emulator.ask("DELETE", f"/v2/serverless/{id_}")


def test_a_handlers_error_makes_the_job_failed_and_keeps_the_rest(emulator: Emulator, warm: str) -> None:
    error = {"code": "x.y", "message": "no", "remedy": "try"}
    done = ended(emulator, warm, submit(emulator, warm, {"error": error}))
    assert (done["status"], done["error"], done["output"]) == ("FAILED", error, {"kept": True})


def test_a_failed_job_can_be_retried(emulator: Emulator, warm: str) -> None:
    job = submit(emulator, warm, {"error": "no"})
    ended(emulator, warm, job)
    assert emulator.ask("POST", f"/jobs/{warm}/retry/{job}")["status"] == "IN_QUEUE"
    assert ended(emulator, warm, job)["status"] == "FAILED"
    assert len(row(emulator, "jobs", job)["deliveries"]) == 1


def test_a_sync_job_is_answered_with_its_output(emulator: Emulator, warm: str) -> None:
    done = emulator.ask("POST", f"/jobs/{warm}/runsync", {"input": {"say": 5}})
    assert (done["status"], done["output"]["said"]) == ("COMPLETED", 5)


def test_cancelling_a_job_stops_an_async_handler_and_frees_its_worker(emulator: Emulator, warm: str) -> None:
    job = submit(emulator, warm, {"wait": 600})
    running(emulator, warm, job)
    assert emulator.ask("POST", f"/jobs/{warm}/cancel/{job}")["status"] == "CANCELLED"
    assert status(emulator, warm, job)["status"] == "CANCELLED"
    soon(lambda: workers(emulator, warm) == ["IDLE", "IDLE"], "its worker is idle again")
    assert row(emulator, "jobs", job)["late"] == []


@pytest.mark.soak
def test_a_blocking_handlers_late_result_is_kept_from_the_client(emulator: Emulator) -> None:
    id_ = emulator.endpoint("blocking:1", args="")
    job = submit(emulator, id_, {"wait": 1.5})
    running(emulator, id_, job)
    emulator.ask("POST", f"/jobs/{id_}/cancel/{job}")
    soon(lambda: row(emulator, "jobs", job)["late"], "the late result arrives")
    assert status(emulator, id_, job)["status"] == "CANCELLED"
    emulator.ask("DELETE", f"/v2/serverless/{id_}")


@pytest.mark.soak
def test_a_worker_that_does_not_stop_is_ended_and_costs_no_more(emulator: Emulator) -> None:
    id_ = emulator.endpoint("blocking:1", args="")
    job = submit(emulator, id_, {"wait": 600})
    worker = running(emulator, id_, job)["workerId"]
    emulator.ask("POST", f"/jobs/{id_}/cancel/{job}")
    soon(lambda: row(emulator, "workers", worker)["ended"], "the worker is ended")
    assert all(life["ended"] for life in emulator.state()["bill"] if life["resource"] == worker)
    emulator.ask("DELETE", f"/v2/serverless/{id_}")


@pytest.mark.soak
def test_a_job_over_its_execution_time_is_timed_out(emulator: Emulator, warm: str) -> None:
    job = submit(emulator, warm, {"wait": 600}, policy={"executionTimeout": 5000, "ttl": 60_000})
    assert ended(emulator, warm, job)["status"] == "TIMED_OUT"
    soon(lambda: workers(emulator, warm) == ["IDLE", "IDLE"], "its worker is idle again")


@pytest.mark.soak
def test_a_job_over_its_ttl_is_unknown_even_in_the_middle_of_its_work(emulator: Emulator, warm: str) -> None:
    job = submit(emulator, warm, {"wait": 11}, policy={"ttl": 10_000})
    running(emulator, warm, job)

    def unknown() -> bool:
        try:
            status(emulator, warm, job)
        except httpx.HTTPStatusError as error:
            return error.response.status_code == 404
        return False

    soon(unknown, "its status is 404")
    soon(lambda: row(emulator, "jobs", job)["late"], "its worker went on and answered nobody")


def test_a_stream_gives_each_part_once_and_ends(emulator: Emulator) -> None:
    id_ = emulator.endpoint("streaming:1", args="")
    job, parts, state = submit(emulator, id_, {"parts": 4}), [], ""
    while state not in ("COMPLETED", "FAILED"):
        found = emulator.ask("GET", f"/jobs/{id_}/stream/{job}")
        parts += [chunk["output"]["part"] for chunk in found["stream"]]
        state = found["status"]
    assert (parts, state) == ([0, 1, 2, 3], "COMPLETED")
    emulator.ask("DELETE", f"/v2/serverless/{id_}")


def test_health_counts_jobs_and_workers(emulator: Emulator, warm: str) -> None:
    before = emulator.ask("GET", f"/jobs/{warm}/health")
    ended(emulator, warm, submit(emulator, warm, {}))
    after = emulator.ask("GET", f"/jobs/{warm}/health")
    assert after["jobs"]["completed"] == before["jobs"]["completed"] + 1
    assert set(after["workers"]) == {"idle", "initializing", "ready", "running", "throttled", "unhealthy"}
    assert after["workers"]["ready"] == 2


def test_purging_removes_what_waits_and_nothing_else(emulator: Emulator, fresh: str) -> None:
    emulator.ask("PATCH", f"/v2/serverless/{fresh}", {"workers": {"max": 0}})
    jobs = [submit(emulator, fresh, {}) for _ in range(3)]
    assert emulator.ask("POST", f"/jobs/{fresh}/purge-queue")["removed"] == 3
    assert {status(emulator, fresh, job)["status"] for job in jobs} == {"CANCELLED"}
    emulator.ask("POST", f"/jobs/{fresh}/purge-queue")
    assert refused(lambda: emulator.ask("POST", f"/jobs/{fresh}/purge-queue"))[0] == 429


def test_inputs_and_policies_that_cannot_be_are_refused(emulator: Emulator, warm: str) -> None:
    for body in ({}, {"input": {}, "policy": {"ttl": 1}}, {"input": {}, "policy": {"executionTimeout": "5000"}}):
        assert refused(lambda b=body: emulator.ask("POST", f"/jobs/{warm}/run", b))[0] == 400    # type: ignore[misc]
    assert refused(lambda: submit(emulator, warm, "x" * 10_000_001))[0] == 400
    assert refused(lambda: submit(emulator, "nowhere", {}))[0] == 404


@pytest.mark.soak
def test_an_idle_worker_ends_after_its_time_and_is_paid_from_placement_to_end(emulator: Emulator, fresh: str) -> None:
    job = submit(emulator, fresh, {"wait": 0.5})
    worker = ended(emulator, fresh, job)["workerId"]
    soon(lambda: row(emulator, "workers", worker)["ended"], "the worker ended")
    found = row(emulator, "workers", worker)
    life, = (each for each in emulator.state()["bill"] if each["resource"] == worker)
    assert (life["started"], life["ended"]) == (found["placed"], found["ended"])
    assert 2 <= found["ended"] - row(emulator, "jobs", job)["ended"] < 4
    bill = emulator.ask("GET", "/v2/billing/serverless", params={"bucketSize": "hour", "serverlessId": fresh})
    assert bill["metadata"]["totals"]["totalAmount"] == pytest.approx(life["seconds"] * 0.00034)


@pytest.mark.soak
def test_a_queue_that_does_not_move_fast_enough_gets_another_worker(emulator: Emulator, fresh: str) -> None:
    jobs = [submit(emulator, fresh, {"wait": 6}) for _ in range(2)]
    assert len({ended(emulator, fresh, job)["workerId"] for job in jobs}) == 2


# ---- faults


@pytest.mark.soak
def test_a_crashed_workers_job_is_delivered_once_more_and_then_failed(emulator: Emulator, fresh: str) -> None:
    done = ended(emulator, fresh, submit(emulator, fresh, {"die": 3}))
    assert done["status"] == "FAILED" and "worker" in done["error"]
    assert len(row(emulator, "jobs", done["id"])["deliveries"]) == 2
    assert emulator.ask("GET", f"/jobs/{fresh}/health")["jobs"]["retried"] == 1


@pytest.mark.soak
@pytest.mark.parametrize("kind", [FaultKind.CRASH, FaultKind.CRASH_AT_REPLY, FaultKind.WORKER_FROZEN])
def test_a_job_survives_the_death_of_its_worker(emulator: Emulator, fresh: str, kind: FaultKind) -> None:
    emulator.inject(kind, where=fresh)
    done = ended(emulator, fresh, submit(emulator, fresh, {"say": 1, "wait": 0.5}))
    assert (done["status"], done["output"]["said"]) == ("COMPLETED", 1)
    assert len(row(emulator, "jobs", done["id"])["deliveries"]) == 2
    assert emulator.state()["struck"][-1] == kind


@pytest.mark.soak
def test_a_job_can_be_delivered_twice_while_its_first_worker_goes_on(emulator: Emulator, fresh: str) -> None:
    emulator.inject(FaultKind.HEARTBEAT_LOST, where=fresh, seconds=0.2)
    job = submit(emulator, fresh, {"wait": 6})
    first = running(emulator, fresh, job)["workerId"]
    assert ended(emulator, fresh, job)["workerId"] == first
    soon(lambda: len(row(emulator, "jobs", job)["deliveries"]) == 2, "it was delivered twice")
    soon(lambda: row(emulator, "jobs", job)["late"], "the second worker's result came late")


def test_a_job_can_vanish_while_its_worker_goes_on(emulator: Emulator, warm: str) -> None:
    emulator.inject(FaultKind.VANISHED, where=warm)
    job = submit(emulator, warm, {"wait": 1})
    soon(lambda: row(emulator, "jobs", job)["gone"], "it is gone")
    assert refused(lambda: status(emulator, warm, job))[0] == 404
    soon(lambda: row(emulator, "jobs", job)["late"], "its worker answered nobody")


@pytest.mark.soak
def test_a_result_that_is_too_large_leaves_the_job_in_progress(emulator: Emulator, fresh: str) -> None:
    job = submit(emulator, fresh, {"large": 22_000_000}, policy={"executionTimeout": 12_000})
    soon(lambda: workers(emulator, fresh) == ["IDLE"] and row(emulator, "jobs", job)["taken"], "the worker gave up")
    assert status(emulator, fresh, job)["status"] == "IN_PROGRESS"
    assert ended(emulator, fresh, job)["status"] == "TIMED_OUT"


@pytest.mark.parametrize(("kind", "seen"), [
    (FaultKind.OUTPUT_MISSING, None), (FaultKind.OUTPUT_REPLACED, {"images": ["x"]}),
])
def test_outputs_can_be_spoilt(emulator: Emulator, warm: str, kind: FaultKind, seen: Any) -> None:
    emulator.inject(kind, where=warm, value=seen)
    done = ended(emulator, warm, submit(emulator, warm, {"say": 1}))
    assert (done["status"], done.get("output")) == ("COMPLETED", seen)


def test_progress_can_come_after_the_end(emulator: Emulator, warm: str) -> None:
    emulator.inject(FaultKind.PROGRESS_AFTER_DONE, where=warm, value={"percent": 99})
    job = submit(emulator, warm, {"say": 1})
    soon(lambda: row(emulator, "jobs", job)["ended"], "it is done")
    assert [status(emulator, warm, job)["status"] for _ in range(2)] == ["IN_PROGRESS", "COMPLETED"]


def test_a_cancel_can_be_ignored(emulator: Emulator, warm: str) -> None:
    emulator.inject(FaultKind.CANCEL_IGNORED, where=warm)
    job = submit(emulator, warm, {"say": 1, "wait": 1})
    running(emulator, warm, job)
    assert emulator.ask("POST", f"/jobs/{warm}/cancel/{job}")["status"] == "CANCELLED"
    assert ended(emulator, warm, job)["status"] == "COMPLETED"


def test_a_late_result_can_revive_a_cancelled_job(emulator: Emulator, warm: str) -> None:
    emulator.inject(FaultKind.LATE_RESULT, where=warm)
    job = submit(emulator, warm, {"say": 1, "wait": 1})
    running(emulator, warm, job)
    emulator.ask("POST", f"/jobs/{warm}/cancel/{job}")
    assert status(emulator, warm, job)["status"] == "CANCELLED"
    soon(lambda: status(emulator, warm, job)["status"] == "COMPLETED", "the result came")


def test_a_job_can_time_out_by_itself(emulator: Emulator, warm: str) -> None:
    emulator.inject(FaultKind.TIMED_OUT, where=warm, seconds=0.3)
    assert ended(emulator, warm, submit(emulator, warm, {"wait": 60}))["status"] == "TIMED_OUT"


def test_workers_can_find_no_machine(emulator: Emulator, fresh: str) -> None:
    emulator.inject(FaultKind.THROTTLED, where=fresh, count=-1)
    job = submit(emulator, fresh, {})
    soon(lambda: workers(emulator, fresh) == ["THROTTLED"], "its worker is throttled")
    assert status(emulator, fresh, job)["status"] == "IN_QUEUE"
    assert not [life for life in emulator.state()["bill"] if life["provider_id"] == fresh]


def test_workers_can_crash_again_and_again_and_cost_all_the_same(emulator: Emulator, fresh: str) -> None:
    emulator.inject(FaultKind.UNHEALTHY, where=fresh)
    submit(emulator, fresh, {})
    soon(lambda: "UNHEALTHY" in workers(emulator, fresh), "its worker is unhealthy")
    assert [life for life in emulator.state()["bill"] if life["provider_id"] == fresh]


@pytest.mark.parametrize("kind", [FaultKind.MAX_ZERO, FaultKind.NO_WORKERS])
def test_an_endpoint_can_be_without_workers(emulator: Emulator, fresh: str, kind: FaultKind) -> None:
    emulator.inject(kind, where=fresh)
    job = submit(emulator, fresh, {})
    most = emulator.ask("GET", f"/v2/serverless/{fresh}")["workers"]["max"]
    assert (status(emulator, fresh, job)["status"], workers(emulator, fresh)) == ("IN_QUEUE", [])
    assert most == (0 if kind is FaultKind.MAX_ZERO else 2)


def test_times_in_answers_can_be_off(emulator: Emulator, warm: str) -> None:
    job = submit(emulator, warm, {})
    ended(emulator, warm, job)
    emulator.inject(FaultKind.CLOCK_SKEW, seconds=-100)
    found = status(emulator, warm, job)
    emulator.clear_faults()
    assert found["delayTime"] < 0 and found["executionTime"] < 0


# ---- webhooks


class Listener(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.heard: list[dict[str, Any]] = []
        self.refusals = 0
        self.url = f"http://127.0.0.1:{self.server_port}/done"


class Hook(BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:                          # the library's name
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.server.refusals -= 1
        self.send_response(500 if self.server.refusals >= 0 else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_webhook_tells_what_status_tells(emulator: Emulator, warm: str, listener: Listener) -> None:
    job = submit(emulator, warm, {"say": 1}, webhook=listener.url)
    done = ended(emulator, warm, job)
    soon(lambda: listener.heard, "the webhook was heard")
    assert listener.heard == [done]


@pytest.mark.soak
def test_a_webhook_that_is_refused_is_tried_three_times(tmp_path: Any, listener: Listener) -> None:
    listener.refusals = 9
    with running_emulator(tmp_path, images=IMAGES, scale=20) as emulator:
        id_ = emulator.endpoint("echo:1", args="", timeout_s=3600)
        job = submit(emulator, id_, {}, webhook=listener.url)
        ended(emulator, id_, job)
        soon(lambda: len(listener.heard) >= 3, "three tries were made")
        tries = [each["at"] for each in emulator.state()["webhooks"]]
        assert len(tries) == 3 and tries[1] - tries[0] >= 10 and tries[2] - tries[1] >= 10


@pytest.mark.parametrize(("kind", "heard"), [(FaultKind.WEBHOOK_LOST, 0), (FaultKind.WEBHOOK_DOUBLED, 2)])
def test_webhooks_can_be_lost_and_doubled(emulator: Emulator, warm: str, listener: Listener, kind: FaultKind,
                                          heard: int) -> None:
    emulator.inject(kind, where=warm)
    first = submit(emulator, warm, {}, webhook=listener.url)
    ended(emulator, warm, first)
    last = submit(emulator, warm, {}, webhook=listener.url)
    ended(emulator, warm, last)
    soon(lambda: any(each["id"] == last for each in listener.heard), "the next webhook was heard")
    assert sum(each["id"] == first for each in listener.heard) == heard


@pytest.mark.soak
def test_webhooks_can_come_out_of_order(emulator: Emulator, warm: str, listener: Listener) -> None:
    emulator.inject(FaultKind.WEBHOOK_LATE, where=warm, seconds=4)
    jobs = []
    for _ in range(2):
        jobs.append(submit(emulator, warm, {}, webhook=listener.url))
        ended(emulator, warm, jobs[-1])
    soon(lambda: len(listener.heard) == 2, "both were heard")
    assert [each["id"] for each in listener.heard] == jobs[::-1]
