"""Our client against the emulator, whose workers run the real loop of the runpod SDK."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from callsheet.errors import AnswerUnknown, JobFailed, QueueStuck
from callsheet.runpod.client import Api, Control, JobsClient, JobState, JobStatus, Policy, Verdict, Watch, failure
from callsheet.runpod.emulator.faults import FaultKind
from callsheet.runpod.emulator.serve import Emulator, running_emulator

T = TypeVar("T")
IMAGE = "echo/worker"
HANDLER = Path(__file__).parent / "handlers" / "echo.py"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    pytest.importorskip("runpod")
    folder = tmp_path_factory.mktemp("emulator")
    with running_emulator(folder, images={IMAGE: [sys.executable, str(HANDLER)]}) as running:
        yield running


@pytest.fixture
def clean(emulator: Emulator) -> Iterator[Emulator]:
    yield emulator
    emulator.clear_faults()


def do(emulator: Emulator, deed: Callable[[JobsClient], Awaitable[T]], **limits: Any) -> T:
    async def run() -> T:
        key = SecretStr(emulator.key)
        async with Api(emulator.api, key) as control, Api(emulator.jobs, key) as jobs:
            return await deed(JobsClient(jobs, emulator.endpoint(IMAGE, **limits), Control(control)))

    return asyncio.run(run())


POLICY = Policy.covering(60, 60)


async def through(client: JobsClient, given: dict[str, Any], **options: Any) -> JobStatus:
    return await client.wait(await client.submit(given, POLICY), poll_s=0.1, **options)


def test_a_job_goes_through_and_is_timed(clean: Emulator) -> None:
    status = do(clean, lambda c: through(c, {"say": "hello", "wait": 0.2}))
    assert status.state is JobState.COMPLETED
    assert status.output["said"] == "hello"
    assert status.execution_s >= 0.2
    assert status.worker_id


def test_progress_is_heard_and_an_error_is_typed(clean: Emulator) -> None:
    heard: list[Any] = []
    error = {"code": "engine.failed", "message": "no such node", "remedy": "update the graph"}
    status = do(clean, lambda c: through(
        c, {"progress": {"frame": 7}, "wait": 1.0, "error": error}, on_status=lambda s: heard.append(s.output)))
    assert {"frame": 7} in heard
    found = failure(status)
    assert isinstance(found, JobFailed)
    assert found.facts["job_code"] == "engine.failed"
    assert found.fix == "update the graph"


def test_a_job_at_work_is_cancelled(clean: Emulator) -> None:
    async def cancel(client: JobsClient) -> JobStatus:
        job_id = await client.submit({"wait": 600}, POLICY)
        while (status := await client.status(job_id)) is None or status.state is JobState.IN_QUEUE:
            await asyncio.sleep(0.1)
        await client.cancel(job_id)
        return await client.wait(job_id, poll_s=0.1)

    assert do(clean, cancel).state is JobState.CANCELLED


def test_an_endpoint_that_may_have_no_workers_is_said_to_sleep(clean: Emulator) -> None:
    async def stuck(client: JobsClient) -> str:
        job_id = await client.submit({}, POLICY)
        with pytest.raises(QueueStuck, match="callsheet runpod up") as caught:
            await client.wait(job_id, poll_s=0.1, watch=Watch(patience_s=1))
        status = await client.status(job_id)
        assert status is not None and status.state is JobState.CANCELLED
        return str(caught.value.facts["verdict"])

    assert do(clean, stuck, max_workers=0) == Verdict.ASLEEP


def test_a_submit_whose_answer_is_lost_made_one_job_and_says_that_it_is_unknown(clean: Emulator) -> None:
    async def lost(client: JobsClient) -> int:
        clean.inject(FaultKind.ANSWER_LOST)
        with pytest.raises(AnswerUnknown):
            await client.submit({}, POLICY)
        health = await client.health()
        return health.in_queue + health.in_progress + health.completed

    assert do(clean, lost, max_workers=0) == 1


def test_the_account_can_be_read_whole(clean: Emulator) -> None:
    async def read(client: JobsClient) -> None:
        control = client.control
        assert control is not None
        assert any(each.id == client.endpoint for each in await control.endpoints())
        assert await control.pods() == []
        assert await control.gpus("POD", "SECURE")
        assert await control.datacenters()
        assert await control.pod("nothing") is None
        assert await control.delete_pod("nothing") is False
        await control.templates()
        await control.volumes()
        assert (await control.update_endpoint(client.endpoint, {"workers": {"max": 7}})).workers.max == 7

    do(clean, read)
