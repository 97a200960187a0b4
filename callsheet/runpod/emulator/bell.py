"""Lets requests that are held open notice that something changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Bell:
    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.closing = False

    def ring(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()

    def close(self) -> None:
        """Let everybody go: nothing will change any more."""
        self.closing = True
        self.ring()

    async def until(self, look: Callable[[], T | None], real_s: float) -> T | None:
        """What `look` finds, as soon as it finds something; None after so many real seconds."""
        end = time.monotonic() + real_s
        while True:
            event = self._event
            found = look()
            left = end - time.monotonic()
            if found is not None or self.closing or left <= 0:
                return found
            try:
                await asyncio.wait_for(event.wait(), left)
            except TimeoutError:
                return look()
