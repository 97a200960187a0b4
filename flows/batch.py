"""Manifest -> one produce run an actor: bounded, resumable, with a summary.

    callsheet run manifests/examples/actors.csv

First one shoot per base model over the orders that still need the GPU half, in chunks, so that a warm machine
serves many actors; then a produce an actor, which finds its recipes made. One failing actor never stops the
batch; one whose training has not finished waits for the next.
"""

from __future__ import annotations

import contextvars
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from callsheet.errors import CallsheetError, Cancelled, QualityRefused, as_ours
from callsheet.film import Film
from callsheet.manifest import Row, check_writable, read_manifest
from callsheet.models import Gpu, Order
from callsheet.production import Production, Status
from callsheet.recipe import Stage
from flows.pool import at_the_pool, why_missing
from flows.produce import produce
from flows.shoot import prepared, shoot, unmade
from tasks.results import contact_sheet, joined
from tasks.run import current, running
from tasks.show import batch_pages
from tasks.stage import SIDE_BY_SIDE

FILMS_AT_A_TIME = 2
"""Produce runs at a time in one process; each uses the machine's cores for its clips."""

CHUNK = 25
"""Orders a shoot: enough to keep a machine warm, few enough to lose little when it goes."""


def _run_name() -> str:
    return f"batch of {Path(str(flow_run.parameters['manifest'])).stem}"


@flow(name="batch", flow_run_name=_run_name, task_runner=SIDE_BY_SIDE)
def batch(
    manifest: str,
    gpu: Gpu = Gpu.AUTO,
    refresh: list[Stage] | None = None,
    write_back: bool = False,
    only: list[str] | None = None,
) -> list[Production]:
    """Make a video of every actor in a manifest.

    Args:
        manifest: Path of a CSV, Parquet, JSON or YAML manifest.
        gpu: Where posters, takes, segments and lip-sync are made.
        refresh: Stages to make anew even if they are made.
        write_back: Update poster_frame_url in the manifest itself, with a backup.
        only: Actor ids to take; empty takes all.
    """
    started = datetime.now(UTC)
    check_writable(Path(manifest), only or ())
    rows = read_manifest(Path(manifest)).taken(only or ())
    with running(Path(manifest).stem, refresh or (), started, gpu):
        orders = {row.actor_id: row.order for row in rows if row.order is not None}
        failed = _shoot_first(orders)
        made = _produce_each([order for who, order in orders.items() if who not in failed], gpu, refresh, started)
        made += [_ended(orders[who], started, error) for who, error in failed.items()]
        productions = sorted(made + _waiting(rows), key=lambda p: _place(rows, p.actor_id))
        joined(Path(manifest), productions, write_back, only or ())
        sheet = contact_sheet(Path(manifest).stem, productions, only or ())
        batch_pages(Path(manifest).stem, productions, sheet)
    return productions


def _shoot_first(orders: dict[str, Order]) -> dict[str, CallsheetError]:
    """One shoot per base model over the orders whose GPU half is not made. Actor id -> why it failed.

    Leaves the orders admitted, so that nobody has to hash their files again.
    """
    failed: dict[str, CallsheetError] = {}
    families: dict[str, dict[str, Film]] = {}
    for who, order in list(orders.items()):
        with running(order.title, current().refresh, current().started, current().gpu):
            try:
                film = prepared(order)
                orders[who] = film.order
                if unmade(film):
                    family = current().records.facts(film.loras[0].ref())["family"]
                    families.setdefault(str(family), {})[who] = film
            except Exception as error:
                get_run_logger().error("%s: %s", order.title, error)
                failed[who] = as_ours(error)
    for family in families.values():
        names = list(family)
        for at in range(0, len(names), CHUNK):
            failed |= _one_shoot({who: family[who] for who in names[at:at + CHUNK]})
    return failed


def _one_shoot(films: Mapping[str, Film]) -> dict[str, CallsheetError]:
    """Actor id -> why its half was not made. Who fails here is not tried again: that could cost as much again."""
    run = current()
    orders = [film.order for film in films.values()]
    if run.gpu is not Gpu.POOL:
        ended = shoot(orders, sorted(run.refresh), run.started)
        return {who: error for who, error in zip(films, ended, strict=True) if error is not None}
    broken: CallsheetError | None = None
    try:
        at_the_pool(orders, run.refresh, run.started)
    except CallsheetError as error:
        get_run_logger().error("%s", error)
        broken = error
    missing = {who: unmade(film) for who, film in films.items()}
    return {who: broken or why_missing(recipes) for who, recipes in missing.items() if recipes}


def _produce_each(
    orders: Sequence[Order], gpu: Gpu, refresh: list[Stage] | None, started: datetime
) -> list[Production]:
    def one(order: Order) -> Production:
        try:
            return produce(order, gpu, refresh, started)
        except Exception as error:
            get_run_logger().error("%s: %s", order.title, error)
            return _ended(order, started, error)

    threads = ThreadPoolExecutor(FILMS_AT_A_TIME, thread_name_prefix="produce")
    try:
        runs = [threads.submit(contextvars.copy_context().run, one, order) for order in orders]
        return [run.result() for run in runs]
    finally:
        threads.shutdown(cancel_futures=True)         # after Ctrl-C, films that wait do not begin


def _ended(order: Order, started: datetime, error: Exception) -> Production:
    ours = as_ours(error)
    return Production(
        title=order.title,
        actor_id=order.cast[0].id,
        status=Status.CANCELLED if isinstance(error, Cancelled) else Status.FAILED,
        seconds=round((datetime.now(UTC) - started).total_seconds(), 2),
        format=order.delivered.label,
        error=str(ours),
        error_code=ours.code,
        job_id=str(ours.facts.get("job_id", "")) if isinstance(ours, QualityRefused) else "",
        kept=str(ours.facts.get("film", "")) if isinstance(ours, QualityRefused) else "",
    )


def _waiting(rows: Sequence[Row]) -> list[Production]:
    return [
        Production(title=row.actor_id, actor_id=row.actor_id, status=Status.WAITING, error=row.waiting)
        for row in rows
        if row.waiting
    ]


def _place(rows: Sequence[Row], actor_id: str) -> int:
    return next(n for n, row in enumerate(rows) if row.actor_id == actor_id)
