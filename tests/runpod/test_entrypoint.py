"""A pod ends its run and itself, whatever happens: done, dead, hanging, cancelled, late, started twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from callsheet.runpod import entrypoint as module
from callsheet.runpod.entrypoint import Pod, Shift
from callsheet.runpod.farewell import LINGER_S, Farewell
from callsheet.runpod.flow_state import FlowRuns
from tests.runpod.provider_on_loopback import Provider, provider

ROOT = Path(__file__).parents[2]
COMPLETE = (
    "import sys, urllib.request\n"
    "ask = urllib.request.Request({url!r}, method='POST', data="
    "b'{{\"force\": true, \"state\": {{\"type\": \"COMPLETED\"}}}}')\n"
    "urllib.request.urlopen(ask).read()\n"
)
SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(module, "ASK_S", 0.05)
    monkeypatch.setattr(module, "CANCEL_GRACE_S", 0.2)
    monkeypatch.setattr(module, "FINISH_GRACE_S", 0.2)
    monkeypatch.setattr(module, "POLL_S", 0.02)
    with provider() as it:
        yield it


def pod(outside: Provider, program: str, **more: str) -> Pod:
    environment = outside.environment(PATH=os.environ["PATH"], **more)
    runs = FlowRuns(environment["PREFECT_API_URL"], environment, again_s=0.05)
    return Pod(Shift.of(environment), environment, runs, (sys.executable, "-c", program))


def complete(outside: Provider) -> str:
    return COMPLETE.format(url=f"{outside.url}/api/flow_runs/run-1/set_state")


def saying(program: str, file: Path) -> str:
    return f"import os\nopen({str(file)!r}, 'w').write(str(os.getpid()))\n{program}"


def later(what: Callable[[], None], after_s: float = 0.4) -> None:
    threading.Timer(after_s, what).start()


# ---- the run


def test_a_run_that_completes_is_left_as_it_is(outside: Provider) -> None:
    pod(outside, complete(outside)).work()
    assert [end["type"] for end in outside.ends] == ["COMPLETED"], "that was the flow itself"


@pytest.mark.parametrize(("program", "told"), [
    ("raise SystemExit(3)", "its process ended with exit code 3"),
    ("import os; os.kill(os.getpid(), 9)", "its process ended with exit code -9"),
    ("", "its process ended with exit code 0"),
])
def test_a_process_that_ends_without_a_final_state_is_a_crash(outside: Provider, program: str, told: str) -> None:
    pod(outside, program).work()
    assert outside.ends == [{"type": "CRASHED", "name": "Crashed", "message": f"Pod pod-1: {told}"}]


@pytest.mark.parametrize(("more", "told"), [
    ({"CALLSHEET_POD_DEADLINE_S": "0.3"}, "it ran over its deadline of 0.3 s"),
    ({"CALLSHEET_POD_QUIET_S": "0.3"}, "nothing moved for 0.3 s"),
])
def test_a_run_that_is_late_or_silent_is_killed(
    outside: Provider, more: dict[str, str], told: str, tmp_path: Path
) -> None:
    pod(outside, saying(SLEEP, tmp_path / "pid"), **more).work()
    assert outside.ends == [{"type": "CRASHED", "name": "Crashed", "message": f"Pod pod-1: {told}"}]
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_pod_ends_when_its_order_s_time_is_up_however_late_its_run_began(outside: Provider, tmp_path: Path) -> None:
    until = time.time() + 0.5
    pod(outside, saying(SLEEP, tmp_path / "pid"), CALLSHEET_POD_UNTIL=f"{until:.3f}").work()
    assert "it ran over its deadline, which counts from the pod's order" in outside.ends[0]["message"]
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_pod_that_comes_after_its_time_runs_nothing(outside: Provider, tmp_path: Path) -> None:
    pod(outside, saying("", tmp_path / "pid"), CALLSHEET_POD_UNTIL=f"{time.time() - 1:.3f}").work()
    assert not (tmp_path / "pid").exists()
    assert outside.ends[0]["type"] == "CRASHED" and "counts from the pod's order" in outside.ends[0]["message"]


def test_a_pod_waits_for_a_server_that_is_away_no_longer_than_its_time(outside: Provider) -> None:
    outside.prefect_down = True
    asked: list[float] = []
    late = pod(outside, SLEEP, CALLSHEET_POD_UNTIL=f"{time.time() + 30:.3f}")
    late.runs.state = lambda run, patience_s=0.0: asked.append(patience_s)  # type: ignore[assignment, func-returns-value]
    late.work()
    assert 0 < asked[0] <= 30


def test_the_deadline_holds_too_where_it_is_the_earlier(outside: Provider) -> None:
    pod(outside, SLEEP, CALLSHEET_POD_DEADLINE_S="0.3", CALLSHEET_POD_UNTIL=f"{time.time() + 600:.3f}").work()
    assert "it ran over its deadline of 0.3 s" in outside.ends[0]["message"]


def test_a_run_whose_heart_beats_is_not_silent(outside: Provider) -> None:
    beating = (
        "import os, pathlib, time\n"
        "for n in range(12):\n"
        "    pathlib.Path(os.environ['CALLSHEET_HEARTBEAT']).touch()\n"
        "    time.sleep(0.1)\n")
    pod(outside, beating + complete(outside), CALLSHEET_POD_QUIET_S="0.9").work()
    assert [end["type"] for end in outside.ends] == ["COMPLETED"]


def test_a_cancelled_run_is_killed_and_said_to_be_cancelled(outside: Provider, tmp_path: Path) -> None:
    later(lambda: setattr(outside, "state", "CANCELLING"))
    pod(outside, saying(SLEEP, tmp_path / "pid")).work()
    assert [end["type"] for end in outside.ends] == ["CANCELLED"]
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("state", ["CANCELLED", "CRASHED", "COMPLETED"])
def test_a_run_that_the_server_ended_is_killed_and_keeps_its_state(outside: Provider, state: str) -> None:
    later(lambda: setattr(outside, "state", state))
    pod(outside, SLEEP).work()
    assert (outside.ends, outside.state) == ([], state)


def test_a_server_that_is_away_does_not_end_the_work(outside: Provider, tmp_path: Path) -> None:
    later(lambda: setattr(outside, "prefect_down", True), 0.1)
    later(lambda: setattr(outside, "prefect_down", False), 0.6)
    pod(outside, f"import time; time.sleep(1)\nopen({str(tmp_path / 'done')!r}, 'w')\n" + complete(outside)).work()
    assert (tmp_path / "done").exists() and outside.state == "COMPLETED"


def test_the_flow_s_process_gets_no_key_of_the_provider_and_works_right_here(outside: Provider, tmp_path: Path) -> None:
    said = tmp_path / "said"
    program = f"import os\nopen({str(said)!r}, 'w').write(repr(dict(os.environ)))\n" + complete(outside)
    pod(outside, program, CALLSHEET_STORE="s3://bucket/store").work()
    seen = eval(said.read_text())
    assert not {"RUNPOD_API_KEY", "RUNPOD_AI_API_KEY"} & set(seen)
    assert (seen["CALLSHEET_GPU"], seen["RUNPOD_POD_ID"], seen["CALLSHEET_STORE"]) == (
        "here", "pod-1", "s3://bucket/store")


# ---- not a second time


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CRASHED", "CANCELLED", "RUNNING", ""])
def test_what_is_over_or_runs_elsewhere_or_is_unknown_is_not_run(outside: Provider, state: str, tmp_path: Path) -> None:
    outside.state = state
    pod(outside, saying("", tmp_path / "pid")).work()
    assert not (tmp_path / "pid").exists() and outside.ends == []


def test_a_run_that_was_cancelled_while_the_pod_booted_is_not_run(outside: Provider, tmp_path: Path) -> None:
    outside.state = "CANCELLING"
    pod(outside, saying("", tmp_path / "pid")).work()
    assert not (tmp_path / "pid").exists() and outside.state == "CANCELLED"


def test_a_container_that_starts_again_runs_nothing_and_says_crashed(outside: Provider, tmp_path: Path) -> None:
    first = pod(outside, "")
    first.shift.folder.mkdir(parents=True)
    first.shift.marker.touch()
    outside.state = "RUNNING"
    pod(outside, saying("", tmp_path / "pid")).work()
    assert not (tmp_path / "pid").exists()
    assert "the container was started a second time" in outside.ends[0]["message"]


# ---- deletion


def test_a_pod_asks_for_its_deletion_until_it_is_granted(outside: Provider) -> None:
    outside.refusals = [500, 429, 401, 503]
    pauses: list[float] = []
    Farewell("pod-1", "pod-key", outside.url, sleep=pauses.append).say()
    assert outside.deletions == [("/v2/pods/pod-1", "Bearer pod-key")] * 5
    assert pauses == [1, 2, 4, 8, LINGER_S]


def test_a_pod_that_is_gone_already_is_deleted(outside: Provider) -> None:
    outside.refusals = [404]
    Farewell("pod-1", "pod-key", outside.url, sleep=lambda s: None).say()
    assert len(outside.deletions) == 1


def test_a_network_that_is_away_is_waited_for() -> None:
    answers = iter([httpx.ConnectError("no route"), httpx.ReadTimeout("lost"), httpx.Response(204)])

    def answer(request: httpx.Request) -> httpx.Response:
        said = next(answers)
        if isinstance(said, Exception):
            raise said
        return said

    Farewell("pod-1", "k", transport=httpx.MockTransport(answer), sleep=lambda s: None).say()
    assert next(answers, None) is None


def test_outside_a_pod_nothing_is_deleted() -> None:
    Farewell.of({}).say()


def test_its_key_is_not_in_its_repr() -> None:
    assert "pod-key" not in repr(Farewell("pod-1", "pod-key"))


# ---- the whole program

PROGRAM = """
import sys
from callsheet.runpod import entrypoint, farewell
farewell.LINGER_S = 0.0
farewell._FIRST_PAUSE_S = 0.05
entrypoint.COMMAND = (sys.executable, "-c", sys.argv[1])
entrypoint.Pod.__init__.__defaults__ = (entrypoint.COMMAND,)
sys.exit(entrypoint.main())
"""


def start(outside: Provider, program: str, **more: str) -> subprocess.Popen[bytes]:
    environment = outside.environment(PATH=os.environ["PATH"], PYTHONPATH=str(ROOT), **more)
    return subprocess.Popen([sys.executable, "-c", PROGRAM, program], env=environment)


@pytest.mark.slow
def test_the_program_deletes_its_pod_after_the_run_and_through_failures(outside: Provider) -> None:
    outside.refusals = [500, 500]
    assert start(outside, complete(outside)).wait(60) == 0
    assert len(outside.deletions) == 3


@pytest.mark.slow
@pytest.mark.parametrize("more", [
    {"PREFECT_API_URL": ""}, {"PREFECT__FLOW_RUN_ID": "../.."}, {"PREFECT_CLIENT_CUSTOM_HEADERS": "no json"},
    {"CALLSHEET_POD_DEADLINE_S": "soon"}, {"CALLSHEET_POD_UNTIL": "soon"},
], ids=lambda more: next(iter(more)))
def test_a_pod_that_is_told_nonsense_deletes_itself(outside: Provider, more: dict[str, str]) -> None:
    outside.state = "COMPLETED"
    process = start(outside, "", **more)
    try:
        end = time.monotonic() + 60
        while not outside.deletions and time.monotonic() < end:
            time.sleep(0.1)
        assert outside.deletions
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_pod_that_is_stopped_ends_its_run_and_deletes_itself(outside: Provider, tmp_path: Path) -> None:
    process = start(outside, saying(SLEEP, tmp_path / "pid"), TMPDIR=str(tmp_path))
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert outside.state == "CRASHED" and "stopped by SIGTERM" in outside.ends[0]["message"]
    assert len(outside.deletions) == 1
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
