"""What a command costs: its whole process tree's CPU seconds, wall time and peak memory.

CPU is what the kernel charged the command and every child it waited for; where that is less than what was seen
of all processes (a child left behind is nobody's), it is what was seen. Memory is sampled: the sum of the
resident sizes of all processes alive at one moment, so pages shared by two of them count twice. The
greatest single process is kept as a check: its high-water mark where the kernel tells (ru_maxrss would not do: it
begins at the size of whoever started the process). POSIX only.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Usage:
    """Cost of one command."""

    cpu_s: float
    """User and system time of the whole tree."""
    wall_s: float
    peak_bytes: int
    """Greatest sum of resident memory over the live processes of the tree."""
    largest_bytes: int
    """Greatest resident memory of a single process."""
    samples: int


class Failed(Exception):
    """The measured command did not end well."""


def measured(line: Sequence[str | Path], cwd: Path, log: Path, env: Mapping[str, str] | None = None) -> Usage:
    """Run `line` and measure it; what it says goes to `log`. Raises Failed when it does not return 0."""
    with log.open("wb") as words:
        began = time.monotonic()
        process = subprocess.Popen(
            [str(part) for part in line], cwd=cwd, stdin=subprocess.DEVNULL, stdout=words, stderr=words,
            env={**os.environ, **(env or {})},
        )
        peak = largest = samples = pid = 0
        cpu_s: dict[int, float] = {}
        root = psutil.Process(process.pid)
        try:
            while not pid:
                together, one = _look(root, cpu_s)
                peak, largest, samples = max(peak, together), max(largest, one), samples + 1
                time.sleep(SAMPLE_SECONDS)
                pid, status, used = os.wait4(process.pid, os.WNOHANG)
        except BaseException:
            _stop(root)
            raise
        wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)       # it is reaped already: Popen must not wait again
    if process.returncode != 0:
        raise Failed(f"{line} ended with {process.returncode}:\n{log.read_text(errors='replace')[-2000:]}")
    return Usage(
        cpu_s=max(used.ru_utime + used.ru_stime, sum(cpu_s.values())), wall_s=wall, samples=samples,
        peak_bytes=max(peak, largest), largest_bytes=largest,
    )


def _look(root: psutil.Process, cpu_s: dict[int, float]) -> tuple[int, int]:
    """Bytes resident in the tree now, and in its greatest process so far; CPU seconds are noted by process.

    A child that has not yet become its own program shares its parent's memory, which counts once.
    """
    total = largest = 0
    seen = set()
    try:
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0, 0
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            used, memory = process.cpu_times(), process.memory_info()
            cpu_s[process.pid] = used.user + used.system
            largest = max(largest, memory.rss, _high_water(process.pid))
            if (memory.rss, memory.vms) not in seen:
                seen.add((memory.rss, memory.vms))
                total += memory.rss
    return total, largest


def _high_water(pid: int) -> int:
    """Most bytes that were ever resident in a process; 0 where the kernel does not tell."""
    with contextlib.suppress(OSError):
        told = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(told[1]) * 1024 if told else 0
    return 0


def _stop(root: psutil.Process) -> None:
    for process in [*root.children(recursive=True), root]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
