"""What Prefect is told of a rented machine: which run, which actor, which price."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Pending

from callsheet.costs import Outcome
from callsheet.pricing import Rate
from callsheet.runpod.pod_hire import RentedPod
from callsheet.runpod.tending import Act, Phase, Verdict
from tasks import desk as module
from tasks.desk import PrefectDesk
from tests.support.pod_account import A40, NOON, Account, Time

RUN = FlowRun(
    id=UUID(int=1), name="brave-otter", flow_id=UUID(int=7), state=Pending(),
    parameters={"orders": [{"cast": [{"id": "0001_european"}]}]})


class Client:
    """Answers as often as it is told to, then not."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.pids: list[str] = []
        self.states: list[str] = []

    async def read_flow_run(self, flow_run_id: UUID) -> FlowRun:
        self._fail()
        return RUN

    async def update_flow_run(self, flow_run_id: UUID, infrastructure_pid: str) -> None:
        self.pids.append(infrastructure_pid)

    async def set_flow_run_state(self, flow_run_id: UUID, state: Any) -> Any:
        self._fail()
        self.states.append(f"{state.name}: {state.message}")
        return type("Told", (), {"status": type("Status", (), {"value": "ACCEPT"})})

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise httpx.ConnectError("refused")


def desk(client: Client, started: list[str]) -> PrefectDesk:
    return PrefectDesk(client, RUN, logging.getLogger("desk"), [], started.append, Time().sleep)  # type: ignore[arg-type]


def pod() -> RentedPod:
    rate = Rate(gpu=A40, usd_per_second=0.79 / 3600, source="pod")
    return RentedPod(Account(Time()), "pod1", rate, asked=NOON, began=NOON)  # type: ignore[arg-type]


def test_logs_and_events_link_pod_run_actor_and_price(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[dict[str, Any]] = []
    monkeypatch.setattr(module, "emit_event", lambda **told: events.append(told))
    client, started = Client(), list[str]()
    told = desk(client, started)
    with caplog.at_level("INFO", "desk"):
        asyncio.run(told.machine(pod(), False))
        asyncio.run(told.released(pod(), Verdict(Act.RELEASE, Outcome.MADE, None, "the run is Completed")))
    assert client.pids == started == ["pod:pod1"]
    line = caplog.messages[0]
    assert all(word in line for word in ("pod pod1", A40, "$0.79 an hour", "brave-otter", "0001_european")), line
    ordered, released = events
    assert (ordered["event"], released["event"]) == ("callsheet.pod.ordered", "callsheet.pod.released")
    assert ordered["resource"]["prefect.resource.id"] == "callsheet.runpod.pod.pod1"
    assert [each.id for each in ordered["related"]] == ["lora.actor.0001_european"]
    assert ordered["payload"] == {"gpu": A40, "usd_per_hour": 0.79, "price": "pod"}
    assert released["payload"]["outcome"] == "made"


def test_a_server_that_does_not_answer_is_no_news() -> None:
    told = desk(Client(failures=1), [])
    assert asyncio.run(told.sight()) is None
    seen = asyncio.run(told.sight())
    assert seen is not None and seen.phase is Phase.WAITING


def test_an_end_is_told_again_until_it_is_heard_and_an_absent_server_is_an_error() -> None:
    client = Client(failures=3)
    asyncio.run(desk(client, []).become("crashed", "pod pod1 is gone"))
    assert client.states == ["Crashed: pod pod1 is gone"]
    with pytest.raises(httpx.ConnectError):
        asyncio.run(desk(Client(failures=50), []).become("failed", "x"))
