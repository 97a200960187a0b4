"""The handler's side of the process that does the GPU work.

It is started once and kept, so that imports and models stay warm; it gets one job a line and answers with events on
a pipe of its own. Whoever gives a job up kills it, with all that descends from it: a render in a library cannot be
asked to stop. The next job starts a fresh one. What the process does is in stagehand.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from callsheet.errors import EngineError, JobTimedOut
from callsheet.runpod.children import Family
from callsheet.runpod.pulse import QUIET_S

COMMAND = (sys.executable, "-m", "callsheet.runpod.stagehand")
"""Nothing is heard for so long: models of a cold volume take minutes to load, and say nothing meanwhile."""

_SETTLE_S = 2.0

Heard = Callable[[float, str], None]
"""Share from 0 to 1, and what is being made."""


class _Stagehand:
    """One such process."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        events, its_end = os.pipe()
        try:
            self.family = Family(
                [*command, str(its_end)], environment, stdin=subprocess.PIPE, pass_fds=[its_end])
        finally:
            os.close(its_end)
        self._events = os.fdopen(events, "rb")
        self._reading = threading.Lock()

    def send(self, line: bytes) -> None:
        assert self.family.process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):          # it is dead: reading will tell
            self.family.process.stdin.write(line)
            self.family.process.stdin.flush()

    def event(self) -> bytes:
        """The next line; empty when the process is gone."""
        with self._reading:
            return b"" if self._events.closed else self._events.readline()

    def settle(self) -> None:
        """Give one whose pipe has ended a moment to end by itself, so that its own exit code is told."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.family.process.wait(_SETTLE_S)

    def end(self) -> int:
        """Kill it; its exit code. May be called again."""
        code = self.family.kill()
        assert self.family.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.family.process.stdin.close()
        with self._reading:                           # whoever reads has met the end by now
            self._events.close()
        return code


class Backstage:
    """Does one job at a time in a process that can be killed."""

    def __init__(
        self, environment: Mapping[str, str], command: Sequence[str] = COMMAND, quiet_s: float = QUIET_S
    ) -> None:
        """`environment` is all that the process gets. Nothing is started yet."""
        self._environment, self._command, self._quiet_s = dict(environment), tuple(command), quiet_s
        self._hand: _Stagehand | None = None
        self._busy = False

    @property
    def pid(self) -> int | None:
        """Of the process that is there now."""
        return self._hand.family.process.pid if self._hand else None

    def warm_up(self) -> None:
        """Start the process, if there is none: its imports take seconds that nobody then waits for."""
        if self._hand is not None and self._hand.family.code is not None:
            self.clear()
        if self._hand is None:
            self._hand = _Stagehand(self._command, self._environment)

    def clear(self) -> int | None:
        """Kill the process and all that descends from it; its exit code, None when there was none."""
        hand, self._hand, self._busy = self._hand, None, False
        return None if hand is None else hand.end()

    async def perform(self, job_id: str, fields: Any, heard: Heard) -> dict[str, Any]:
        """The reply to a job's input. Cancelling kills the process before CancelledError goes on.

        Raises EngineError when the process dies, JobTimedOut when nothing is heard of it for too long.
        """
        if self._busy:                                # the provider gave up that job, or it would send no other
            self.clear()
        self.warm_up()
        hand, self._busy = self._hand, True
        assert hand is not None
        done = False
        try:
            line = json.dumps({"id": job_id, "input": fields}).encode() + b"\n"
            await asyncio.to_thread(hand.send, line)
            reply = await self._reply(hand, job_id, heard)
            done = True
            return reply
        finally:
            if self._hand is hand:
                self._busy = False
                if not done:
                    self.clear()

    async def _reply(self, hand: _Stagehand, job_id: str, heard: Heard) -> dict[str, Any]:
        while True:
            try:
                line = await asyncio.wait_for(asyncio.to_thread(hand.event), self._quiet_s)
            except TimeoutError:
                raise JobTimedOut(
                    job_id=job_id, seconds=self._quiet_s, detail="nothing was heard of it for so long",
                    remedy="run again; if it happens twice, the model hangs on this card: choose another one",
                ) from None
            if not line:
                await asyncio.to_thread(hand.settle)
                raise _died(job_id, hand.end())
            event = json.loads(line)
            if event["id"] != job_id:                 # the last words of an earlier one
                continue
            if event["event"] == "result":
                reply: dict[str, Any] = event["reply"]
                return reply
            heard(event["share"], event["what"])


def _died(job_id: str, code: int) -> EngineError:
    """Retryable: a fresh process, or another machine, may well do it."""
    ended = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    return EngineError(
        engine="the worker", what=f"job {job_id}", detail=f"the process that did the work ended {ended}",
        remedy="run again; if it happens twice, choose a smaller tier or a card with more memory"
        if code == -signal.SIGKILL else "see the worker's log in the console of RunPod, then run again",
    )
