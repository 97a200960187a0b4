"""Child processes that surely end: everything that descends from one is found and killed, whatever it did.

A child gets a mark in its environment, which its descendants inherit; a family within a family has both marks. So
those are found too that moved into sessions of their own, as Prefect's engine does, or whose parents are gone. Linux
and macOS.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

MARK = "CALLSHEET_CHILD"
_PATIENCE_S = 10.0
"""For processes that are in the kernel, on a dead disk: they end when the machine does."""


class Family:
    """One child and all that descends from it. It has its own session, and no terminal."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], *, stdin: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start it. `environment` is all it gets."""
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            list(command), env={**environment, MARK: f"{environment.get(MARK, '')} {self.mark}".strip()}, stdin=stdin,
            pass_fds=tuple(pass_fds), start_new_session=True,
        )

    @property
    def code(self) -> int | None:
        """Exit code of the child itself, negative for a signal; None while it runs."""
        return self.process.poll()

    def interrupt(self) -> None:
        """Ask the child alone to end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL for all of them, until none is left; the child's exit code. Takes milliseconds."""
        end = time.monotonic() + _PATIENCE_S
        while (left := tuple(self.alive())) and time.monotonic() < end:
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()                       # a dead child that nobody asks about stays in the table
            time.sleep(0.01)
        return self.process.wait(_PATIENCE_S)

    def alive(self) -> Iterator[int]:
        """Ids of those that run."""
        import psutil

        known: set[int] = set()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                # The mark, not the number: a number that is free again is somebody else's. The child's own is kept.
                ours = process.pid == self.process.pid and self.code is None
                if not ours and self.mark not in process.environ().get(MARK, "").split():
                    continue
                known.update(each.pid for each in (process, *process.children(recursive=True)) if _runs(each))
        yield from known


def _runs(process: psutil.Process) -> bool:
    import psutil

    return bool(process.status() != psutil.STATUS_ZOMBIE)
