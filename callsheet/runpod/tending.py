"""Staying with a rented machine until its flow run ends: when to wait, when to give it back, and what to report.

Covers pods and endpoint jobs alike: a machine boots, is up, or is gone. `Watch.judge` is a pure function of what is
seen and when; `tend` looks again and again and asks it. Nothing is deleted or reported here: whoever tends does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from callsheet.costs import Outcome
from callsheet.runpod.http import jittered
from callsheet.units import Frozen

POLL_S = 2.0
FINAL_GRACE_S = 30.0
"""For a run that ended by itself: its last logs and events are on their way."""
GONE_GRACE_S = 8.0
"""So long something has to be missing before it counts: lists lag behind, and so do last states."""


class Phase(StrEnum):
    """Where a flow run stands, as far as its machine is concerned."""

    WAITING = "waiting"
    """Not begun."""
    RUNNING = "running"
    CANCELLING = "cancelling"
    FINAL = "final"
    LEFT = "left"
    """Paused, or scheduled again: it will come for a new machine."""
    DELETED = "deleted"


class RunSight(Frozen):
    """A flow run at one moment."""

    phase: Phase
    told: str = ""
    """Its state's name, for people."""
    outcome: Outcome = Outcome.UNKNOWN
    """Of a final one."""


class MachineSight(Frozen):
    """A pod or a job at one moment."""

    status: Literal["booting", "up", "gone"]
    why: str = ""
    """Why it is gone, as far as that is known."""
    outcome: Outcome = Outcome.LOST
    """Of one that is gone."""


class Limits(Frozen):
    """In seconds."""

    deadline_s: float
    """From the first order on."""
    boot_s: float | None
    """None: somebody else watches over the boot."""
    quiet_s: float
    """Up, and the run has not begun."""
    cancel_grace_s: float = 8.0


class Act(StrEnum):
    WAIT = "wait"
    RELEASE = "release"
    NEXT = "next"
    """Give it back and try another."""


class Verdict(NamedTuple):
    act: Act
    outcome: Outcome = Outcome.UNKNOWN
    report: Literal["crashed", "cancelled"] | None = None
    """What the flow run is to become; None leaves it as it is."""
    reason: str = ""


_WAIT = Verdict(Act.WAIT)


class Watch:
    """What has been seen of one machine and its run, and since when."""

    def __init__(self, limits: Limits, spent_s: float = 0.0, adopted: bool = False) -> None:
        """`spent_s`: seconds since the first order. `adopted`: somebody else saw its beginning."""
        self.limits = limits
        self._spent_s = spent_s
        self._adopted = adopted
        self._since: dict[str, float] = {}
        self._first: float | None = None
        self._began = False
        self._phase: Phase | None = None
        self._phase_since = 0.0

    def judge(self, run: RunSight | None, machine: MachineSight | None, now: float) -> Verdict:
        """What to do. None is what could not be read now: then only the deadline speaks."""
        self._first = now if self._first is None else self._first
        self._began |= run is not None and run.phase is Phase.RUNNING
        gone_s = self._held("gone", machine is not None and machine.status == "gone", machine is None, now)
        booting = machine is not None and machine.status == "booting" and not self._began
        up_idle = machine is not None and machine.status == "up" and not self._began
        booting_s = self._held("booting", booting, machine is None, now)
        idle_s = self._held("idle", up_idle, machine is None, now)
        if run is not None:
            verdict = self._over(run, booting or gone_s is not None, now)
            if verdict is not None:
                return verdict
        if self._spent_s + now - self._first >= self.limits.deadline_s:
            return _crashed(Outcome.TIMED_OUT, f"its deadline of {self.limits.deadline_s:g} s is over")
        if gone_s is not None and gone_s >= GONE_GRACE_S and run is not None and machine is not None:
            return _crashed(machine.outcome, machine.why or "its machine is gone")
        if booting_s is not None and self.limits.boot_s is not None and booting_s >= self.limits.boot_s:
            return Verdict(Act.NEXT, Outcome.LOST, None, f"it was not up after {self.limits.boot_s:g} s")
        if idle_s is not None and idle_s >= self.limits.quiet_s:
            return _crashed(
                Outcome.LOST,
                f"its machine was up for {self.limits.quiet_s:g} s and the run did not begin: does the machine reach "
                "Prefect's API (CALLSHEET_PREFECT_PUBLIC_URL)?")
        return _WAIT

    def _over(self, run: RunSight, idle: bool, now: float) -> Verdict | None:
        """What follows from the run alone; None while it is wanted. `idle`: no flow can be at work over there."""
        if run.phase is not self._phase:
            self._phase, self._phase_since = run.phase, now
        ended_s = now - self._phase_since
        unbegun = idle or not (self._began or self._adopted)
        if run.phase is Phase.DELETED:
            return Verdict(Act.RELEASE, Outcome.CANCELLED, None, "the run was deleted")
        if run.phase is Phase.CANCELLING:
            if unbegun or ended_s >= self.limits.cancel_grace_s:
                return Verdict(Act.RELEASE, Outcome.CANCELLED, "cancelled", "it was cancelled")
            return _WAIT
        if run.phase is Phase.FINAL:
            cancelled = run.outcome is Outcome.CANCELLED
            grace = self.limits.cancel_grace_s if cancelled else FINAL_GRACE_S
            done = Verdict(Act.RELEASE, run.outcome, None, f"the run is {run.told or 'over'}")
            return done if (unbegun if cancelled else idle) or ended_s >= grace else _WAIT
        if self._began and run.phase in (Phase.LEFT, Phase.WAITING):
            done = Verdict(Act.RELEASE, Outcome.UNKNOWN, None, f"the run is {run.told or 'scheduled again'}")
            return done if idle or ended_s >= FINAL_GRACE_S else _WAIT
        return None

    def _held(self, what: str, true: bool, unknown: bool, now: float) -> float | None:
        """Seconds that something has been so; None when it is not. What is unknown now stays as it was."""
        if true:
            self._since.setdefault(what, now)
        elif not unknown:
            self._since.pop(what, None)
        return now - self._since[what] if what in self._since else None


def _crashed(outcome: Outcome, reason: str) -> Verdict:
    return Verdict(Act.RELEASE, outcome, "crashed", reason)


class Machine(Protocol):
    """What is rented for a run."""

    async def look(self) -> MachineSight | None:
        """None when the provider does not say."""


class Sights(Protocol):
    async def sight(self) -> RunSight | None:
        """None when Prefect's API does not answer."""


async def tend(
    machine: Machine,
    run: Sights,
    watch: Watch,
    beat: Callable[[MachineSight | None], Awaitable[None]],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Verdict:
    """Stay until there is something to do. `beat` is called after every look; what it raises ends the stay."""
    while True:
        seen_run, seen = await asyncio.gather(run.sight(), machine.look())
        await beat(seen)
        verdict = watch.judge(seen_run, seen, clock())
        if verdict.act is not Act.WAIT:
            return verdict
        await sleep(jittered(POLL_S))
