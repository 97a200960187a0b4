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

from callsheet import persona
from callsheet.errors import CallsheetError, as_ours
from callsheet.manifest import Row, read_manifest
from callsheet.models import Gpu, Order, Production, Status
from callsheet.recipe import Stage
from callsheet.store.sources import admit
from flows.produce import produce
from flows.shoot import at_the_pool, prepared, shoot, unmade
from tasks.results import contact_sheet, joined
from tasks.run import current, running
from tasks.show import batch_pages
from tasks.stage import SIDE_BY_SIDE
from tasks.train_complete import train_complete

FILMS_AT_A_TIME = 2
"""Produce runs at a time in one process; each uses the machine's cores for its clips."""

CHUNK = 25
"""Orders a shoot: enough to keep a machine warm, few enough to lose little when it goes."""


@flow(name="batch", flow_run_name="batch of {manifest}", task_runner=SIDE_BY_SIDE)
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
    rows = [row for row in read_manifest(Path(manifest)).rows if not only or row.actor_id in only]
    with running(Path(manifest).stem, refresh or (), started, gpu):
        orders = {row.actor_id: row.order for row in rows if row.order is not None}
        failed = _shoot_first(orders)
        made = _produce_each([order for who, order in orders.items() if who not in failed], gpu, refresh, started)
        made += [_ended(orders[who], started, error) for who, error in failed.items()]
        productions = sorted(made + _waiting(rows), key=lambda p: _place(rows, p.actor_id))
        sheet = contact_sheet(Path(manifest).stem, productions)
        joined(Path(manifest), productions, write_back)
        batch_pages(Path(manifest).stem, productions, sheet)
    return productions


def _shoot_first(orders: Mapping[str, Order]) -> dict[str, CallsheetError]:
    """One shoot per base model over the orders whose GPU half is not made. Actor id -> why it failed."""
    failed: dict[str, CallsheetError] = {}
    families: dict[str, dict[str, Order]] = {}
    for who, order in orders.items():
        with running(order.title, current().refresh, current().started, current().gpu):
            try:
                admitted = admit(order, current().sources)
                lead = train_complete.one(persona.train_complete(admitted.cast[0]))
                if unmade(prepared(admitted)):
                    families.setdefault(str(lead.facts["family"]), {})[who] = admitted
            except Exception as error:
                get_run_logger().error("%s: %s", order.title, error)
                failed[who] = as_ours(error)
    for family in families.values():
        names = list(family)
        for at in range(0, len(names), CHUNK):
            failed |= _one_shoot({who: family[who] for who in names[at:at + CHUNK]})
    return failed


def _one_shoot(orders: Mapping[str, Order]) -> dict[str, CallsheetError]:
    run = current()
    if run.gpu is Gpu.POOL:
        try:
            at_the_pool(list(orders.values()), run.refresh, run.started)
        except CallsheetError as error:               # asking again for each actor could cost as much again
            get_run_logger().error("%s", error)
            return dict.fromkeys(orders, error)
        return {}                                     # each produce finds out what is missing, and says why
    ended = shoot(list(orders.values()), sorted(run.refresh), run.started)
    return {who: error for who, error in zip(orders, ended, strict=True) if error is not None}


def _produce_each(
    orders: Sequence[Order], gpu: Gpu, refresh: list[Stage] | None, started: datetime
) -> list[Production]:
    def one(order: Order) -> Production:
        try:
            return produce(order, gpu, refresh, started)
        except Exception as error:
            get_run_logger().error("%s: %s", order.title, error)
            return _ended(order, started, error)

    with ThreadPoolExecutor(FILMS_AT_A_TIME, thread_name_prefix="produce") as threads:
        runs = [threads.submit(contextvars.copy_context().run, one, order) for order in orders]
        return [run.result() for run in runs]


def _ended(order: Order, started: datetime, error: Exception) -> Production:
    ours = as_ours(error)
    return Production(
        title=order.title,
        actor_id=order.cast[0].id,
        status=Status.FAILED,
        seconds=round((datetime.now(UTC) - started).total_seconds(), 2),
        format=order.delivered.label,
        error=str(ours),
        error_code=ours.code,
    )


def _waiting(rows: Sequence[Row]) -> list[Production]:
    return [
        Production(title=row.actor_id, actor_id=row.actor_id, status=Status.WAITING, error=row.waiting)
        for row in rows
        if row.waiting
    ]


def _place(rows: Sequence[Row], actor_id: str) -> int:
    return next(n for n, row in enumerate(rows) if row.actor_id == actor_id)
