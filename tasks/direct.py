"""Stages without Prefect: side by side in this process, for machines that reach no server.

    with direct():
        reply = poster_frame.fn(request)

A job on a serverless GPU runs this way. Order of work, retries and results are those of a flow run: only where the
work is written down differs. What the Prefect UI would show is left out; loggers are Python's own.
"""

from __future__ import annotations

import contextvars
import logging
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, TypeVar

from callsheet.errors import CallsheetError
from callsheet.recipe import Recipe
from callsheet.store.base import Outcome, Progress, Room, no_progress
from tasks.policy import CPU_LIMIT, GPU_LIMIT, NETWORK_LIMIT, WORKERS, Policy
from tasks.run import STOP

R = TypeVar("R", bound=Recipe)
Item = TypeVar("Item")
Result = TypeVar("Result")

_SLOTS: Mapping[str, threading.Semaphore] = {
    CPU_LIMIT: threading.Semaphore(WORKERS),
    GPU_LIMIT: threading.Semaphore(1),                # one card: two models at work would not fit
    NETWORK_LIMIT: threading.Semaphore(8),
}
_LISTENER: ContextVar[Progress | None] = ContextVar("callsheet_direct", default=None)


@contextmanager
def direct(listener: Progress = no_progress) -> Iterator[None]:
    """What is called inside runs without Prefect; `listener` hears how far each recipe's work is."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def is_direct() -> bool:
    """Whether this code runs without Prefect."""
    return _LISTENER.get() is not None


def logger() -> logging.Logger | logging.LoggerAdapter[Any]:
    """The run's logger; without Prefect, Python's."""
    if is_direct():
        return logging.getLogger("callsheet.run")
    from prefect import get_run_logger

    return get_run_logger()


def side_by_side(
    items: Sequence[Item],
    work: Callable[[Item], Result],
    policy: Policy,
    before: Callable[[Item], Sequence[Item]] = lambda item: (),
) -> list[Result]:
    """`work` on every item in threads of its own, with the retries of `policy`; the results in the items' order.

    An item waits for those of `before`, which stand earlier in `items`, and fails with the first of them that
    fails. Every other one is tried; then the first failure is raised.
    """
    futures: dict[Item, Future[Result]] = {}

    def one(item: Item, first: Sequence[Future[Result]]) -> Result:
        for future in first:                          # in the queue they stand before it, so they are under way
            future.result()
        return _retried(lambda: work(item), policy)

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="direct") as threads:
        for item in items:
            first = [futures[earlier] for earlier in before(item) if earlier in futures]
            if item not in futures:
                futures[item] = threads.submit(contextvars.copy_context().run, one, item, first)
    return [futures[item].result() for item in items]


def limited(work: Callable[[R, Room], Outcome], recipe: R, policy: Policy) -> Callable[[Room], Outcome]:
    """`work` in a slot of this process, its progress also told to whoever listens."""
    listener = _LISTENER.get() or no_progress

    def inside(room: Room) -> Outcome:
        def progress(share: float, word: str) -> None:
            room.progress(share, word)
            listener(share, " ".join(filter(None, (recipe.stage, recipe.label, word))))

        with _SLOTS[policy.limit]:
            progress(0, "")
            return work(recipe, replace(room, progress=progress))

    return inside


def _retried(work: Callable[[], Result], policy: Policy) -> Result:
    for pause_s in policy.pauses_s[:policy.retries]:
        try:
            return work()
        except CallsheetError as error:
            if not error.retryable:
                raise
            logger().warning("%s; it is tried again in %g s", error, pause_s)
        STOP.wait(pause_s * random.uniform(1, 1 + policy.jitter))
    return work()
