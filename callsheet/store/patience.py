"""Asking a store until it answers, for what was paid for already and would be lost otherwise."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from callsheet.errors import StoreError

PATIENCE_S = 600.0
"""How long what was submitted or made waits for a store that fails."""

Pause = Callable[[float], Awaitable[None]]
Call = Callable[..., Awaitable[Any]]
"""Runs a function that asks the store, with its arguments; asyncio.to_thread is one."""


async def surely(ask: Callable[[], Any], call: Call, pause: Pause, clock: Callable[[], float]) -> Any:
    """What `ask` gives, tried again while the store fails. Raises StoreError when it fails for long, or for good."""
    wait_s, until = 0.2, clock() + PATIENCE_S
    while True:
        try:
            return await call(ask)
        except StoreError as error:
            if not error.retryable or clock() > until:
                raise
        await pause(about(wait_s))
        wait_s = min(wait_s * 2, 10.0)


def about(seconds: float) -> float:
    """So long, give or take: many who wait do not come back at once."""
    return seconds * random.uniform(0.7, 1.3)
