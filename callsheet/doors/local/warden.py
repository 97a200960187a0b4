"""A tiny program that runs one command and makes sure nothing of it stays behind.

    python warden.py GRACE-SECONDS COMMAND ARGUMENT...        (standard input: a pipe whose other end the parent holds)

When the parent goes, even by kill -9, the pipe ends; then, or on SIGTERM, the command's process group gets
SIGTERM, and after the grace everything that descends from it SIGKILL, processes in sessions of their own
included (on Linux also those whose parents are gone). Ends with the command's exit code.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Warden:
    """One command and its descendants."""

    def __init__(self, command: list[str], grace_s: float) -> None:
        self._command, self._grace_s = command, grace_s
        self._asked_to_stop = False
        self._code: int | None = None
        self._pid = 0

    def run(self) -> int:
        """Run to the end; the command's exit code, 128 + n when signal n ended it."""
        wake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._pid = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True,
                                     preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)).pid
        while not self._asked_to_stop and self._code is None:
            ready, _, _ = select.select([0, wake], [], [])
            if wake in ready:
                os.read(wake, 4096)
            if 0 in ready and not os.read(0, 4096):   # the parent is gone
                self._asked_to_stop = True
            self._reap()
        self._end_all()
        return self._code if self._code is not None else 128 + signal.SIGKILL

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._asked_to_stop = True

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self._pid:
                    code = os.waitstatus_to_exitcode(status)
                    self._code = code if code >= 0 else 128 - code

    def _end_all(self) -> None:
        """SIGTERM to the command, then to what it left; SIGKILL to whatever is there after the grace."""
        deadline = time.monotonic() + self._grace_s
        _signal_group(self._pid, signal.SIGTERM)
        while self._code is None and time.monotonic() < deadline:
            time.sleep(0.02)
            self._reap()
        told: set[int] = set()
        while remaining := _descendants():
            late = time.monotonic() > deadline
            if time.monotonic() > deadline + 10:      # unkillable: in the kernel, on a dead disk
                return
            for pid in remaining:
                if late or pid not in told:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
            told.update(remaining)
            time.sleep(0.05)
            self._reap()


def _descendants() -> list[int]:
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(int(process.pid))
    return found


def _signal_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(Warden(sys.argv[2:], float(sys.argv[1])).run())
