"""A handler for tests that blocks the worker's loop: nothing stops it before its time."""

from __future__ import annotations

import time
from typing import Any

import runpod


def handler(job: dict[str, Any]) -> dict[str, Any]:
    time.sleep(job["input"]["wait"])
    return {"late": True}


runpod.serverless.start({"handler": handler})
