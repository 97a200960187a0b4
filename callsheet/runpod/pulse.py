"""Whether work goes on, told by the time of a file that it touches (tasks/run.py does)."""

from __future__ import annotations

import time
from pathlib import Path

HEARTBEAT = "CALLSHEET_HEARTBEAT"
"""The variable that names the file."""

QUIET_S = 900.0
"""Nothing moves for so long: it hangs."""


class Pulse:
    """How long a file has not been touched. Clocks may be set meanwhile: only changes count."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._touched, self._since = self._time(), time.monotonic()

    def quiet_s(self) -> float:
        """Seconds since it was touched last, or since this began."""
        if (touched := self._time()) != self._touched:
            self._touched, self._since = touched, time.monotonic()
        return time.monotonic() - self._since

    def _time(self) -> int:
        try:
            return self._file.stat().st_mtime_ns
        except OSError:
            return 0
