"""A handler for tests that gives its output in parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import runpod


async def handler(job: dict[str, Any]) -> AsyncIterator[dict[str, int]]:
    for number in range(job["input"]["parts"]):
        yield {"part": number}
        await asyncio.sleep(0.2)


runpod.serverless.start({"handler": handler})
