"""Ctrl-C stops what is under way: queued tasks do not begin, engines stop at their next frame."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from callsheet import project


@contextmanager
def interruptible() -> Iterator[None]:
    """While it is open, SIGINT tells every task of this process, then interrupts as usual."""
    project.importable()
    from tasks.run import STOP

    STOP.clear()

    def stop(number: int, frame: FrameType | None) -> None:
        STOP.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():       # Python hands signals to no other
        yield
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
