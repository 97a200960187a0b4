"""A handler for tests: says back what it got, after `wait` seconds, with progress; can misbehave on request."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import runpod


async def handler(job: dict[str, Any]) -> dict[str, Any]:
    given = job["input"]
    if given.get("progress") is not None:
        runpod.serverless.progress_update(job, given["progress"])
    if given.get("die"):
        os._exit(given["die"])
    await asyncio.sleep(given.get("wait", 0))
    if given.get("error"):
        return {"error": given["error"], "kept": True}
    if given.get("large"):
        return {"large": "x" * given["large"]}
    return {"said": given.get("say"), "env": {name: os.environ.get(name) for name in given.get("env", ())}}


runpod.serverless.start({"handler": handler})
