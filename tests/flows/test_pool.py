"""Nobody waits for a pool that nobody works for, and a shoot whose asker is gone is cancelled."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Running

from callsheet.errors import Cancelled, EngineUnable
from callsheet.models import Actor, Order, Scene
from flows import pool
from tasks import run as tasks_run

pytestmark = pytest.mark.slow
ORDER = Order(title="t", cast=(Actor(id="ava", lora="x"),), scenes=(Scene(prompt="x"),))


def asked() -> None:
    pool.at_the_pool([ORDER], frozenset(), datetime.now(UTC))


def test_a_server_without_the_pool_says_how_to_get_one(prefect_here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "POOL", "no-such-pool")
    with pytest.raises(EngineUnable, match="has no work pool no-such-pool.*start `callsheet up` first"):
        asked()


def test_a_pool_without_a_worker_is_not_waited_for(prefect_here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "POOL", "idle-pool")
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
        client.create_work_pool(WorkPoolCreate(name="idle-pool", type="process"))
    with pytest.raises(EngineUnable, match="no worker of the work pool idle-pool is online"):
        asked()


def test_a_shoot_whose_asker_is_stopped_is_cancelled(prefect_here: str) -> None:
    @flow(name="stand-in")
    def stand_in() -> None: ...

    with get_client(sync_client=True) as client:
        shoot: FlowRun = client.create_flow_run(stand_in, state=Running())
        stopper = threading.Timer(1.5, tasks_run.STOP.set)
        stopper.start()
        try:
            with pytest.raises(Cancelled):
                pool._waited(client, shoot)
        finally:
            stopper.cancel()
            tasks_run.STOP.clear()
        state = client.read_flow_run(shoot.id).state
    assert state is not None and state.type.value in ("CANCELLING", "CANCELLED")
