"""What the emulator's tests share: containers' commands, and waiting for something to come true."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from callsheet.runpod.emulator.serve import Emulator

T = TypeVar("T")
HANDLERS = Path(__file__).parent / "handlers"
IMAGES: dict[str, tuple[str, ...]] = {
    "echo": (sys.executable, str(HANDLERS / "echo.py")),
    "blocking": (sys.executable, str(HANDLERS / "blocking.py")),
    "streaming": (sys.executable, str(HANDLERS / "streaming.py")),
    "parent": (sys.executable, str(HANDLERS / "parent.py")),
    "sleepy": ("sleep", "3600"),
    "quick": ("sleep", "0.05"),
}
"""Part of an image's name -> its command."""


def soon(look: Callable[[], T | bool | None], what: str, within_s: float = 60.0) -> T:
    """What `look` finds once it finds something; fails the test with `what` when it does not."""
    end = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found                                # type: ignore[return-value]
        assert time.monotonic() < end, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)


def submit(emulator: Emulator, endpoint: str, given: Any, **fields: Any) -> str:
    """Queue a job. Gives its id."""
    return str(emulator.ask("POST", f"/jobs/{endpoint}/run", {"input": given, **fields})["id"])


def status(emulator: Emulator, endpoint: str, job: str) -> dict[str, Any]:
    found: dict[str, Any] = emulator.ask("GET", f"/jobs/{endpoint}/status/{job}")
    return found


def ended(emulator: Emulator, endpoint: str, job: str) -> dict[str, Any]:
    """A job's status when it is over."""
    return soon(lambda: (s := status(emulator, endpoint, job))["status"] not in ("IN_QUEUE", "IN_PROGRESS") and s,
                f"job {job} ends")


def running(emulator: Emulator, endpoint: str, job: str) -> dict[str, Any]:
    """A job's status as soon as a worker has it."""
    return soon(lambda: (s := status(emulator, endpoint, job))["status"] == "IN_PROGRESS" and s, f"job {job} runs")


def row(emulator: Emulator, table: str, id_: str) -> dict[str, Any]:
    """A row of the emulator's state."""
    return next(each for each in emulator.state()[table] if each["id"] == id_)


def rent(emulator: Emulator, image: str = "sleepy", gpu: str = "NVIDIA A40", **fields: Any) -> dict[str, Any]:
    """Create a pod."""
    order = {"name": "callsheet-test", "image": image, "gpu": {"id": gpu}, **fields}
    found: dict[str, Any] = emulator.ask("POST", "/v2/pods", order)
    return found


def refused(call: Callable[[], Any]) -> tuple[int, dict[str, Any]]:
    """Status and body of a request that must be refused."""
    import httpx

    try:
        call()
    except httpx.HTTPStatusError as error:
        return error.response.status_code, error.response.json()
    raise AssertionError("the request was not refused")
