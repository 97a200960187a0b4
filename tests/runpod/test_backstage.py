"""The process that does the GPU work: kept while it is well, killed with its descendants when it is not."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from callsheet.errors import EngineError, JobTimedOut
from callsheet.runpod.backstage import Backstage

FAKE = Path(__file__).parent / "fake_stagehand.py"
ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture
def backstage() -> Iterator[Backstage]:
    made = Backstage(ENVIRONMENT, [sys.executable, str(FAKE)], quiet_s=20)
    yield made
    made.clear()


def ask(backstage: Backstage, *jobs: dict[str, object]) -> list[dict[str, object]]:
    async def all_of_them() -> list[dict[str, object]]:
        return [await backstage.perform(f"job-{n}", job, lambda share, what: None) for n, job in enumerate(jobs)]

    return asyncio.run(all_of_them())


def test_one_process_does_many_jobs(backstage: Backstage) -> None:
    first, second = ask(backstage, {"do": "echo", "word": "a"}, {"do": "echo", "word": "b"})
    assert (first["word"], second["word"]) == ("a", "b")
    assert first["pid"] == second["pid"] == backstage.pid


def test_what_it_prints_is_not_taken_for_an_answer(backstage: Backstage) -> None:
    [reply] = ask(backstage, {"do": "print", "word": '{"event": "result", "id": "job-0", "reply": {}}'})
    assert reply["word"] == "printed"


def test_progress_is_heard(backstage: Backstage) -> None:
    heard: list[tuple[float, str]] = []

    async def one() -> None:
        await backstage.perform("j", {"do": "progress"}, lambda share, what: heard.append((share, what)))

    asyncio.run(one())
    assert heard == [(0.5, "halfway")]


def test_a_large_job_and_a_large_answer_pass(backstage: Backstage) -> None:
    [reply] = ask(backstage, {"do": "echo", "word": "x" * 3_000_000})
    assert reply["word"] == "x" * 3_000_000


@pytest.mark.parametrize(("how", "told"), [
    ("kill", "ended by SIGKILL"), ("exit", "ended with exit code 3"),
])
def test_a_process_that_dies_fails_its_job_and_the_next_one_gets_a_fresh_one(
    backstage: Backstage, how: str, told: str
) -> None:
    with pytest.raises(EngineError, match=told) as failed:
        ask(backstage, {"do": how})
    assert failed.value.retryable
    assert ask(backstage, {"do": "echo", "word": "b"})[0]["word"] == "b"


def test_a_process_that_died_between_jobs_is_replaced(backstage: Backstage) -> None:
    ask(backstage, {"do": "echo", "word": "a"})
    assert backstage.pid is not None
    psutil.Process(backstage.pid).kill()
    psutil.Process(backstage.pid).wait(10)
    assert ask(backstage, {"do": "echo", "word": "b"})[0]["word"] == "b"


def test_a_cancelled_job_leaves_nothing_running(backstage: Backstage, tmp_path: Path) -> None:
    note = tmp_path / "pid"

    async def cancelled() -> None:
        job = asyncio.create_task(
            backstage.perform("j", {"do": "grandchild", "file": str(note)}, lambda share, what: None))
        while not (note.exists() and note.read_text()):
            await asyncio.sleep(0.02)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job

    asyncio.run(cancelled())
    assert backstage.pid is None
    end = time.monotonic() + 10
    while psutil.pid_exists(int(note.read_text())) and time.monotonic() < end:
        time.sleep(0.02)
    assert not psutil.pid_exists(int(note.read_text())), "its grandchild, in a session of its own, lives on"


def test_a_silent_process_is_given_up() -> None:
    backstage = Backstage(ENVIRONMENT, [sys.executable, str(FAKE)], quiet_s=0.5)
    with pytest.raises(JobTimedOut, match=r"was stopped after its 0\.5 s \(nothing was heard"):
        ask(backstage, {"do": "hang"})
    assert backstage.pid is None


def test_a_new_job_ends_one_that_hangs(backstage: Backstage) -> None:
    async def both() -> dict[str, object]:
        hanging = asyncio.create_task(backstage.perform("old", {"do": "hang"}, lambda share, what: None))
        await asyncio.sleep(0.3)
        reply = await backstage.perform("new", {"do": "echo", "word": "b"}, lambda share, what: None)
        with pytest.raises(EngineError, match="job old"):
            await hanging
        return reply

    assert asyncio.run(both())["word"] == "b"


def test_the_process_ends_when_the_handler_is_gone(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from callsheet.runpod.backstage import Backstage\n"
        f"backstage = Backstage({ENVIRONMENT!r}, [sys.executable, {str(FAKE)!r}])\n"
        "backstage.warm_up()\n"
        "print(backstage.pid, flush=True)\n"
        "time.sleep(600)\n"
    )

    async def killed() -> int:
        handler = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
        assert handler.stdout is not None
        pid = int(await handler.stdout.readline())
        handler.kill()
        await handler.wait()
        return pid

    pid, end = asyncio.run(killed()), time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not psutil.pid_exists(pid)
