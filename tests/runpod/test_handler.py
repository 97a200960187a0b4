"""The handler by hand, with a child that does as it is told: checked, claimed once, told, killed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from callsheet.runpod import handler as module
from callsheet.runpod.backstage import Backstage
from callsheet.runpod.handler import MAX_REPLY_BYTES, Handler
from callsheet.runpod.job_inputs import FlowRunJob, StageJob
from callsheet.settings import Settings
from callsheet.store.attempts import close_attempt, holder, take_attempt
from callsheet.store.base import Outcome
from callsheet.store.local import LocalStore
from callsheet.store.make import make
from callsheet.store.records import Records
from tests.runpod.test_job_inputs import API, RECIPE, RUN_ID, flow_run_input, stage_input
from tests.support.prefect_server import unconfigured

FAKE = [sys.executable, str(Path(__file__).parent / "fake_stagehand.py")]
ENVIRONMENT = {"PATH": os.environ["PATH"], "PREFECT_API_URL": API}
KEY = StageJob.of(RECIPE).key
PUBLIC = {"job_type": "lipsync_only", "image": "https://a.example/a.png", "audio": "https://a.example/a.wav"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("CALLSHEET_DELIVERY", str(tmp_path / "delivery"))


@pytest.fixture
def backstage() -> Iterator[Backstage]:
    made = Backstage(ENVIRONMENT, FAKE, quiet_s=20)
    yield made
    made.clear()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def reply_to(
    backstage: Backstage, fields: Any, job_id: str = "job-1", environment: Mapping[str, str] = ENVIRONMENT,
    **options: Any,
) -> dict[str, Any]:
    handler = Handler(Settings.load(), environment, backstage, **options)
    return asyncio.run(handler.handle({"id": job_id, "input": fields}))


# ---- what is refused


def test_a_wrong_field_is_told_with_code_message_and_remedy_and_nothing_is_claimed(
    backstage: Backstage, store: LocalStore
) -> None:
    reply = reply_to(backstage, stage_input(attempt=0))
    assert reply["error"] == {
        "code": "request.invalid", "message": "field input.attempt: is under 1", "remedy": "use at least 1"}
    assert not reply["success"] and backstage.pid is None
    assert store.names("claims/") == []


@pytest.mark.parametrize("fields", [None, [], {"job_type": "dance"}, {"job_type": "stage"}, "x" * 100])
def test_nonsense_gets_a_reply(backstage: Backstage, fields: Any) -> None:
    assert reply_to(backstage, fields)["error"]["code"] == "request.invalid"


def test_a_public_job_without_a_place_to_deliver_to_is_refused(
    backstage: Backstage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALLSHEET_DELIVERY")
    assert reply_to(backstage, PUBLIC)["error"]["code"] == "setting.missing"
    assert backstage.pid is None


def test_an_answer_over_a_megabyte_becomes_an_error(backstage: Backstage) -> None:
    reply = reply_to(backstage, {**PUBLIC, "image": "https://a.example/" + "x" * MAX_REPLY_BYTES})
    assert "at most 1000000 can be sent" in reply["error"]["message"]


def test_without_a_store_it_does_not_start(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CALLSHEET_STORE")
    assert module.main() == 2
    assert "A store that outlives this worker is required: set CALLSHEET_STORE" in capfd.readouterr().err


# ---- claims


def test_a_stage_job_is_claimed_before_it_is_made(backstage: Backstage, store: LocalStore) -> None:
    reply = reply_to(backstage, stage_input(attempt=3))
    assert reply["asked"]["key"] == KEY
    assert holder(store, KEY, 3) == "job-1"


@pytest.mark.parametrize(("who", "words"), [
    pytest.param("job-0", "belongs to job job-0", id="another job"),
    pytest.param("job-1", "began on a worker that was lost", id="the same job, delivered twice"),
])
def test_an_attempt_that_is_taken_is_not_made_again(
    backstage: Backstage, store: LocalStore, who: str, words: str
) -> None:
    take_attempt(store, KEY, 1, who, "w")
    reply = reply_to(backstage, stage_input())
    assert reply["error"]["code"] == "claim.taken"
    assert reply["error"]["message"] == f"attempt 1 at {KEY} {words}"
    assert backstage.pid is None, "it was rendered"


def test_an_attempt_that_was_closed_is_not_made(backstage: Backstage, store: LocalStore) -> None:
    close_attempt(store, KEY, 1, "adopter")
    reply = reply_to(backstage, stage_input())
    assert reply["error"]["code"] == "claim.taken" and "somebody who gave it up" in reply["error"]["message"]


def test_a_duplicate_of_a_job_that_is_done_is_told_what_was_made(backstage: Backstage, store: LocalStore) -> None:
    def work(room: Any) -> Outcome:
        room.path("clip.mp4").write_bytes(b"clip")
        return Outcome(files={"main": room.path("clip.mp4")}, made_by="test")

    record, _ = make(RECIPE, work, Records(store))
    take_attempt(store, KEY, 1, "job-0", "w")
    assert reply_to(backstage, stage_input()) == {
        "stage": "segments", "fingerprint": RECIPE.fingerprint, "cached": True,
        "artifacts": {"main": record.artifacts["main"].sha256}}
    assert reply_to(backstage, stage_input(since="2999-01-01T00:00:00Z"))["error"]["code"] == "claim.taken"


def test_a_store_that_cannot_be_asked_makes_nothing(backstage: Backstage, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    assert reply_to(backstage, stage_input())["error"]["code"] != "claim.taken"
    assert backstage.pid is None


# ---- progress and cancelling


def test_progress_is_passed_on_and_settled_before_the_reply(backstage: Backstage) -> None:
    order: list[Any] = []
    reply_to(backstage, PUBLIC, tell=lambda job, progress: order.append((job["id"], progress)),
             settle=lambda: order.append("settled"))
    assert order == [("job-1", {"share": 0.5, "what": "halfway"}), "settled"]


def test_a_dead_child_is_told(backstage: Backstage, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = Backstage(ENVIRONMENT, [sys.executable, "-c", "raise SystemExit(9)"])
    error = reply_to(dead, PUBLIC)["error"]
    assert error["code"] == "engine.failed" and "ended with exit code 9" in error["message"]


def test_cancelling_raises_and_kills(backstage: Backstage) -> None:
    async def cancelled() -> float:
        hanging = Backstage(ENVIRONMENT, [sys.executable, "-c", "import time; time.sleep(600)"])
        handler = Handler(Settings.load(), ENVIRONMENT, hanging)
        task = asyncio.create_task(handler.handle({"id": "j", "input": stage_input()}))
        while hanging.pid is None:
            await asyncio.sleep(0.01)
        child = psutil.Process(hanging.pid)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
        return time.monotonic() - began

    asyncio.run(cancelled())


# ---- flow runs


@pytest.fixture
def flow_run_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def use(program: str) -> None:
        monkeypatch.setattr(module, "FLOW_RUN", (sys.executable, "-c", program))

    return use


def test_a_flow_run_is_executed_with_its_environment_and_its_exit_code_comes_back(
    backstage: Backstage, flow_run_command: Callable[[str], None], tmp_path: Path
) -> None:
    flow_run_command(
        "import json, os, sys\n"
        f"json.dump([sys.argv[1:], dict(os.environ)], open({str(tmp_path / 'said')!r}, 'w'))\n"
        "raise SystemExit(4)")
    backstage.warm_up()
    environment = {"PREFECT__WORKER_NAME": "w", "CALLSHEET_PAID_RATE": "0.0003"}
    assert reply_to(backstage, flow_run_input(environment=environment)) == {"exit_code": 4}
    arguments, seen = json.loads((tmp_path / "said").read_text())
    assert arguments == [RUN_ID]
    assert seen["PREFECT__FLOW_RUN_ID"] == RUN_ID
    assert {name: seen[name] for name in environment} == environment
    assert seen["PREFECT_API_URL"] == API
    assert backstage.pid is None, "the warm models keep the card's memory"


@pytest.fixture
def nothing_runs(flow_run_command: Callable[[str], None], tmp_path: Path) -> Iterator[None]:
    """The flow's process, if there is one, is found out."""
    flow_run_command(f"open({str(tmp_path / 'ran')!r}, 'w')")
    yield
    assert not (tmp_path / "ran").exists(), "it ran"


def test_a_flow_run_of_another_prefect_server_is_refused_and_not_run(
    backstage: Backstage, store: LocalStore, nothing_runs: None
) -> None:
    """Its server could have the worker run anything."""
    error = reply_to(backstage, flow_run_input(api="http://me:hush@evil.example:4391/api", attempt=1))["error"]
    assert error["code"] == "request.invalid" and "input.api" in error["message"]
    assert "http://evil.example:4391" in error["message"] and "https://prefect.example" in error["message"]
    assert "hush" not in str(error) and "callsheet runpod up" in error["remedy"]
    assert store.names("claims/") == []


def test_a_flow_run_that_brings_its_own_server_is_refused_and_not_run(
    backstage: Backstage, nothing_runs: None
) -> None:
    brought = flow_run_input(environment={"PREFECT_API_URL": "http://evil.example:4391/api"})
    assert "may not have 'PREFECT_API_URL'" in reply_to(backstage, brought)["error"]["message"]


def test_a_worker_whose_template_knows_no_prefect_says_what_to_set(
    backstage: Backstage, store: LocalStore, nothing_runs: None
) -> None:
    error = reply_to(backstage, flow_run_input(attempt=1), environment={"PATH": os.environ["PATH"]})["error"]
    assert error["code"] == "setting.missing" and "PREFECT_API_URL in the endpoint's template" in error["message"]
    assert "CALLSHEET_PREFECT_PUBLIC_URL" in error["remedy"] and "callsheet runpod up" in error["remedy"]
    assert store.names("claims/") == []


@pytest.mark.parametrize("own", [f"{API}/", "https://me:hush@PREFECT.example/api"])
def test_the_same_server_spelt_otherwise_is_the_same(
    backstage: Backstage, flow_run_command: Callable[[str], None], own: str
) -> None:
    flow_run_command("")
    environment = {**ENVIRONMENT, "PREFECT_API_URL": own}
    assert reply_to(backstage, flow_run_input(), environment=environment) == {"exit_code": 0}


def test_a_flow_run_over_its_deadline_is_stopped(
    backstage: Backstage, flow_run_command: Callable[[str], None]
) -> None:
    flow_run_command("import time; time.sleep(600)")
    error = reply_to(backstage, flow_run_input(deadline_s=0.5))["error"]
    assert error["code"] == "provider.timed_out"


def test_a_flow_run_that_names_its_attempt_is_executed_once(
    backstage: Backstage, flow_run_command: Callable[[str], None]
) -> None:
    flow_run_command("")
    assert reply_to(backstage, flow_run_input(attempt=1)) == {"exit_code": 0}
    assert reply_to(backstage, flow_run_input(attempt=1), "job-2")["error"]["code"] == "claim.taken"
    assert FlowRunJob.model_validate(flow_run_input()).attempt is None
