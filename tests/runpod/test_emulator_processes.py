"""The emulator's processes: none is left, however hard it is to find and however the emulator ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from callsheet.runpod.emulator.serve import Emulator, running_emulator
from tests.runpod.emulation import IMAGES, ended, rent, row, running, soon, status, submit

pytestmark = pytest.mark.slow


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def family(emulator: Emulator, pod: str) -> list[int]:
    """A `parent` pod's process and its four descendants, once they all run."""
    found = emulator.folder / "machines" / pod / "children.txt"
    soon(found.exists, "the container started its children")
    main = emulator.state()["processes"][pod]
    pids = [main, *map(int, found.read_text().split())]
    assert all(alive(pid) for pid in pids) and len(pids) == 5
    return pids


def test_deleting_a_pod_ends_the_descendants_that_hide(tmp_path: Path) -> None:
    with running_emulator(tmp_path, images=IMAGES) as emulator:
        pods = [rent(emulator, "parent")["id"] for _ in range(2)]
        pids, others = (family(emulator, pod) for pod in pods)
        emulator.ask("DELETE", f"/v2/pods/{pods[0]}")
        soon(lambda: not any(alive(pid) for pid in pids), "all its processes are gone")
        assert all(alive(pid) for pid in others), "another pod's processes were ended too"


def test_a_container_that_exits_takes_its_descendants_along(tmp_path: Path) -> None:
    with running_emulator(tmp_path, images=IMAGES, restart_s=600) as emulator:
        pod = rent(emulator, "parent")["id"]
        pids = family(emulator, pod)
        os.kill(pids[0], signal.SIGKILL)
        soon(lambda: not any(alive(pid) for pid in pids), "all its processes are gone")
        assert row(emulator, "pods", pod)["exits"] == [-9]


def test_restarting_a_pod_at_once_does_not_end_the_new_container(tmp_path: Path) -> None:
    with running_emulator(tmp_path, images=IMAGES, start_s=0) as emulator:
        pod = rent(emulator, "parent")["id"]
        old = family(emulator, pod)
        (emulator.folder / "machines" / pod / "children.txt").unlink()
        emulator.ask("POST", f"/v2/pods/{pod}/action", {"action": "restart"})
        new = family(emulator, pod)
        soon(lambda: not any(alive(pid) for pid in old), "the old container is gone")
        assert all(alive(pid) for pid in new)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_emulator_ends(tmp_path: Path, number: signal.Signals) -> None:
    with running_emulator(tmp_path, images=IMAGES) as emulator:
        endpoint = emulator.endpoint("echo:1", args="")
        running(emulator, endpoint, submit(emulator, endpoint, {"wait": 600}))
        pids = [*family(emulator, rent(emulator, "parent")["id"]), *emulator.state()["processes"].values()]
        noted = emulator.folder / "descendants.json"
        soon(lambda: noted.exists() and all(str(pid) in noted.read_text() for pid in pids[1:5]), "they were noted")
        os.kill(emulator.pid, number)
        if number is not signal.SIGKILL:                # a killed one's are ended by who started it
            soon(lambda: not any(alive(pid) for pid in pids), "all its processes are gone")
    assert not [pid for pid in pids if alive(pid)]


def test_the_emulator_ends_with_who_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib; from callsheet.runpod.emulator.serve import Emulator;"
        "from callsheet.runpod.emulator.options import Options;"
        f"e = Emulator(pathlib.Path({str(tmp_path)!r}), Options()); e.start();"
        "print(e.pid, flush=True); time.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True,
                             cwd=Path(__file__).parents[2])
    assert child.stdout is not None
    pid = int(child.stdout.readline())
    assert alive(pid)
    child.kill()
    child.wait()
    child.stdout.close()
    soon(lambda: not alive(pid), "the emulator ended")


@pytest.mark.soak
def test_what_was_known_is_known_after_a_kill(tmp_path: Path) -> None:
    with running_emulator(tmp_path, images=IMAGES, heartbeat_s=0.5, restart_s=0.2) as emulator:
        endpoint = emulator.endpoint("echo:1", args="")
        done = ended(emulator, endpoint, submit(emulator, endpoint, {"say": 1}))
        job = submit(emulator, endpoint, {"say": 2, "wait": 2})
        worker = running(emulator, endpoint, job)["workerId"]
        pod = rent(emulator, "sleepy")["id"]
        soon(lambda: emulator.state()["processes"].get(pod), "the pod runs")
        emulator.restart()
        assert status(emulator, endpoint, done["id"]) == done
        again = ended(emulator, endpoint, job)
        assert (again["status"], again["output"]["said"]) == ("COMPLETED", 2) and again["workerId"] != worker
        assert row(emulator, "workers", worker)["ended"]
        soon(lambda: emulator.state()["processes"].get(pod), "the pod's container was started again")
        life, = (each for each in emulator.state()["bill"] if each["resource"] == pod)
        assert life["ended"] is None and life["started"] == row(emulator, "pods", pod)["created"]
