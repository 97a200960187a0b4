"""Several processes as one: all run, or all end.

Covers starting workers, restarting those that die, ending everything when the server dies or somebody asks
(SIGINT, SIGTERM). How one process is run and killed is process.py's matter.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from callsheet.doors.local.process import Child
from callsheet.errors import ServerDied

_log = logging.getLogger(__name__)

BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Waits before each restart of a worker; after the last one it is given up."""

STEADY_S = 600.0
"""A worker that ran so long has its restarts back."""


@dataclass
class _Worker:
    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    child: Child | None = None
    started: float = 0.0
    restarts: int = 0
    restart_at: float = 0.0
    given_up: bool = False


class Supervisor:
    """Runs workers beside a server; leaving it as a context stops the workers, the last started first.

    Each worker's words go to <logs>/<name>.log without secrets. `tell` gets a line whenever something changes.
    """

    def __init__(
        self,
        logs: Path,
        *,
        secrets: Collection[str] = (),
        tell: Callable[[str], None] = _log.warning,
        backoff_s: Sequence[float] = BACKOFF_S,
        grace_s: float = 10.0,
    ) -> None:
        self._logs, self._secrets, self._tell = logs, frozenset(secrets), tell
        self._backoff_s, self._grace_s = tuple(backoff_s), grace_s
        self._watched: list[Child] = []
        self._workers: list[_Worker] = []
        self._stop = threading.Event()
        self._handlers: dict[int, Any] = {}

    def watch(self, child: Child) -> None:
        """The others need this one (the server): when it ends, `run` ends. It is stopped by who started it."""
        self._watched.append(child)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a worker; `environment` is all it gets. When it ends, it is started again."""
        worker = _Worker(name, tuple(command), dict(environment))
        self._workers.append(worker)
        self._launch(worker)

    def children(self) -> dict[str, int]:
        """Process ids of the workers that run, by name."""
        return {w.name: w.child.pid for w in self._workers if w.child and w.child.poll() is None}

    def request_stop(self) -> None:
        """Make `run` return; from any thread or a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Watch until SIGINT, SIGTERM or `request_stop`.

        Raises ServerDied when a watched process ended, or when every worker was given up.
        """
        while not self._stop.wait(0.1):
            for child in self._watched:
                if (code := child.poll()) is not None:
                    raise ServerDied(what=f"the {child.name}", log=child.log,
                                     detail=f"exit code {code}: {child.last_words(3) or 'it said nothing'}")
            for worker in self._workers:
                self._look_after(worker)
            if self._workers and all(worker.given_up for worker in self._workers):
                raise ServerDied(what="the last worker", log=self._logs,
                                 detail=f"{self._workers[-1].name} ended {len(self._backoff_s) + 1} times")

    def stop(self) -> None:
        """Stop every worker, the last started first. Leaves no process behind."""
        for worker in reversed(self._workers):
            if worker.child:
                worker.child.stop()
                worker.child = None
        self._workers.clear()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():        # Python hands signals to no other
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with contextlib.ExitStack() as stack:
            for number, handler in self._handlers.items():
                stack.callback(signal.signal, number, handler)
            self.stop()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.request_stop()

    def _launch(self, worker: _Worker) -> None:
        worker.started = time.monotonic()
        worker.child = Child(worker.name, worker.command, worker.environment, self._logs / f"{worker.name}.log",
                             secrets=self._secrets, grace_s=self._grace_s)

    def _look_after(self, worker: _Worker) -> None:
        if worker.given_up:
            return
        if worker.child is None:
            if time.monotonic() >= worker.restart_at:
                self._launch(worker)
            return
        code = worker.child.poll()
        if code is None:
            return
        words = worker.child.last_words(2) or "it said nothing"
        worker.child.stop()
        worker.child = None
        if time.monotonic() - worker.started > STEADY_S:
            worker.restarts = 0
        what = f"{worker.name} ended with exit code {code} ({words})"
        if worker.restarts >= len(self._backoff_s):
            worker.given_up = True
            self._tell(f"{what}: given up after {worker.restarts} restarts; see {self._logs / worker.name}.log")
            return
        wait_s = self._backoff_s[worker.restarts]
        worker.restarts += 1
        worker.restart_at = time.monotonic() + wait_s
        self._tell(f"{what}: restart {worker.restarts} of {len(self._backoff_s)} in {wait_s:g} s")
