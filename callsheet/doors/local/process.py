"""One long-running child process: its log, its last words, its end.

The child runs under warden.py, so nothing of it outlives this process, however this process ends. What it says
goes to a log file, line by line, without secrets. Restarting is supervise.py's matter.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from callsheet.doors.local import warden
from callsheet.doors.local.home import usable
from callsheet.redact import redact

_LARGEST_LOG = 16 << 20


class Child:
    """A process that was started; it has its own session. Stop it, or it stops with this process."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        secrets: Collection[str] = (),
        cwd: Path | None = None,
        grace_s: float = 10.0,
    ) -> None:
        """Start it. `environment` is all it gets; `grace_s` is what it has between SIGTERM and SIGKILL.

        Raises ServerError when its log cannot be written.
        """
        self.name, self.command, self.log = name, tuple(command), log
        self._grace_s, self._secrets = grace_s, frozenset(secrets)
        with usable(log.parent, f"the {name}"):
            log.parent.mkdir(parents=True, exist_ok=True)
            if log.exists() and log.stat().st_size > _LARGEST_LOG:
                log.replace(log.with_suffix(log.suffix + ".1"))
            log.open("ab").close()
            self._began = log.stat().st_size
        self._process = subprocess.Popen(
            [sys.executable, "-P", warden.__file__, str(grace_s), *command], env=dict(environment), cwd=cwd,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )
        self._pump = threading.Thread(target=self._copy, name=f"log-{name}", daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int:
        """Of the process that answers for it; ends when the child has ended."""
        return self._process.pid

    def poll(self) -> int | None:
        """Exit code, None while it runs."""
        return self._process.poll()

    def stop(self) -> int:
        """SIGTERM, after the grace SIGKILL, for it and all that descends from it; its exit code."""
        if self.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(self._grace_s + 15)
        except subprocess.TimeoutExpired:
            self._process.kill()                      # the command dies with its warden
        code = self._process.wait()
        self._pump.join(5)                            # a stray descendant could hold the pipe open
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        return code

    def last_words(self, lines: int = 8) -> str:
        """The end of what it said since it was started."""
        if self.poll() is not None:
            self._pump.join(5)
        with self.log.open("rb") as file:
            file.seek(max(self._began, self.log.stat().st_size - 16384))
            said = file.read().decode(errors="replace").splitlines()
        return " | ".join([line.strip() for line in said if line.strip()][-lines:])[-1200:]

    def _copy(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as words, self.log.open("ab", buffering=0) as log:
            for line in words:
                log.write(redact(line.decode(errors="replace"), self._secrets).encode())
