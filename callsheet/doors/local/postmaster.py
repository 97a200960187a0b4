"""The PostgreSQL process of a data folder: is it there, stop it, clear away what a killed one left.

`base` is the folder that holds `pgdata` and `postgres.log`. Starting is postgres.py's matter.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from callsheet.errors import ServerError


@dataclass(frozen=True)
class Postmaster:
    """A PostgreSQL that runs."""

    pid: int
    socket_folder: Path
    ready: bool


def running_postmaster(base: Path) -> Postmaster | None:
    """The PostgreSQL that runs on the data in `base`. A stale postmaster.pid, whoever has its pid now, is none."""
    try:
        lines = (base / "pgdata" / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        if not _stands_in(process, base / "pgdata"):
            return None
        ready = len(lines) > 7 and lines[7].strip() == "ready"
        return Postmaster(process.pid, Path(lines[4]) if len(lines) > 4 else base, ready)
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def stop_postmaster(base: Path, postmaster: Postmaster) -> None:
    """Stop it: fast, then hard, then by force. Raises ServerError when even that fails."""
    for number, patience_s in ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(postmaster.pid, number)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if running_postmaster(base) is None:
                return
            time.sleep(0.02)
    raise ServerError(what="PostgreSQL", detail=f"process {postmaster.pid} of before does not stop",
                      log=base / "postgres.log")


def clear_leftovers(base: Path, socket: Path) -> None:
    """After a kill -9: wait until nothing of the old PostgreSQL runs, then remove its lock files.

    It would clear them itself, but not when another program, or a zombie, has its number by now. Call it with
    the start lock held and no PostgreSQL running on the data.
    """
    data = base / "pgdata"
    locks = [f for f in (data / "postmaster.pid", socket.with_name(f"{socket.name}.lock")) if f.exists()]
    if not locks:
        return
    deadline = time.monotonic() + 20
    while left := [p.pid for p in psutil.process_iter() if _stands_in(p, data)]:
        if time.monotonic() > deadline:
            raise ServerError(what="PostgreSQL", detail=f"processes {left} of a killed one still use its data",
                              log=base / "postgres.log")
        time.sleep(0.05)
    for file in locks:
        file.unlink()


def _stands_in(process: psutil.Process, folder: Path) -> bool:
    """Whether its working folder is this one, as it is of every process of a PostgreSQL."""
    with contextlib.suppress(psutil.Error, OSError):
        return Path(process.cwd()).resolve() == folder.resolve()
    return False
