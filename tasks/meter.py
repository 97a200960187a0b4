"""What a rented machine's seconds went into, told from inside: one row of the ledger for each recipe it worked on.

Where several recipes are under way at once they share the second. What is left of the machine's bill, its start and
its waiting, is told by whoever rented it. On a machine that is not rented this does nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, cast

from callsheet.costs import CostRow, Kind, Outcome
from callsheet.errors import StoreError
from callsheet.recipe import Recipe
from callsheet.units import Frozen
from tasks.direct import logger
from tasks.spending import ledger, payer


class Machine(Frozen):
    """The rented machine that this process runs on."""

    plane: Literal["pod", "endpoint"]
    provider_id: str
    """What the bill names: the pod, or the endpoint."""
    resource: str
    """The pod, or the job."""
    gpu: str
    usd_per_second: float


@lru_cache(maxsize=1)
def machine() -> Machine | None:
    """As its environment says; None where nobody pays by the second."""
    env = os.environ
    plane = env.get("CALLSHEET_PAID_PLANE", "")
    if plane not in ("pod", "endpoint"):
        return None
    pod = env.get("RUNPOD_POD_ID", "")
    resource = pod if plane == "pod" else env.get("CALLSHEET_PAID_JOB", "")
    return Machine(
        plane=cast(Literal["pod", "endpoint"], plane),
        provider_id=pod if plane == "pod" else env.get("CALLSHEET_PAID_PROVIDER", ""),
        resource=resource,
        gpu=env.get("CALLSHEET_PAID_GPU", ""),
        usd_per_second=float(env.get("CALLSHEET_PAID_RATE") or 0.0),
    )


class Shares:
    """Seconds that pass, shared evenly among what is under way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._at = clock()
        self._seconds: dict[object, float] = {}

    def begin(self, item: object) -> None:
        with self._lock:
            self._pass()
            self._seconds[item] = 0.0

    def end(self, item: object) -> float:
        """The item's share."""
        with self._lock:
            self._pass()
            return self._seconds.pop(item)

    def _pass(self) -> None:
        now = self._clock()
        for item in self._seconds:
            self._seconds[item] += (now - self._at) / len(self._seconds)
        self._at = now


_SHARES = Shares()


@contextmanager
def metered(recipe: Recipe) -> Iterator[None]:
    """Write down what the work inside costs, where this machine is rented; also when it fails."""
    here = machine()
    if here is None:
        yield
        return
    token, started, outcome = object(), datetime.now(UTC), Outcome.FAILED
    _SHARES.begin(token)
    try:
        yield
        outcome = Outcome.MADE
    finally:
        seconds = round(_SHARES.end(token), 3)
        usd = seconds * here.usd_per_second
        row = CostRow(
            kind=Kind.WORK, plane=here.plane, provider_id=here.provider_id, resource=here.resource,
            payer=payer(recipe), gpu=here.gpu, usd_per_second=here.usd_per_second, outcome=outcome, started=started,
            seconds=seconds, usd=usd, upper_usd=usd, key=f"{recipe.stage}/{recipe.fingerprint}",
        )
        try:
            ledger().record(row, f"work-{recipe.stage}-{recipe.fingerprint[:16]}-{int(started.timestamp() * 1000)}")
        except StoreError as error:                    # the seconds are told as the machine's other time then
            logger().warning("not written down: %s", error)
