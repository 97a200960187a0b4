"""Nobody waits for a pool that nobody works for, a stopped asker's shoot is cancelled, a killed one's is waited for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectAlreadyExists
from prefect.logging import disable_run_logger
from prefect.states import Completed, Running

from callsheet.costs import CostRow, Kind
from callsheet.errors import Cancelled, EngineUnable
from callsheet.models import Gpu, Purse
from flows import pool
from tasks import run as tasks_run
from tasks.run import running
from tasks.spending import budgets, ledger

pytestmark = pytest.mark.slow
BATCH = "batch/night"


@flow(name="stand-in")
def stand_in() -> None: ...


@pytest.fixture
def a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_here: str) -> Iterator[None]:
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path))
    with running("night", gpu=Gpu.POOL, purse=Purse(batch="night")):
        yield


@pytest.fixture
def deployment(a_run: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A deployment of a pool that nobody works for, in place of the shoot's."""
    monkeypatch.setattr(pool, "SHOOT", f"stand-in/{uuid4().hex}")
    with get_client(sync_client=True) as client:
        with contextlib.suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name="idle-pool", type="process"))
        flow_id = client.create_flow(stand_in)
        return client.create_deployment(flow_id, pool.SHOOT.partition("/")[2], work_pool_name="idle-pool")


def asked(*films: Any) -> None:
    pool.at_the_pool(films, frozenset(), datetime.now(UTC))


def film(job_id: str) -> Any:
    return SimpleNamespace(job_id=job_id)


def test_a_server_without_the_deployment_says_how_to_get_one(a_run: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "SHOOT", "shoot/nowhere")
    with pytest.raises(EngineUnable, match="no deployment shoot/nowhere with a work pool.*start `callsheet up` first"):
        asked(film("x"))


def test_a_pool_without_a_worker_is_not_waited_for(deployment: Any) -> None:
    with pytest.raises(EngineUnable, match="no worker of the work pool idle-pool is online"):
        asked(film("x"))


def test_a_shoot_that_is_under_way_for_one_of_the_films_is_waited_for(
    deployment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_insist_on_a_worker", lambda client: True)
    monkeypatch.setattr(pool, "unmade", lambda film: [])          # it makes all of it
    monkeypatch.setattr(pool, "replanned", lambda film: film)     # and nothing stands in
    with get_client(sync_client=True) as client:
        shoot = client.create_flow_run_from_deployment(deployment, state=Running(), tags=["film/a", "film/b"])
        other = client.create_flow_run_from_deployment(deployment, state=Running(), tags=["film/c"])
        ender = threading.Timer(2.0, lambda: _ended(shoot))
        ender.start()
        with disable_run_logger():
            asked(film("b"), film("d"))
        assert not ender.is_alive()
        state = client.read_flow_run(other.id).state
        assert state is not None and state.is_running(), "another's film is none of our business"


def _ended(shoot: FlowRun) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(shoot.id, Completed(), force=True)


def test_what_a_killed_asker_promised_is_settled_with_all_that_its_machine_cost(deployment: Any) -> None:
    budgets().reserve({BATCH: 1.0}, "shoot/key", 0.5, "a shoot of 2")
    with get_client(sync_client=True) as client:
        shoot = client.create_flow_run_from_deployment(deployment, state=Running(), idempotency_key="key-0")
    for name, key in (("idle", f"flow_run/{shoot.id}"), ("work", "takes/abc")):
        ledger().record(_row(key), name)
    pool.settle_left([film("x")])
    assert budgets().standing(BATCH).promised == 0.5, "it goes on"
    _ended(shoot)
    pool.settle_left([film("x")])
    standing = budgets().standing(BATCH)
    assert standing.promised == 0.0 and standing.spent == pytest.approx(0.2)


def _row(key: str) -> CostRow:
    return CostRow(
        kind=Kind.WORK, plane="pod", provider_id="p", resource="p", gpu="NVIDIA A40", usd_per_second=0.01,
        started=datetime.now(UTC), seconds=10.0, usd=0.1, upper_usd=0.1, key=key)


@pytest.mark.parametrize(("ours", "states"), [(True, {"CANCELLING", "CANCELLED"}), (False, {"RUNNING"})])
def test_when_an_asker_is_stopped_his_own_shoot_is_cancelled_and_no_other(
    prefect_here: str, ours: bool, states: set[str]
) -> None:
    with get_client(sync_client=True) as client:
        shoot: FlowRun = client.create_flow_run(stand_in, state=Running())
        stopper = threading.Timer(1.5, tasks_run.STOP.set)
        stopper.start()
        try:
            with pytest.raises(Cancelled):
                pool._waited(client, shoot, ours)
        finally:
            stopper.cancel()
            tasks_run.STOP.clear()
        state = client.read_flow_run(shoot.id).state
    assert state is not None and state.type.value in states


def test_a_promise_whose_asker_died_before_he_asked_is_free_again_after_a_while(
    deployment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets().reserve({BATCH: 1.0}, "shoot/never", 0.5, "a shoot of 2")
    pool.settle_left([film("x")])
    assert budgets().standing(BATCH).promised == 0.5, "he may be about to ask"
    monkeypatch.setattr(pool, "_ASKING_S", -1.0)
    pool.settle_left([film("x")])
    assert budgets().standing(BATCH).total == 0


def test_a_film_that_was_not_in_a_shoot_gets_no_entry_of_it(deployment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_ASKING_S", -1.0)
    budgets().reserve({BATCH: 1.0, "order/x": 1.0}, "shoot/never", 0.5, "a shoot of 1")
    pool.settle_left([film("x"), film("y")])
    assert budgets().standing("order/x").promised == 0
    assert not budgets().store.names("budgets/order/y/")
