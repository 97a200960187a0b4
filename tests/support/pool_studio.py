"""A pool of rented machines on a real Prefect server: an emulated account, a store, and workers that can be killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling

from callsheet.doors.reconciling import reconcile_all
from callsheet.project import root
from callsheet.runpod.emulator.serve import Emulator
from callsheet.runpod.worker import RunPodWorker
from callsheet.settings import Settings
from callsheet.store.budgets import Budgets
from callsheet.store.journal import Ended, Entry, Journal
from callsheet.store.ledger import Ledger
from callsheet.store.local import LocalStore
from tests.support.house import plain_environment

IMAGE = "callsheet:test"

FLOW = """
import time
from pathlib import Path
from prefect import flow
from prefect.runtime import flow_run

@flow(name="rented")
def rented(seconds: float, folder: str):
    note("began", folder)
    time.sleep(seconds)
    note("ended", folder)

def note(what: str, folder: str):
    (Path(folder) / what).touch()
    with (Path(folder) / f"notes-{flow_run.id}").open("a") as notes:
        notes.write(what + " ")
"""


class Studio:
    """A pool of its own on the shared server, an account and a store."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self.folder = folder
        self.emulator = emulator
        self.pool = f"rented-{uuid4().hex[:8]}"
        self.store = LocalStore(folder / "store")
        self.extra: dict[str, str] = {}
        """Settings of workers beside the usual ones."""
        (folder / "rented.py").write_text(FLOW)
        asyncio.run(self._make_pool())

    async def _make_pool(self) -> None:
        async with get_client() as client:
            await client.create_work_pool(WorkPoolCreate(
                name=self.pool, type="runpod", base_job_template=RunPodWorker.get_default_base_job_template()))

    @property
    def settings(self) -> dict[str, str]:
        """What a worker is started with."""
        return {
            "CALLSHEET_HOME": str(self.folder), "CALLSHEET_STORE": str(self.folder / "store"),
            "CALLSHEET_RUNPOD_IMAGE": IMAGE, "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_API_URL": str(PREFECT_API_URL.value()), **self.emulator.environment(), **self.extra,
        }

    # ---- runs

    def order(self, seconds: float, **variables: Any) -> UUID:
        """A run of a flow that takes so long, with these job variables."""
        async def ordered() -> UUID:
            async with get_client() as client:
                flow_id = await client.create_flow_from_name("rented")
                deployment = await client.create_deployment(
                    flow_id, self.pool, entrypoint="rented.py:rented", work_pool_name=self.pool,
                    pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(self.folder)}}])
                run = await client.create_flow_run_from_deployment(
                    deployment, parameters={"seconds": seconds, "folder": str(self.folder)}, job_variables=variables)
                return run.id

        return asyncio.run(ordered())

    def endpoint(self, **options: Any) -> str:
        """An endpoint whose workers share this studio's store, and know its Prefect server."""
        shared = {"CALLSHEET_STORE": str(self.folder / "store"), "CALLSHEET_HOME": str(self.folder),
                  "PREFECT_API_URL": str(PREFECT_API_URL.value())}
        return self.emulator.endpoint(IMAGE, **{"max_workers": 1, "env": shared, **options})

    def run(self, flow_run_id: UUID) -> FlowRun:
        async def read() -> FlowRun:
            async with get_client() as client:
                return await client.read_flow_run(flow_run_id)

        return asyncio.run(read())

    def state(self, flow_run_id: UUID) -> str:
        state = self.run(flow_run_id).state
        return state.type.value if state else ""

    def words(self, flow_run_id: UUID) -> str:
        """What its state says to people."""
        state = self.run(flow_run_id).state
        return (state.message or "") if state else ""

    def cancel(self, flow_run_id: UUID) -> None:
        async def cancelling() -> None:
            async with get_client() as client:
                await client.set_flow_run_state(flow_run_id, Cancelling())

        asyncio.run(cancelling())

    def notes(self, flow_run_id: UUID) -> list[str]:
        """What the flow itself wrote down, each time that it was begun and ended."""
        path = self.folder / f"notes-{flow_run_id}"
        return path.read_text().split() if path.exists() else []

    # ---- workers

    @contextmanager
    def worker(
        self, name: str = "first", point: str = "", number: signal.Signals = signal.SIGKILL, **waits: float
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A worker process, gone when the block ends; at `point` of mortal_worker.py it gets that signal.

        `waits`, in seconds: sweep, lease, young, claim.
        """
        shorter = {f"MORTAL_{wait.upper()}_S": str(seconds) for wait, seconds in waits.items()}
        struck = [point, number.name] if point else []
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.mortal_worker", self.pool, name, *struck], cwd=root(),
                stdout=log, stderr=log,
                env={**plain_environment(), **self.settings, **shorter, "PYTHONPATH": str(root())})
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def log(self, name: str = "first") -> Path:
        """What a worker has said."""
        return self.folder / f"worker-{name}.log"

    # ---- what is there

    def pods(self) -> list[dict[str, Any]]:
        """Those that are paid now."""
        return [pod for pod in self.emulator.state()["pods"] if pod["deleted"] is None]

    def pods_of(self, flow_run_id: UUID) -> list[dict[str, Any]]:
        """Those that the run ever had, as the emulator has them."""
        name = f"callsheet-{flow_run_id}"
        return [pod for pod in self.emulator.state()["pods"] if pod["spec"]["name"] == name]

    def jobs_of(self, flow_run_id: UUID) -> list[dict[str, Any]]:
        """Those that were ever submitted for the run."""
        return [job for job in self.emulator.state()["jobs"] if job["input"].get("flow_run_id") == str(flow_run_id)]

    def machines_of(self, flow_run_id: UUID) -> list[dict[str, Any]]:
        """All pods and jobs that the run ever had."""
        return [*self.pods_of(flow_run_id), *self.jobs_of(flow_run_id)]

    def account(self, flow_run_id: UUID) -> str:
        """Its journal and machines, for whoever wonders why."""
        shown = ("id", "state", "created", "deleted", "end_reason", "exits", "error", "gone")
        machines = [{name: each.get(name) for name in shown} for each in self.machines_of(flow_run_id)]
        return "\n".join(map(repr, [*self.history(flow_run_id), *machines]))

    def history(self, flow_run_id: UUID) -> list[Entry]:
        return Journal(self.store).history(f"flow_run/{flow_run_id}")

    def ends(self, flow_run_id: UUID) -> list[str]:
        """How its attempts ended, in order."""
        return [entry.outcome.value for entry in self.history(flow_run_id) if isinstance(entry, Ended)]

    def attended_by(self, flow_run_id: UUID) -> int:
        """Process id of whoever wrote the newest entry of its journal; 0 while nobody did."""
        history = self.history(flow_run_id)
        return int(history[-1].owner.split("/")[1]) if history else 0

    def machine_of(self, flow_run_id: UUID) -> str:
        """The pod or job that its journal names; empty while there is none."""
        history = self.history(flow_run_id)
        return getattr(history[-1], "job_id", "") if history else ""

    def struck(self, kind: str) -> int:
        """How often that kind of fault has struck."""
        return int(self.emulator.state()["struck"].count(kind))

    # ---- laws

    def well_ended(self) -> None:
        """Nothing lives, nothing is open or promised, and the bill lies between estimate and bound."""
        until(lambda: not self.pods(), "no pod is alive", 40)
        until(lambda: Journal(self.store).open_keys() == [], "the journal is closed", 30)
        scopes = {name.split("/")[1] + "/" + name.split("/")[2] for name in self.store.names("budgets/")}
        assert all(Budgets(self.store).standing(scope).promised == 0 for scope in scopes)
        until(lambda: not self.emulator.state()["processes"], "no worker of an endpoint is alive", 30)
        bill, estimates = self.billed(), Ledger(self.store).estimates()
        for provider_id, (_, usd) in bill.items():
            rows = [row for row in estimates if row.provider_id == provider_id]
            least, most = sum(row.usd for row in rows), sum(max(row.usd, row.upper_usd) for row in rows)
            assert least <= usd + 1e-9 and usd <= most + 1e-9, (
                f"{provider_id}: estimate {least}, bill {usd}, bound {most}\n" + "\n".join(map(repr, rows)))
        assert {row.provider_id for row in estimates} <= bill.keys()

    def ledger_is_the_bill(self, seconds: bool = True) -> None:
        """After reconciling: the same dollars, and seconds, for each pod and endpoint.

        A price that changed meanwhile is in no line of the bill: then `seconds` are not known.
        """
        now, ledger = datetime.now(UTC), Ledger(self.store)
        reconcile_all(Settings.load(self.settings), ledger, now - timedelta(hours=1), now + timedelta(seconds=5))
        found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for row in ledger.rows():
            found[row.provider_id][0] += row.seconds
            found[row.provider_id][1] += row.usd
        bill = self.billed()
        told = "\n".join(map(repr, ledger.rows()))
        assert {each for each, (_, usd) in found.items() if usd} <= bill.keys(), told
        for provider_id, (paid_s, usd) in bill.items():
            assert found[provider_id][1] == pytest.approx(usd, abs=1e-9), f"{provider_id} of {bill}\n{told}"
            if seconds:
                assert found[provider_id][0] == pytest.approx(paid_s, abs=0.01), f"{provider_id} of {bill}\n{told}"

    def billed(self) -> dict[str, tuple[float, float]]:
        """Pod or endpoint -> seconds and USD."""
        found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for life in self.emulator.state()["bill"]:
            found[life["provider_id"]][0] += life["seconds"]
            found[life["provider_id"]][1] += life["usd"]
        return {each: (seconds, usd) for each, (seconds, usd) in found.items() if usd}


def until(true: Callable[[], Any], what: str, within_s: float = 60.0, pause_s: float = 0.2) -> float:
    """Wait for it; how long that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s, f"not so after {within_s:g} s: {what}"
        time.sleep(pause_s)
    return time.monotonic() - began
