"""A family of processes ends whole: those in sessions of their own, orphans and those that hear no signal too."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from callsheet.runpod.children import Family

ENVIRONMENT = {"PATH": os.environ["PATH"]}

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
GRANDCHILD = (
    "import os, subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
    "open(sys.argv[1], 'w').write(str(child.pid))\n"
)


def until(found: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not found():
        assert time.monotonic() < end, "waited for 20 s"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def grandchild(file: Path) -> int:
    until(lambda: file.exists() and file.read_text())
    return int(file.read_text())


def test_a_child_that_hears_no_signal_is_killed() -> None:
    family = Family([sys.executable, "-c", DEAF], ENVIRONMENT)
    assert family.code is None
    assert family.kill() == -9
    assert not list(family.alive())


@pytest.mark.parametrize("ending", ["time.sleep(600)", ""], ids=["child runs", "child is gone"])
def test_a_grandchild_in_a_session_of_its_own_ends_too(tmp_path: Path, ending: str) -> None:
    family = Family([sys.executable, "-c", GRANDCHILD + ending, str(tmp_path / "pid")], ENVIRONMENT)
    pid = grandchild(tmp_path / "pid")
    if not ending:
        until(lambda: family.code is not None)
    assert runs(pid)
    family.kill()
    until(lambda: not runs(pid))


def test_other_families_live_on() -> None:
    one, other = (Family([sys.executable, "-c", DEAF], ENVIRONMENT) for _ in range(2))
    one.kill()
    assert other.code is None
    other.kill()


def test_the_exit_code_of_one_that_ended_is_kept() -> None:
    family = Family([sys.executable, "-c", "raise SystemExit(7)"], ENVIRONMENT)
    until(lambda: family.code is not None)
    assert family.kill() == 7
