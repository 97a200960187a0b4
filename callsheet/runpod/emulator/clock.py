"""The emulator's time: real, faster or slower than real, or moved by hand (scale 0)."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


class Clock:
    """Seconds since 1970. `scale` emulated seconds pass in a real one; `advance` skips time at once."""

    def __init__(self, scale: float = 1.0, start: float | None = None) -> None:
        self.scale = scale
        self._base = time.time() if start is None else start
        self._origin = time.monotonic()
        self._moved = asyncio.Event()

    def now(self) -> float:
        return self._base + (time.monotonic() - self._origin) * self.scale

    def advance(self, seconds: float) -> None:
        """Skip time. Raises ValueError for a negative amount: bills cannot run backwards."""
        if seconds < 0:
            raise ValueError("time only moves on")
        self._base += seconds
        self._wake()

    def rescale(self, scale: float) -> None:
        """Go on at another speed from now."""
        self._base, self._origin, self.scale = self.now(), time.monotonic(), scale
        self._wake()

    async def sleep(self, seconds: float) -> None:
        """Return when so many emulated seconds have passed."""
        end = self.now() + seconds
        while (left := end - self.now()) > 0:
            moved = self._moved
            real = left / self.scale if self.scale else None
            try:
                await asyncio.wait_for(moved.wait(), real)
            except TimeoutError:
                continue

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


def iso(at: float | None) -> str | None:
    """RFC 3339 in UTC with microseconds."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace(
        "+00:00", "Z")
