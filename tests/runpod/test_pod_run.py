"""A pod's program with a real Prefect server and a real flow: done, cancelled while it works, dead."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelling, Pending

from tests.runpod.provider_on_loopback import Provider, provider
from tests.runpod.test_entrypoint import ROOT

pytestmark = pytest.mark.slow

FLOW = """
import os, time
from pathlib import Path
from prefect import flow

@flow(name="on-a-pod")
def on_a_pod(what: str):
    Path("pid-" + what).write_text(str(os.getpid()))
    if what == "die":
        os.kill(os.getpid(), 9)
    if what == "hang":
        time.sleep(600)
"""
PROGRAM = """
import sys
from callsheet.runpod import entrypoint, farewell
farewell.LINGER_S = 0.0
sys.exit(entrypoint.main())
"""


@pytest.fixture
def outside(prefect_here: str) -> Iterator[Provider]:
    with provider() as it:
        yield it


async def _ordered(folder: Path, what: str) -> UUID:
    async with get_client() as client:
        flow_id = await client.create_flow_from_name("on-a-pod")
        deployment = await client.create_deployment(
            flow_id, "pod", entrypoint="on_a_pod.py:on_a_pod",
            pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}])
        run = await client.create_flow_run_from_deployment(deployment, parameters={"what": what}, state=Pending())
        return run.id


def read(run_id: UUID) -> FlowRun:
    async def ask() -> FlowRun:
        async with get_client() as client:
            return await client.read_flow_run(run_id)

    return asyncio.run(ask())


@pytest.fixture
def started(outside: Provider, tmp_path: Path) -> Iterator[Callable[[str], tuple[UUID, subprocess.Popen[bytes]]]]:
    (tmp_path / "on_a_pod.py").write_text(FLOW)
    pods: list[subprocess.Popen[bytes]] = []

    def start(what: str) -> tuple[UUID, subprocess.Popen[bytes]]:
        run_id = asyncio.run(_ordered(tmp_path, what))
        environment = outside.environment(
            PATH=os.environ["PATH"], PYTHONPATH=str(ROOT), TMPDIR=str(tmp_path), HOME=str(tmp_path),
            PREFECT_API_URL=str(PREFECT_API_URL.value()), PREFECT__FLOW_RUN_ID=str(run_id),
            PREFECT_SERVER_ANALYTICS_ENABLED="false", DO_NOT_TRACK="1")
        pods.append(subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment))
        return run_id, pods[-1]

    yield start
    for pod in pods:
        pod.kill()
        pod.wait()


@pytest.mark.parametrize(("what", "state"), [("work", "COMPLETED"), ("die", "CRASHED")])
def test_a_flow_run_ends_with_its_state_and_its_pod_is_deleted(
    started: Callable[[str], tuple[UUID, subprocess.Popen[bytes]]], outside: Provider, what: str, state: str
) -> None:
    run_id, pod = started(what)
    assert pod.wait(120) == 0
    found = read(run_id).state
    assert found is not None and found.type == state, found
    assert len(outside.deletions) == 1


def test_cancelling_a_flow_that_hangs_ends_the_pod_within_fifteen_seconds(
    started: Callable[[str], tuple[UUID, subprocess.Popen[bytes]]], outside: Provider, tmp_path: Path
) -> None:
    run_id, pod = started("hang")
    end = time.monotonic() + 90
    while not (tmp_path / "pid-hang").exists():
        assert time.monotonic() < end and pod.poll() is None
        time.sleep(0.1)

    async def cancel() -> None:
        async with get_client() as client:
            await client.set_flow_run_state(run_id, Cancelling(), force=True)

    asyncio.run(cancel())
    asked = time.monotonic()
    while not outside.deletions:
        assert time.monotonic() - asked < 15, "the pod is still paid for"
        time.sleep(0.1)
    assert pod.wait(30) == 0
    found = read(run_id).state
    assert found is not None and found.type == "CANCELLED"
