"""One child process: nothing of it stays behind, and its log has no secrets."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from callsheet.doors.local.process import Child

ROOT = Path(__file__).parents[2]

STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("stubborn", flush=True)
time.sleep(600)
"""

WITH_A_GRANDCHILD = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
print(child.pid, flush=True)
if sys.argv[1:] == ["leave"]:
    os._exit(0)
time.sleep(600)
"""

PARENT = """
import os, sys, time
from pathlib import Path
from callsheet.doors.local.process import Child
child = Child("tree", [sys.executable, "-c", sys.argv[2]], dict(os.environ), Path(sys.argv[1]), grace_s=1)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Starts a Python program as a child; stops it at the end."""
    children: list[Child] = []

    def start(program: str, *arguments: str, **options: object) -> Child:
        children.append(Child("test", [sys.executable, "-c", program, *arguments], dict(os.environ),
                              tmp_path / "test.log", **{"grace_s": 0.3, **options}))  # type: ignore[arg-type]
        return children[-1]

    yield start
    for child in children:
        child.stop()


def _said(log: Path, lines: int = 1) -> list[str]:
    _wait_until(lambda: log.exists() and log.read_text().count("\n") >= lines, f"nothing in {log}")
    return log.read_text().splitlines()


def _wait_until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_its_exit_code_and_last_words_are_known(start: Callable[..., Child]) -> None:
    child = start("print('one'); print('two'); raise SystemExit(7)")
    _wait_until(lambda: child.poll() is not None, "it does not end")
    assert (child.poll(), child.last_words(1), child.last_words()) == (7, "two", "one | two")


def test_an_end_by_a_signal_is_told_as_shells_do(start: Callable[..., Child]) -> None:
    child = start("import os; os.kill(os.getpid(), 9)")
    _wait_until(lambda: child.poll() is not None, "it does not end")
    assert child.poll() == 128 + 9


def test_last_words_are_those_of_this_start(start: Callable[..., Child], tmp_path: Path) -> None:
    (tmp_path / "test.log").write_text("of another day\n")
    child = start("print('today')")
    _wait_until(lambda: child.poll() is not None, "it does not end")
    assert child.last_words() == "today"


def test_secrets_do_not_reach_the_log(start: Callable[..., Child], tmp_path: Path) -> None:
    start("print('key is canary-77')", secrets={"canary-77"})
    assert _said(tmp_path / "test.log") == ["key is [secret]"]


def test_a_log_that_grew_large_is_put_aside(start: Callable[..., Child], tmp_path: Path) -> None:
    with (tmp_path / "test.log").open("wb") as log:
        log.truncate(17 << 20)
    start("print('fresh')")
    assert _said(tmp_path / "test.log") == ["fresh"]
    assert (tmp_path / "test.log.1").stat().st_size == 17 << 20


def test_one_that_ignores_sigterm_is_killed_after_the_grace(start: Callable[..., Child], tmp_path: Path) -> None:
    child = start(STUBBORN)
    _said(tmp_path / "test.log")
    started = time.monotonic()
    assert child.stop() == 128 + 9
    assert time.monotonic() - started >= 0.3, "it did not get its grace"


def test_a_grandchild_in_a_session_of_its_own_goes_too(start: Callable[..., Child], tmp_path: Path) -> None:
    child = start(WITH_A_GRANDCHILD)
    grandchild = int(_said(tmp_path / "test.log")[0])
    child.stop()
    assert _gone(grandchild), f"{grandchild} is an orphan"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell where an orphan came from")
def test_what_a_child_leaves_behind_when_it_ends_goes_too(start: Callable[..., Child], tmp_path: Path) -> None:
    child = start(WITH_A_GRANDCHILD, "leave")
    grandchild = int(_said(tmp_path / "test.log")[0])
    _wait_until(lambda: child.poll() is not None, "it does not end")
    assert child.poll() == 0
    assert _gone(grandchild), f"{grandchild} is an orphan"


def test_killing_the_parent_leaves_no_process(tmp_path: Path) -> None:
    log = tmp_path / "tree.log"
    with subprocess.Popen([sys.executable, "-c", PARENT, str(log), WITH_A_GRANDCHILD], cwd=ROOT,
                          stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        warden = int(parent.stdout.readline())
        pids = [warden, int(_said(log)[0]), *(p.pid for p in psutil.Process(warden).children(recursive=True))]
        assert len(set(pids)) >= 3, f"no tree to kill: {pids}"
        parent.kill()
        for pid in pids:
            _wait_until(lambda pid=pid: _gone(pid), f"{pid} of {pids} is an orphan")  # type: ignore[misc]


@pytest.mark.skipif(sys.platform != "linux", reason="needs the kernel's parent-death signal")
def test_a_child_does_not_outlive_its_warden(start: Callable[..., Child], tmp_path: Path) -> None:
    child = start("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    pid = int(_said(tmp_path / "test.log")[0])
    os.kill(child.pid, 9)
    _wait_until(lambda: _gone(pid), f"{pid} is an orphan")
