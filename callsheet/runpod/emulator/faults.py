"""Faults that can be injected: what they are called, where they strike, how often."""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Self

from pydantic import Field, model_validator

from callsheet.units import Frozen


class FaultKind(StrEnum):
    """What goes wrong. `where` is a pattern with * (empty: anything); what it is held against is said below.

    Requests: against `METHOD /path`, where empty means both planes, but not the workers' own requests.
    Jobs: against endpoint (id or name), job id, and `job_type` and `key` of its input.
    Workers: against endpoint (id or name). Pods: against id, name, card, data centre and cloud; before there is
    a pod (`no_capacity`) against name, card, cloud, each data centre asked for, and `card@data centre`.
    """

    # ---- requests
    DENIED = "denied"
    """401: the key is refused."""
    FORBIDDEN = "forbidden"
    """403: the key may not do this."""
    UNPAID = "unpaid"
    """402: there is no credit left."""
    BUSY = "busy"
    """429, with Retry-After of `seconds` where they are given, without else."""
    BROKEN = "broken"
    """500, and nothing was done."""
    BAD_GATEWAY = "bad_gateway"
    """502, and nothing was done."""
    BROKEN_AFTER = "broken_after"
    """500, although the request was carried out."""
    ANSWER_LOST = "answer_lost"
    """The request is carried out and the connection is cut without an answer."""
    REQUEST_LOST = "request_lost"
    """The connection is cut, and nothing was done."""
    SLOW = "slow"
    """Carried out at once, and answered after `seconds` real ones."""
    REQUEST_LATE = "request_late"
    """Carried out and answered only after `seconds` real ones, though whoever sent it may have gone by then."""
    DOWN = "down"
    """For `seconds` real ones every such request is cut, nothing is done."""

    # ---- queues and workers
    THROTTLED = "throttled"
    """A new worker gets no machine, for `seconds` or for ever."""
    UNHEALTHY = "unhealthy"
    """A new worker's process ends at once, again and again."""
    NO_WORKERS = "no_workers"
    """At once: the endpoint gets no workers any more, until the table is cleared."""
    MAX_ZERO = "max_zero"
    """At once: the endpoint's maximum of workers becomes 0, as after a week without jobs."""

    # ---- jobs; `seconds` count from when a worker took it
    TIMED_OUT = "timed_out"
    """The job ends as TIMED_OUT."""
    VANISHED = "vanished"
    """Its status is 404 from then on; the worker goes on."""
    CRASH = "crash"
    """Its worker is killed: before it uploads anything when `seconds` are few."""
    CRASH_AT_REPLY = "crash_at_reply"
    """Its worker is killed as it posts the result, which is lost: after the upload, before the answer."""
    HEARTBEAT_LOST = "heartbeat_lost"
    """Its worker is believed dead: the job is delivered to another one while the first goes on."""
    CANCEL_IGNORED = "cancel_ignored"
    """Cancelling is answered with CANCELLED, and the job goes on as if nothing had been said."""
    LATE_RESULT = "late_result"
    """After a cancel the worker is not told, and its late result makes the job COMPLETED."""
    PROGRESS_AFTER_DONE = "progress_after_done"
    """The first status asked after the end says IN_PROGRESS with `value` as output."""
    WORKER_FROZEN = "worker_frozen"
    """All processes of its worker stand still, so that its pings stop too."""
    OUTPUT_MISSING = "output_missing"
    """COMPLETED without an output."""
    OUTPUT_CUT = "output_cut"
    """The longest text in the output is cut in half: truncated base64."""
    OUTPUT_ERRORS = "output_errors"
    """COMPLETED, with `errors` ([`value`] or a workflow error) beside the output's pictures."""
    OUTPUT_LEGACY = "output_legacy"
    """The output has the old shape {"message", "status"} with the first picture."""
    OUTPUT_REPLACED = "output_replaced"
    """The output is `value`."""
    OUTPUT_TOO_LARGE = "output_too_large"
    """The result is refused with 400, and the job stays IN_PROGRESS."""
    WEBHOOK_LOST = "webhook_lost"
    """It is never sent."""
    WEBHOOK_DOUBLED = "webhook_doubled"
    """It is sent twice."""
    WEBHOOK_LATE = "webhook_late"
    """It is sent after `seconds`: out of order."""

    # ---- pods
    NO_CAPACITY = "no_capacity"
    """400 when it is created, as when no machine is free."""
    PROVISIONING_FOREVER = "provisioning_forever"
    """It never leaves PROVISIONING."""
    POD_VANISHED = "pod_vanished"
    """`seconds` after its creation it is gone, and was never deleted by anybody."""
    POD_FROZEN = "pod_frozen"
    """`seconds` after its container's start all its processes stand still."""
    DELETE_FAILS = "delete_fails"
    """Deleting it answers 500, and nothing was done."""

    # ---- the provider
    PRICE_CHANGE = "price_change"
    """At once: cards whose id matches cost `value` times as much, running machines too."""
    CLOCK_SKEW = "clock_skew"
    """Times and durations in answers about jobs and pods are off by `seconds`, which may be negative."""


AT_ONCE = frozenset({FaultKind.NO_WORKERS, FaultKind.MAX_ZERO, FaultKind.PRICE_CHANGE})
AGED = frozenset({FaultKind.TIMED_OUT, FaultKind.VANISHED, FaultKind.CRASH, FaultKind.HEARTBEAT_LOST,
                  FaultKind.WORKER_FROZEN, FaultKind.POD_VANISHED, FaultKind.POD_FROZEN})
"""Their `seconds` are an age; there is no counting of occasions, so `after` is refused."""
TIMED = AGED | {FaultKind.BUSY, FaultKind.SLOW, FaultKind.REQUEST_LATE, FaultKind.DOWN, FaultKind.THROTTLED,
                FaultKind.WEBHOOK_LATE, FaultKind.CLOCK_SKEW}
VALUED = frozenset({FaultKind.OUTPUT_ERRORS, FaultKind.OUTPUT_REPLACED, FaultKind.PROGRESS_AFTER_DONE,
                    FaultKind.PRICE_CHANGE})


class Fault(Frozen):
    """One order to the table: this kind, there, so often."""

    kind: FaultKind
    where: str = ""
    count: int = Field(default=1, ge=-1)
    """How often it strikes; -1: always."""
    after: int = Field(default=0, ge=0)
    """How many occasions it lets pass first."""
    seconds: float = 0.0
    value: Any = None

    @model_validator(mode="after")
    def _fields_of_its_kind(self) -> Self:
        if self.seconds and self.kind not in TIMED:
            raise ValueError(f"{self.kind} has no `seconds`")
        if self.value is not None and self.kind not in VALUED:
            raise ValueError(f"{self.kind} has no `value`")
        if self.after and self.kind in AGED | AT_ONCE | {FaultKind.CLOCK_SKEW}:
            raise ValueError(f"{self.kind} has no `after`")
        price = self.value
        if self.kind is FaultKind.PRICE_CHANGE and (not isinstance(price, (int, float)) or not 0 < price <= 100):
            raise ValueError("price_change needs `value`, the factor, up to 100")
        return self


class Faults:
    """The table of what is still to come."""

    def __init__(self) -> None:
        self._left: list[tuple[Fault, list[int]]] = []
        self.struck: list[str] = []
        """Kinds in the order in which they struck."""

    def add(self, fault: Fault) -> None:
        self._left.append((fault, [fault.after, fault.count]))

    def clear(self) -> None:
        self._left.clear()

    def take(self, kind: FaultKind, *labels: str, age: float | None = None, named: bool = False) -> Fault | None:
        """The fault that strikes here, counted off; None when all is well.

        labels: what `where` is held against. age: seconds since the thing began; younger than the fault's
        `seconds` it is no occasion yet. named: only a fault with a pattern counts.
        """
        for fault, left in self._left:
            if fault.kind is not kind or not left[1] or (named and not fault.where) or not matches(fault.where, labels):
                continue
            if age is not None and age < fault.seconds:
                continue
            if left[0]:
                left[0] -= 1
                continue
            left[1] -= left[1] > 0
            self.struck.append(kind.value)
            return fault
        return None

    def standing(self, kind: FaultKind) -> Fault | None:
        """A fault that lasts as long as it is in the table, not counted off."""
        return next((fault for fault, left in self._left if fault.kind is kind and left[1]), None)

    def left(self) -> list[dict[str, Any]]:
        return [{**fault.model_dump(mode="json"), "left": left[1]} for fault, left in self._left if left[1]]


def matches(where: str, labels: tuple[str, ...]) -> bool:
    return not where or any(fnmatchcase(label, where) for label in labels)
