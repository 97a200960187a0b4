"""The processes that stand for containers: started apart from each other, watched, and ended to the last descendant.

A process of a container may begin a session of its own, clean its environment, or lose its parent. So descendants
are remembered while they run, the emulator adopts orphans (Linux: as a child subreaper) and knows them by their
working folder, and what carries a machine's mark in its environment is found by that. What does all of these at
once is not found when its machine ends, but ends with the emulator.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

MARK = "CALLSHEET_EMULATED_BY"
"""Variable with the emulator's name in all its processes."""
MACHINE = "CALLSHEET_EMULATED_MACHINE"
"""Variable with what tells a machine's processes from all others'."""

_TERM_S = 1.0
"""Real seconds between asking a machine to end and making it."""
_PR_SET_CHILD_SUBREAPER = 36

Born = tuple[int, str]
"""A process: id and start time, which together are never used twice."""


def mark_of(folder: Path) -> str:
    """What the processes of an emulator in that folder carry."""
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:24]


class Machine:
    """One container: its main process and all that came from it."""

    def __init__(self, token: str, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.token, self.process, self.folder = token, process, folder
        self.known: set[Born] = set()


class Machines:
    """All containers of one emulator. Logs and working folders lie under its folder."""

    def __init__(self, folder: Path, python_path: str) -> None:
        self.folder, self.mark, self._python_path = folder, mark_of(folder), python_path
        self._running: dict[str, Machine] = {}
        self._ending: set[Machine] = set()
        self._number = 0
        self._noted = ""
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(self, id_: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start a container's process. Its environment is `environment` and a few basics, not ours.

        Where its programs are found is ours to say: whoever orders a container chooses among `images` alone.
        """
        log = self.log(id_)
        log.parent.mkdir(parents=True, exist_ok=True)
        self._number += 1
        token = f"{id_}.{self._number}"                     # a container that starts again is another machine
        home = self.folder / "machines" / id_
        folder = home / "work" / str(self._number)
        for each in (folder, home / "tmp"):
            each.mkdir(parents=True, exist_ok=True)
        basics = {"LANG": "C.UTF-8", "HOME": str(home), "TMPDIR": str(home / "tmp"), "PYTHONUNBUFFERED": "1"}
        fixed = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": self._python_path,
                 MARK: self.mark, MACHINE: token}
        with log.open("ab") as out:
            process = subprocess.Popen(
                list(command), env={**basics, **environment, **fixed}, cwd=folder,
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )
        self._running[id_] = Machine(token, process, folder)

    def log(self, id_: str) -> Path:
        return self.folder / "logs" / f"{id_}.log"

    def running(self, id_: str) -> bool:
        """Whether a process was started and neither noticed as ended nor taken away."""
        return id_ in self._running

    def alive(self, id_: str) -> bool:
        """Whether its main process runs."""
        machine = self._running.get(id_)
        return machine is not None and machine.process.poll() is None

    def exit_code(self, id_: str) -> int | None:
        """Its main process's code when that has ended since it was last asked: what is left of it is ended too."""
        machine = self._running.get(id_)
        if machine is None or (code := machine.process.poll()) is None:
            return None
        del self._running[id_]
        self._end(machine, 0.0)
        return code

    def kill(self, id_: str) -> None:
        """End it at once, as when the machine loses its power; `exit_code` will tell."""
        if machine := self._running.get(id_):
            self._signal(machine, signal.SIGKILL)

    def freeze(self, id_: str) -> None:
        """All its processes stand still, and stay."""
        if machine := self._running.get(id_):
            self._signal(machine, signal.SIGSTOP)

    def take(self, id_: str) -> Machine | None:
        """Hand a machine over for `end`: it counts as gone from now on."""
        if machine := self._running.pop(id_, None):
            self._ending.add(machine)
        return machine

    def end(self, machine: Machine) -> None:
        """Ask it to end, then make it. Waits at most a second or so; may run in a thread."""
        self._end(machine, _TERM_S)
        self._ending.discard(machine)

    def end_all(self) -> None:
        """End every container at once, and what carries our mark anywhere."""
        left, self._running = list(self._running.values()), {}
        for machine in left:
            self._signal(machine, signal.SIGKILL)
        for machine in left:
            self._end(machine, 0.0)
        sweep(self.folder)
        _kill(_descendants({os.getpid()}))
        self.reap()

    def watch(self) -> None:
        """Remember who descends from whom, and collect orphans that ended. To be called about every second."""
        for machine in list(self._running.values()):
            machine.known = {born for born in machine.known if _born(born[0]) == born}
            machine.known |= _descendants({machine.process.pid})
        known = json.dumps(sorted(_descendants({os.getpid()})))
        if known != self._noted:
            _noted(self.folder).write_text(known)
            self._noted = known
        self.reap()

    def reap(self) -> None:
        """Collect adopted orphans that have ended; our own children are left to their `Popen`."""
        own = {machine.process.pid for machine in (*self._running.values(), *self._ending)}
        for pid, parent, state in _processes():
            if parent == os.getpid() and state == "Z" and pid not in own:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def pids(self) -> dict[str, int]:
        return {id_: machine.process.pid for id_, machine in self._running.items()}

    def _members(self, machine: Machine) -> set[Born]:
        known = {born for born in machine.known if _born(born[0]) == born}
        roots = {machine.process.pid} | {pid for pid, _ in known}
        orphans = {born for pid, parent, _ in _processes()
                   if parent == os.getpid() and _works_in(pid, machine.folder) and (born := _born(pid))}
        roots |= {pid for pid, _ in orphans}
        return known | orphans | _descendants(roots) | marked(MACHINE, machine.token, self.mark)

    def _signal(self, machine: Machine, number: signal.Signals) -> None:
        members = self._members(machine)
        machine.known |= members
        if machine.process.poll() is None:
            _send(machine.process.pid, number)
        for pid, _ in members:
            _send(pid, number)

    def _end(self, machine: Machine, grace_s: float) -> None:
        if grace_s and machine.process.poll() is None:
            machine.known |= self._members(machine)
            _send(machine.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                machine.process.wait(grace_s)
        self._signal(machine, signal.SIGKILL)
        machine.process.wait()
        _kill(self._members(machine))
        self.reap()


def sweep(folder: Path) -> None:
    """Kill what an emulator of that folder left behind: what carries its mark, and what it had seen descend from it."""
    mark = mark_of(folder)
    try:
        seen = {(int(pid), str(start)) for pid, start in json.loads(_noted(folder).read_text())}
    except (OSError, ValueError):
        seen = set()
    _kill(marked(MARK, mark, mark) | {born for born in seen if _born(born[0]) == born})


def _noted(folder: Path) -> Path:
    return folder / "descendants.json"


def marked(variable: str, value: str, mark: str) -> set[Born]:
    """Processes with that variable, and the emulator's mark, in the environment they were started with."""
    wanted = {f"{variable}={value}".encode(), f"{MARK}={mark}".encode()}
    found = set()
    for pid, _, state in _processes():
        if state == "Z" or pid == os.getpid():
            continue
        try:
            has = set(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))
        except OSError:
            continue
        if wanted <= has and (born := _born(pid)):
            found.add(born)
    return found


def _kill(processes: Iterable[Born]) -> None:
    for born in processes:
        if _born(born[0]) == born:
            _send(born[0], signal.SIGKILL)
    for born in processes:                                  # dead for whoever looks, not only told so
        for _ in range(100):
            if _gone(born):
                break
            time.sleep(0.01)


def _gone(born: Born) -> bool:
    stat = _stat(born[0])
    return stat is None or stat[2] != born[1] or stat[1] == "Z"


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(folder)
    except OSError:
        return False


def _descendants(roots: set[int]) -> set[Born]:
    """All that came from these processes, without themselves."""
    children: dict[int, list[int]] = {}
    for pid, parent, _ in _processes():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    queue = list(roots)
    while queue:
        for child in children.get(queue.pop(), ()):
            if child not in found:
                found.add(child)
                queue.append(child)
    return {born for pid in found - roots if (born := _born(pid))}


def _processes() -> list[tuple[int, int, str]]:
    """(id, parent, state) of every process."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [(pid, stat[0], stat[1]) for pid in pids if (stat := _stat(pid))]


def _stat(pid: int) -> tuple[int, str, str] | None:
    """(parent, state, start time in ticks since boot) of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[1]), fields[0], fields[19]
    except (OSError, IndexError, ValueError):
        return None


def _born(pid: int) -> Born | None:
    stat = _stat(pid)
    return None if stat is None else (pid, stat[2])
