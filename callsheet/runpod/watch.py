"""How long a job is waited for, and why a queue does not move.

Covers the limits of a wait, the reading of an endpoint's workforce, and what it means for a job that nobody takes.
The waiting itself is client.py's. Nothing here cancels or starts anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from callsheet.runpod.answers import Worker
from callsheet.units import Frozen

MOST_S = 7 * 86400.0
LEAST_S = 10.0
"""What RunPod takes for a limit; its shortest executionTimeout is 5 s, its shortest ttl 10 s."""


class Policy(Frozen):
    """How long a job may run, and how long it may exist. Always sent: the defaults are 600 s and a day."""

    execution_s: float = Field(ge=5, le=MOST_S)
    """After this long at work it is stopped, as TIMED_OUT."""
    ttl_s: float = Field(ge=LEAST_S, le=MOST_S)
    """After this long since the submit the provider forgets it, even in the middle of its work."""

    @classmethod
    def covering(cls, execution_s: float, queue_s: float, slack_s: float = 120.0) -> Policy:
        """So long-lived that neither the queue nor the work meets the end of its life."""
        execution = min(max(5.0, execution_s), MOST_S)
        return cls(execution_s=execution, ttl_s=min(max(LEAST_S, execution + queue_s + slack_s), MOST_S))

    def payload(self) -> dict[str, int | bool]:
        """Milliseconds, as the jobs plane wants them. `lowPriority` would never start a worker."""
        return {
            "executionTimeout": round(self.execution_s * 1000), "ttl": round(self.ttl_s * 1000), "lowPriority": False,
        }


class Watch(Frozen):
    """The limits of one wait, in seconds."""

    patience_s: float = 120.0
    """In the queue before its workers are looked at; between further looks too."""
    starting_s: float = 900.0
    """In the queue with workers that start but never take it."""
    settle_s: float = 15.0
    """Without the provider knowing the job, before it counts as lost: its answers are not always up to date."""
    silence_s: float = 600.0
    """Without any answer of the provider."""
    running_s: float | None = None
    """At work before we stop it ourselves; None leaves that to its policy alone."""
    longest_s: float | None = None
    """In all before we stop it ourselves."""

    @classmethod
    def covering(cls, policy: Policy, slack_s: float = 60.0, patience_s: float = 120.0) -> Watch:
        """Stops a job a little after the provider should have done so."""
        return cls(patience_s=patience_s, running_s=policy.execution_s + slack_s, longest_s=policy.ttl_s + slack_s)


class Verdict(StrEnum):
    """Why a job still waits."""

    ASLEEP = "asleep"
    """The endpoint may have no workers at all."""
    CRASHING = "crashing"
    """Its workers start, fail and start again."""
    CAPACITY = "capacity"
    """There is no machine for it."""
    STARTING = "starting"
    """A worker is on its way."""
    BUSY = "busy"
    """Workers are at work on other jobs: the queue moves."""
    IDLE = "idle"
    """A worker is ready and has not taken it yet."""
    UNREADABLE = "unreadable"
    """Nobody told."""


class Diagnosis(NamedTuple):
    verdict: Verdict
    detail: str
    """For the message of QueueStuck."""
    remedy: str

    @property
    def hopeless(self) -> bool:
        """Whether waiting on cannot help, as things stand."""
        return self.verdict in (Verdict.ASLEEP, Verdict.CRASHING, Verdict.CAPACITY)


class Workforce(Frozen):
    """How many workers an endpoint has, by what they do."""

    running: int = 0
    idle: int = 0
    initializing: int = 0
    throttled: int = 0
    unhealthy: int = 0
    most: int | None = None
    """As many as it may have; None when that could not be read."""

    @classmethod
    def of(cls, workers: Iterable[Worker], most: int | None) -> Workforce:
        states = [worker.status.lower() for worker in workers]
        return cls(most=most, **{name: states.count(name) for name in _STATES})

    def __str__(self) -> str:
        counts = [f"{count} {name}" for name in _STATES if (count := getattr(self, name))]
        return "workers: " + (", ".join(counts) or "none") + (f", {self.most} at most" if self.most is not None else "")


_STATES = ("running", "idle", "initializing", "throttled", "unhealthy")


def diagnose(force: Workforce | None, waited_s: float, crashed_before: bool = False) -> Diagnosis:
    """Why a job that has waited so long is not taken. `crashed_before`: an earlier look saw an unhealthy worker.

    A worker that crashes over and over is INITIALIZING in between, so what was seen before counts too.
    """
    waited = f"after {waited_s:.0f} s in the queue, "
    if force is None:
        return Diagnosis(Verdict.UNREADABLE, waited + "and its workers could not be read",
                         "see the endpoint's workers in the console of RunPod")
    told = f"{waited}{force}"
    if force.most == 0:
        return Diagnosis(Verdict.ASLEEP, f"it sleeps: its maximum is 0 workers, {told}",
                         "wake it with `callsheet runpod up`, or raise its max workers: RunPod lowers them to 0 when "
                         "an endpoint was idle for a week")
    if force.running:
        return Diagnosis(Verdict.BUSY, f"all its workers are at other jobs, {told}",
                         "raise its max workers, or run less at a time")
    if force.idle:
        return Diagnosis(Verdict.IDLE, f"a worker is ready and takes nothing, {told}",
                         "see the worker's log in the console of RunPod")
    if force.unhealthy or crashed_before:
        verdict = Verdict.STARTING if force.initializing else Verdict.CRASHING
        return Diagnosis(verdict, f"its workers crash as they start, {told}",
                         "read a worker's log in the console of RunPod: a wrong image or setting, or no volume")
    if force.initializing:
        return Diagnosis(Verdict.STARTING, f"a worker is still starting, {told}",
                         "a first start fetches the image: see the worker's log in the console of RunPod, then run "
                         "again")
    unsure = force.most is None and not force.throttled
    return Diagnosis(Verdict.CAPACITY,
                     f"no GPU of its pools is free{' or its maximum is 0 workers' if unsure else ''}, {told}",
                     "run again later, or allow more cards with CALLSHEET_RUNPOD_GPUS and more data centres")

