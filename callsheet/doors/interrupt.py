"""Ctrl-C stops what is under way: queued tasks do not begin, engines stop at their next frame.

What is made by hand is stopped by SIGTERM and SIGHUP too, and leaves nothing behind. Servers and batches have their
own ways, in supervise.py and in the tasks.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec, TypeVar

from callsheet import project

_Options = ParamSpec("_Options")
_Result = TypeVar("_Result")

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_CLEANING_S = 3.0
"""A terminal that is closed sends more than one: those that come while it is cleaned up change nothing."""


class Stopped(Exception):
    """A command that makes one thing was stopped by a signal before it was made; what it had begun is removed."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


def all_or_nothing(command: Callable[_Options, _Result]) -> Callable[_Options, _Result]:
    """The command, but a signal that ends programs lets it clean up first. It raises Stopped."""

    @functools.wraps(command)
    def run(*args: _Options.args, **kwargs: _Options.kwargs) -> _Result:
        with _ending():
            return command(*args, **kwargs)

    return run


@contextmanager
def _ending() -> Iterator[None]:
    """While it is open, SIGINT, SIGTERM and SIGHUP unwind the main thread, as Ctrl-C does."""
    caught: list[int] = []
    again = 0.0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal again
        caught.append(number)
        if time.monotonic() >= again:
            again = time.monotonic() + _CLEANING_S
            _end_children()
            raise KeyboardInterrupt                    # plain: subprocess does not wait for the end of a child then

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:              # nohup stays nohup
            signal.signal(number, stop)
    try:
        yield
    except BaseException:                              # what a killed child caused may come first
        if caught:
            raise Stopped(caught[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_children() -> None:
    """A terminal tells Ctrl-C to all of its programs, `kill` tells this one alone: ffmpeg would go on."""
    import psutil

    for child in psutil.Process().children():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(child.pid, signal.SIGKILL)


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
