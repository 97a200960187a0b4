"""How many requests an endpoint takes in ten seconds. Pure: the time is given."""

from __future__ import annotations

from collections import deque

from callsheet.runpod.emulator.refusals import Refusal

WINDOW_S = 10.0
PER_WINDOW = {"run": 1000, "status": 2000, "cancel": 100, "purge": 2}


class Limits:
    """Moments of the last requests, by endpoint and kind."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], deque[float]] = {}

    def count(self, endpoint: str, kind: str, now: float) -> None:
        """Count one more. Raises Refusal 429 with the time after which there is room again."""
        seen = self._seen.setdefault((endpoint, kind), deque())
        while seen and now - seen[0] >= WINDOW_S:
            seen.popleft()
        if len(seen) >= PER_WINDOW[kind]:
            raise Refusal(429, f"more than {PER_WINDOW[kind]} {kind} requests in {WINDOW_S:g} s",
                          retry_after_s=max(1.0, WINDOW_S - (now - seen[0])))
        seen.append(now)
