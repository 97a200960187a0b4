"""Several processes as one: restarts, giving up, ending together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from callsheet.doors.local.process import Child
from callsheet.doors.local.supervise import Supervisor
from callsheet.errors import ServerDied

ROOT = Path(__file__).parents[2]
LIVES = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
DIES = [sys.executable, "-c", "print('no such pool'); raise SystemExit(3)"]

UP = """
import os, sys
from pathlib import Path
from callsheet.doors.local.supervise import Supervisor
with Supervisor(Path(sys.argv[1]), grace_s=2) as supervisor:
    supervisor.start("one", sys.argv[2:], dict(os.environ))
    supervisor.start("two", sys.argv[2:], dict(os.environ))
    print("up", flush=True)
    supervisor.run()
print("down", flush=True)
"""


class Told(list[str]):
    """Collects what a supervisor tells."""

    def __call__(self, line: str) -> None:
        self.append(line)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def supervisor(tmp_path: Path, told: Told) -> Iterator[Supervisor]:
    with Supervisor(tmp_path, tell=told, backoff_s=(0.0, 0.05), grace_s=1.0) as supervisor:
        yield supervisor


def _wait_until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def _pid_in(log: Path) -> int:
    _wait_until(lambda: log.exists() and log.read_text().endswith("\n"), f"nothing in {log}")
    return int(log.read_text().splitlines()[-1])


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _run_until(supervisor: Supervisor, true: Callable[[], bool], otherwise: str) -> None:
    """Let it run here until something holds, as the main thread would."""
    def watch() -> None:
        deadline = time.monotonic() + 30
        while not true() and time.monotonic() < deadline:
            time.sleep(0.02)
        supervisor.request_stop()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        supervisor.run()
    finally:
        watcher.join()
    assert true(), otherwise


def test_a_worker_that_dies_is_started_again(supervisor: Supervisor, tmp_path: Path, told: Told) -> None:
    supervisor.start("cpu", LIVES, os.environ)
    first = _pid_in(tmp_path / "cpu.log")
    os.kill(first, signal.SIGKILL)
    _run_until(supervisor, lambda: _pid_in(tmp_path / "cpu.log") != first, "no second start")
    assert told == [f"cpu ended with exit code 137 ({first}): restart 1 of 2 in 0 s"]


def test_a_worker_that_keeps_dying_is_given_up_and_the_others_go_on(
    supervisor: Supervisor, tmp_path: Path, told: Told
) -> None:
    supervisor.start("bad", DIES, os.environ)
    supervisor.start("good", LIVES, os.environ)
    _run_until(supervisor, lambda: len(told) >= 3, "it was not given up")
    assert (tmp_path / "bad.log").read_text() == "no such pool\n" * 3
    assert told[2].startswith("bad ended with exit code 3 (no such pool): given up after 2 restarts")
    assert list(supervisor.children()) == ["good"]


def test_when_the_last_worker_is_given_up_everything_ends(supervisor: Supervisor) -> None:
    supervisor.start("bad", DIES, os.environ)
    with pytest.raises(ServerDied, match="bad ended 3 times"):
        supervisor.run()


def test_when_the_server_dies_everything_ends_and_says_why(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start("cpu", LIVES, os.environ)
    worker = _pid_in(tmp_path / "cpu.log")
    server = Child("server", [sys.executable, "-c", "print('disk full'); raise SystemExit(1)"], os.environ,
                   tmp_path / "server.log")
    supervisor.watch(server)
    with pytest.raises(ServerDied, match=r"the server ended unexpectedly \(exit code 1: disk full\)"):
        supervisor.run()
    supervisor.stop()
    server.stop()
    assert _gone(worker)


def test_workers_stop_in_reverse_order(tmp_path: Path) -> None:
    says_goodbye = """
import pathlib, signal, sys, time
def goodbye(*_):
    with open(sys.argv[2], "a") as file:
        file.write(sys.argv[1])
    sys.exit()
signal.signal(signal.SIGTERM, goodbye)
print("ready", flush=True)
time.sleep(600)
"""
    with Supervisor(tmp_path) as supervisor:
        for name in "abc":
            supervisor.start(name, [sys.executable, "-c", says_goodbye, name, str(tmp_path / "ends")], os.environ)
        for name in "abc":
            log = tmp_path / f"{name}.log"
            _wait_until(lambda log=log: log.exists() and "ready" in log.read_text(), "not ready")  # type: ignore[misc]
    assert (tmp_path / "ends").read_text() == "cba"


def test_secrets_do_not_reach_a_workers_log(tmp_path: Path) -> None:
    with Supervisor(tmp_path, secrets={"canary-88"}) as supervisor:
        supervisor.start("cpu", [sys.executable, "-c", "print('canary-88', flush=True); import time; time.sleep(600)"],
                         os.environ)
        _wait_until(lambda: "[secret]" in (tmp_path / "cpu.log").read_text(), "nothing was said")
    assert "canary-88" not in (tmp_path / "cpu.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", UP, str(tmp_path), *LIVES], cwd=ROOT, stdout=subprocess.PIPE,
                          text=True) as up:
        assert up.stdout is not None
        assert up.stdout.readline() == "up\n"
        workers = [_pid_in(tmp_path / "one.log"), _pid_in(tmp_path / "two.log")]
        up.send_signal(number)
        assert up.stdout.read() == "down\n"
        assert up.wait() == 0
    assert [pid for pid in workers if not _gone(pid)] == []


def test_killing_the_supervisor_leaves_no_worker(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", UP, str(tmp_path), *LIVES], cwd=ROOT, stdout=subprocess.PIPE,
                          text=True) as up:
        workers = [_pid_in(tmp_path / "one.log"), _pid_in(tmp_path / "two.log")]
        up.kill()
    for pid in workers:
        _wait_until(lambda pid=pid: _gone(pid), f"{pid} is an orphan")  # type: ignore[misc]


def test_afterwards_signals_are_handled_as_before(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Supervisor(tmp_path):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
