"""Ledger and the emulator's bill: after reconciling they are equal to the second, from its billing API alone."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from callsheet.costs import CostRow, Kind, Outcome, Payer
from callsheet.doors import costs, reconciling
from callsheet.pricing import card, job_rate
from callsheet.runpod.client import JobsClient, JobStatus, Policy, Watch
from callsheet.runpod.control import Control, PodOrder
from callsheet.runpod.emulator.serve import Emulator, running_emulator
from callsheet.runpod.http import Api
from callsheet.settings import Settings
from callsheet.store.ledger import Ledger

pytestmark = pytest.mark.slow

ECHO = Path(__file__).parents[1] / "runpod" / "handlers" / "echo.py"
RATE = job_rate(card("A40"))


async def job(client: JobsClient, wait_s: float) -> JobStatus:
    job_id = await client.submit({"wait": wait_s}, Policy.covering(60, 60))
    return await client.wait(job_id, on_status=lambda status: None, poll_s=0.2, watch=Watch())


def work(endpoint: str, done: JobStatus) -> CostRow:
    seconds, now = done.execution_s, datetime.now(UTC)
    return CostRow(
        kind=Kind.WORK, plane="endpoint", provider_id=endpoint, resource=done.id, payer=Payer(actor="ava"),
        gpu=RATE.gpu, usd_per_second=RATE.usd_per_second, outcome=Outcome.MADE,
        started=now - timedelta(seconds=seconds),
        seconds=seconds, usd=RATE.cost(seconds), upper_usd=RATE.cost(seconds + 65))


def wait_until_idle(emulator: Emulator) -> None:
    end = time.monotonic() + 30
    while any(life["ended"] is None for life in emulator.state()["bill"]):
        assert time.monotonic() < end, emulator.state()["bill"]
        time.sleep(0.2)


async def rented(control: Control, seconds: float) -> CostRow:
    """A pod that is deleted without having told of any work."""
    pod = await control.create_pod(PodOrder(name="callsheet-x", image="sleeper:1", gpu=card("A40").id))
    began = datetime.now(UTC)
    await asyncio.sleep(seconds)
    await control.delete_pod(pod.id)
    return CostRow(
        kind=Kind.ORPHAN, plane="pod", provider_id=pod.id, resource=pod.id, gpu=pod.rate.gpu,
        usd_per_second=pod.rate.usd_per_second, started=began, seconds=seconds, usd=pod.rate.cost(seconds))


def test_jobs_cold_starts_idle_time_and_orphans_equal_the_bill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = {"echo": (sys.executable, str(ECHO)), "sleeper": ("sleep", "60")}
    with running_emulator(tmp_path / "emulator", images=images) as emulator:
        settings = Settings.load({**emulator.environment(), "CALLSHEET_HOME": str(tmp_path / "home")})
        ledger = costs.open_ledger(settings)
        endpoint = emulator.endpoint("echo:1", max_workers=2, idle_s=1, args="", pools=("AMPERE_48",))
        key = SecretStr(emulator.key)
        control = Control(Api(emulator.api, key))
        client = JobsClient(Api(emulator.jobs, key), endpoint, control)

        async def some() -> list[CostRow]:
            done = await asyncio.gather(job(client, 0.3), job(client, 1.1), job(client, 0.2))
            return [*(work(endpoint, one) for one in done), await rented(control, 1.3)]

        rows = asyncio.run(some())
        for row in rows[1:]:                              # one job was never written down
            ledger.record(row, "only")
        wait_until_idle(emulator)
        assert_equal(emulator, settings, ledger)
        ledger.record(rows[0], "only")                    # its row comes late
        assert_equal(emulator, settings, ledger)
        assert reconciling.reconcile_all(settings, ledger, datetime.now(UTC), datetime.now(UTC)) == 0


def assert_equal(emulator: Emulator, settings: Settings, ledger: Ledger) -> None:
    reconciling.reconcile_all(settings, ledger, datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC))
    bill, rows = emulator.state()["bill"], ledger.rows()
    for plane in ("pod", "endpoint"):
        ours = [row for row in rows if row.plane == plane]
        theirs = [life for life in bill if life["plane"] == plane]
        assert sum(row.usd for row in ours) == pytest.approx(sum(life["usd"] for life in theirs), abs=1e-9)
        assert sum(row.seconds for row in ours) == pytest.approx(sum(life["seconds"] for life in theirs), abs=0.01)
    assert all(row.reconciled for row in rows)
    assert {row.kind for row in rows if row.plane == "pod"} == {Kind.ORPHAN}
