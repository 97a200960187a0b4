"""An emulator for a test or a command: in a process of its own, gone when the context is left.

    with running_emulator(folder, images={"my/image": [sys.executable, "handler.py"]}) as emulator:
        endpoint = emulator.endpoint(image="my/image:1", max_workers=2)
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from callsheet import project
from callsheet.errors import ServerDied
from callsheet.runpod.emulator.faults import Fault, FaultKind
from callsheet.runpod.emulator.machines import sweep
from callsheet.runpod.emulator.options import Options
from callsheet.runpod.emulator.privacy import close_folder

START_S = 60.0
STOP_S = 20.0


class Emulator:
    """A running emulator. Methods raise httpx.HTTPStatusError when it refuses."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder, self.options = folder, options
        self.key = options.key
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None

    @property
    def api(self) -> str:
        """The control plane's root."""
        return self.url

    @property
    def jobs(self) -> str:
        """The jobs plane's root."""
        return f"{self.url}/jobs"

    @property
    def pid(self) -> int:
        """Of the emulator's process."""
        assert self._process is not None
        return self._process.pid

    def environment(self) -> dict[str, str]:
        """What callsheet is to be started with so that it finds this emulator."""
        return {"RUNPOD_API_KEY": self.key, "CALLSHEET_RUNPOD_API": self.api, "CALLSHEET_RUNPOD_JOBS": self.jobs}

    # ---- as a process

    def start(self, port: int = 0) -> None:
        """Start it, and wait until it answers. Raises ServerDied."""
        close_folder(self.folder)
        log = self.folder / "emulator.log"
        with log.open("ab") as words:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "callsheet.runpod.emulator", str(self.folder), "--port", str(port),
                 "--options", self.options.model_dump_json(), "--while-stdin-is-open"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(project.root()), *_python_path()])},
            )
        line = _line(self._process, START_S)
        if line is None:
            self.kill()
            raise ServerDied(what="the emulator", log=log, detail=_last_words(log))
        self.url = json.loads(line)["url"]
        self._client = httpx.Client(base_url=self.url, timeout=30.0, trust_env=False,
                                    headers={"Authorization": f"Bearer {self.key}"})

    def stop(self) -> None:
        """End it and every process of it."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is None:
            return
        process, self._process = self._process, None
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
        sweep(self.folder)

    def kill(self) -> None:
        """End it as kill -9 does, its containers too; what it knew stays in its folder for the next `start`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
        self.stop()

    def restart(self) -> None:
        """Kill it, and start it again at the same address."""
        port = int(self.url.rpartition(":")[2])
        self.kill()
        self.start(port)

    # ---- what people and tests ask

    def ask(self, method: str, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """A request with the account's key: `path` from the root. Gives the answer's JSON, None for 204."""
        assert self._client is not None, "it is not running"
        found = self._client.request(method, path, json=body, params=params)
        found.raise_for_status()
        return found.json() if found.content else None

    def state(self) -> dict[str, Any]:
        """Jobs, workers, pods, bill, processes, webhooks and faults."""
        found: dict[str, Any] = self.ask("GET", "/emulator/state")
        return found

    def inject(self, fault: Fault | FaultKind, **facts: Any) -> None:
        """Put a fault on the table; of a kind alone, `facts` are the fault's fields."""
        given = fault if isinstance(fault, Fault) else Fault(kind=fault, **facts)
        self.ask("POST", "/emulator/faults", given.model_dump(mode="json"))

    def clear_faults(self) -> None:
        """Take all faults off the table; what struck at once stays."""
        self.ask("DELETE", "/emulator/faults")

    def advance(self, seconds: float) -> float:
        """Skip emulated time. Gives the time afterwards."""
        return float(self.ask("POST", "/emulator/clock", {"advance_s": seconds})["now"])

    def now(self) -> float:
        """Emulated seconds since 1970."""
        return float(self.ask("GET", "/emulator/clock")["now"])

    def endpoint(self, image: str, *, min_workers: int = 0, max_workers: int = 3, idle_s: int = 5,
                 queue_delay_s: float = 0.5, timeout_s: float = 600.0, env: Mapping[str, str] | None = None,
                 args: str = "handler", pools: tuple[str, ...] = ("AMPERE_48", "ADA_48_PRO"),
                 name: str = "test") -> str:
        """Create a queue endpoint. Gives its id."""
        order = {
            "name": name, "type": "QUEUE", "image": image, "args": args, "env": dict(env or {}),
            "gpu": {"pools": list(pools), "count": 1}, "timeout": round(timeout_s * 1000),
            "scaling": {"type": "QUEUE_DELAY", "queueDelay": queue_delay_s},
            "workers": {"min": min_workers, "max": max_workers, "idleTimeout": idle_s},
        }
        return str(self.ask("POST", "/v2/serverless", order)["id"])

    def log(self, machine_id: str) -> str:
        """What a pod's or worker's processes have said."""
        path = self.folder / "logs" / f"{machine_id}.log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def running_emulator(folder: Path, options: Options | None = None, *, port: int = 0,
                     **fields: Any) -> Iterator[Emulator]:
    """An emulator whose state lies in `folder`; `fields` are those of Options. No process of it is left afterwards.

    Raises ServerDied.
    """
    emulator = Emulator(folder, options or Options(**fields))
    emulator.start(port)
    try:
        yield emulator
    finally:
        emulator.stop()


def _python_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


def _line(process: subprocess.Popen[bytes], within_s: float) -> bytes | None:
    """The first line it says; None when it ended or said nothing in time."""
    assert process.stdout is not None
    end, data = time.monotonic() + within_s, b""
    while not data.endswith(b"\n"):
        left = end - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            return None
        part = os.read(process.stdout.fileno(), 4096)
        if not part:
            return None
        data += part
    return data


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
