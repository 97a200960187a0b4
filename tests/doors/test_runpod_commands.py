"""`callsheet runpod`: up says prices before it does anything, reap asks Prefect, status looks."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from callsheet.costs import CostRow, Kind
from callsheet.doors import flow_runs, runpod_commands
from callsheet.doors.costs import open_ledger
from callsheet.errors import InputError, ProviderError, SettingInvalid, SettingMissing
from callsheet.runpod.control import Control
from callsheet.settings import Settings
from tests.doors.loopback import Answer, answering
from tests.support.fake_account import FakeAccount

CANARY = "canary-4f1d9e"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeAccount:
    monkeypatch.chdir(tmp_path)
    for row in Settings.load().table():
        for name in (row.name, *row.also):
            monkeypatch.delenv(name, raising=False)
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "RUNPOD_API_KEY": "key", "CALLSHEET_RUNPOD_IMAGE": "studio/callsheet:1", "COLUMNS": "200",
        "CALLSHEET_STORE": "s3://studio/store", "R2_SECRET_KEY": CANARY, "CALLSHEET_HOME": str(tmp_path / "home"),
    }.items():
        monkeypatch.setenv(name, value)
    fake = FakeAccount()
    monkeypatch.setattr(runpod_commands, "control_of", lambda settings: fake.control())
    return fake


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(runpod_commands.app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


# ---- up

def test_up_says_what_it_would_do_and_what_that_costs(account: FakeAccount) -> None:
    said = run("up")
    assert account.seen == []
    assert "create  volume personaforge-studio-vol  200 GB, STANDARD in EU-SE-1" in said
    for words in ("$14 a month", "$1.22 to $1.91 an hour a worker, by the second", "while nothing runs: $14 a month",
                  "while 10 workers run: at most $19.08 an hour",
                  "nothing was done; callsheet runpod up --yes does it"):
        assert words in said, said


def test_a_warm_worker_says_its_price(account: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_RUNPOD_GPUS", "A40")
    said = run("up", "--warm", "1")
    assert "1 worker kept warm: $881 of it" in said
    assert "while nothing runs: $895 a month" in said


def test_up_with_yes_does_it_and_says_which_ids_to_keep(account: FakeAccount) -> None:
    said = run("up", "--yes")
    assert [len(things) for things in account.things.values()] == [1, 1, 1]
    assert "RUNPOD_ENDPOINT_ID=ser1" in said
    assert "CALLSHEET_RUNPOD_VOLUME=net1" in said
    before = len(account.seen)
    again = run("up", "--yes")
    assert len(account.seen) == before
    assert again.count("is there") == 4


def test_workers_get_the_store_and_its_keys_and_never_the_accounts_own(account: FakeAccount) -> None:
    assert CANARY not in run("up", "--yes") + run("up", "--json")
    (endpoint,) = account.things["serverless"]
    assert endpoint["env"]["R2_SECRET_KEY"] == CANARY
    assert endpoint["env"]["CALLSHEET_STORE"] == "s3://studio/store"
    assert "RUNPOD_API_KEY" not in endpoint["env"]


def test_workers_get_prefects_public_address_where_it_is_set(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("up", "--yes")
    (endpoint,) = account.things["serverless"]
    assert "PREFECT_API_URL" not in endpoint["env"]
    monkeypatch.setenv("CALLSHEET_PREFECT_PUBLIC_URL", "https://prefect.studio.example/api")
    assert "PREFECT_API_URL" in run("up", "--yes")
    (template,) = account.things["templates"]
    for thing in (template, account.things["serverless"][0]):
        assert thing["env"]["PREFECT_API_URL"] == "https://prefect.studio.example/api"


def test_a_public_address_of_prefect_that_means_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_PREFECT_PUBLIC_URL", "http://localhost:4200/api")
    with pytest.raises(SettingInvalid, match="this machine alone"):
        run("up", "--yes")


def test_json_has_a_step_each(account: FakeAccount) -> None:
    steps = json.loads(run("up", "--json"))
    assert [(step["verb"], step["what"]) for step in steps] == [
        ("create", "volume"), ("create", "template"), ("create", "endpoint")]
    assert steps[0]["month_usd"] == pytest.approx([14, 14])


@pytest.mark.parametrize(("variable", "value", "error"), [
    ("CALLSHEET_RUNPOD_IMAGE", "", SettingMissing), ("CALLSHEET_STORE", "folder", SettingInvalid),
])
def test_what_cannot_work_is_refused_before_anything_is_asked(
    account: FakeAccount, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, error: type[Exception]
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(error):
        run("up", "--yes")
    assert account.seen == []


def test_more_warm_workers_than_there_may_be_are_refused() -> None:
    with pytest.raises(InputError, match="--warm 3 is more than --max 2"):
        run("up", "--warm", "3", "--max", "2")


# ---- reap

class Yard:
    """Pods that can be deleted, and nothing else."""

    def __init__(self, pods: list[dict[str, Any]]) -> None:
        self.account = FakeAccount()
        self.account.pods = pods
        self.deleted: list[str] = []

    def control(self) -> Control:
        control = self.account.control()

        async def delete_pod(pod_id: str) -> bool:
            self.deleted.append(pod_id)
            return True

        control.delete_pod = delete_pod  # type: ignore[method-assign]
        return control


def pod(pod_id: str, name: str, minutes: float, deadline_s: int = 3600) -> dict[str, Any]:
    return {"id": pod_id, "name": name, "status": "RUNNING", "cost": 3.6, "gpu": {"id": "NVIDIA A40", "count": 1},
            "createdAt": (now() - timedelta(minutes=minutes)).isoformat(),
            "env": {"CALLSHEET_POD_DEADLINE_S": str(deadline_s)}}


def yard(monkeypatch: pytest.MonkeyPatch, *pods: dict[str, Any]) -> Yard:
    made = Yard(list(pods))
    monkeypatch.setattr(runpod_commands, "control_of", lambda settings: made.control())
    monkeypatch.setenv("CALLSHEET_STORE", str(Path.cwd() / "store"))
    return made


def test_a_pod_past_its_deadline_goes_without_asking_prefect_and_its_cost_is_written_down(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    place = yard(monkeypatch, pod("old", f"callsheet-{uuid4()}", 90), pod("new", f"callsheet-{uuid4()}", 10),
                 pod("other", "jupyter", 9000))
    said = run("reap")
    assert place.deleted == ["old"]
    assert "only pods past their deadline go" in said
    (row,) = open_ledger(Settings.load()).rows()
    assert (row.kind, row.provider_id) == (Kind.ORPHAN, "old")
    assert row.seconds == pytest.approx(90 * 60, abs=30)


def test_a_dry_run_deletes_and_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    place = yard(monkeypatch, pod("old", f"callsheet-{uuid4()}", 90))
    assert "would be deleted: it is past its deadline" in run("reap", "--dry-run")
    assert place.deleted == []
    assert open_ledger(Settings.load()).rows() == []


def test_what_a_pod_wrote_down_itself_is_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    yard(monkeypatch, pod("old", f"callsheet-{uuid4()}", 90))
    ledger = open_ledger(Settings.load())
    ledger.record(CostRow(
        kind=Kind.WORK, plane="pod", provider_id="old", resource="old", gpu="NVIDIA A40", usd_per_second=0.001,
        started=now() - timedelta(minutes=80), seconds=3000, usd=3.0), "work")
    run("reap")
    assert sum(row.seconds for row in open_ledger(Settings.load()).rows()) == pytest.approx(90 * 60, abs=30)


@pytest.mark.parametrize(("answer", "deleted"), [
    (Answer(200, json.dumps({"state": {"type": "COMPLETED", "name": "Completed"}})), ["pod"]),
    (Answer(200, json.dumps({"state": {"type": "RUNNING", "name": "Running"}})), []),
    (Answer(503, ""), []),
])
def test_a_pod_goes_when_its_flow_run_has_ended(
    monkeypatch: pytest.MonkeyPatch, answer: Answer, deleted: list[str]
) -> None:
    place = yard(monkeypatch, pod("pod", f"callsheet-{uuid4()}", 10))
    with answering(answer) as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        run("reap")
    assert place.deleted == deleted


@pytest.mark.parametrize(("health", "deleted"), [("true", ["pod"]), ("<html>", [])])
def test_an_unknown_flow_run_counts_only_where_a_prefect_server_says_so(
    monkeypatch: pytest.MonkeyPatch, health: str, deleted: list[str]
) -> None:
    place = yard(monkeypatch, pod("pod", f"callsheet-{uuid4()}", 10))
    with answering(Answer(404, "{}"), Answer(200, health)) as server:
        monkeypatch.setenv("PREFECT_API_URL", f"{server.url}/api")
        run("reap")
    assert place.deleted == deleted


def test_without_a_server_nobody_can_tell() -> None:
    async def ask() -> str | None:
        return await flow_runs.needed(None, {})("any")

    with pytest.raises(ProviderError):
        asyncio.run(ask())


# ---- status

def test_status_says_what_is_paid_now(account: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    run("up", "--yes")
    monkeypatch.setenv("RUNPOD_ENDPOINT_ID", "ser1")
    account.pods = [pod("p1", "callsheet-a", 90), pod("p2", "jupyter", 5)]
    account.workers = [{"id": "w", "status": "RUNNING"}]
    said = run("status")
    assert "pod callsheet-a  p1  RUNNING  1 h 30 min  3.60 $/h" in said
    assert "0 to 10 workers, now 1 running" in said
    assert "1 pod of ours, 3.60 $/h" in said
    account.things["serverless"][0]["workers"]["max"] = 0
    assert "callsheet runpod up --yes wakes it" in run("status")
    assert json.loads(run("status", "--json"))["pods"][0]["usd_per_hour"] == 3.6
