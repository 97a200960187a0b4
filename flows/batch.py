"""Manifest -> one produce run an actor: bounded, resumable, with a summary.

    callsheet run manifests/examples/actors.csv

Every order is prepared first: files looked at, lines spoken, cost known. Then one shoot per base model over the orders
that still need the GPU half, in chunks, so that a warm machine serves many actors; then a produce an actor, which
finds its recipes made. With `endpoint` there is no shoot: the films run side by side, and their recipes are jobs.
One failing actor never stops the batch; one whose training has not finished waits for the next; the budget's end
stops what has not begun.
"""

from __future__ import annotations

import contextvars
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.runtime import flow_run

from callsheet.errors import BudgetExceeded, CallsheetError, Cancelled, QualityRefused, as_ours
from callsheet.film import Film
from callsheet.manifest import Row, check_writable, read_manifest
from callsheet.models import Gpu, Order, Purse
from callsheet.production import Production, Status
from callsheet.recipe import Stage
from flows.pool import at_the_pool, settle_left, why_missing
from flows.produce import produce
from flows.shoot import prepared, shoot
from tasks.fallback import replanned
from tasks.left_jobs import settle_before
from tasks.results import contact_sheet, joined
from tasks.run import current, running
from tasks.show import batch_pages
from tasks.slate import Slate, affordable
from tasks.spending import cost_of, judged, paying, priced, unmade
from tasks.stage import SIDE_BY_SIDE

FILMS_AT_A_TIME = 2
"""Produce runs at a time in one process; each uses the machine's cores for its clips."""

FILMS_AT_THE_ENDPOINT = 10
"""As many where they mostly wait for jobs: the workers that an endpoint has at most."""

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
    budget: float | None = None,
) -> list[Production]:
    """Make a video of every actor in a manifest.

    Args:
        manifest: Path of a CSV, Parquet, JSON or YAML manifest.
        gpu: Where posters, takes, segments and lip-sync are made.
        refresh: Stages to make anew even if they are made.
        write_back: Update poster_frame_url in the manifest itself, with a backup.
        only: Actor ids to take; empty takes all.
        budget: USD that this manifest may cost today (UTC); empty takes CALLSHEET_BUDGET_BATCH.
    """
    started = datetime.now(UTC)
    check_writable(Path(manifest), only or ())
    rows = read_manifest(Path(manifest)).taken(only or ())
    purse = Purse(batch=f"{Path(manifest).stem[:150]}-{started:%Y-%m-%d}", budget=budget)
    with running(Path(manifest).stem, refresh or (), started, gpu, purse):
        settle_before()
        orders = {row.actor_id: row.order for row in rows if row.order is not None}
        films, failed = _prepared_each(orders)
        expected = {film.order.cast[0].id: priced(unmade(film)).usd for film in films.values()}
        if current().gpu is not Gpu.ENDPOINT:
            failed |= _shoot_first(films)
            films = {who: film if who in failed else replanned(film) for who, film in films.items()}
        made = _produce_each({who: film for who, film in films.items() if who not in failed}, started)
        made += [_ended(orders[who], started, error, films.get(who)) for who, error in failed.items()]
        made = [p.model_copy(update={"estimate_usd": round(expected.get(p.actor_id, 0.0), 6)}) for p in made]
        productions = sorted(made + _waiting(rows), key=lambda p: _place(rows, p.actor_id))
        joined(Path(manifest), productions, write_back, only or ())
        sheet = contact_sheet(Path(manifest).stem, productions, only or ())
        batch_pages(Path(manifest).stem, productions, sheet)
    return productions


def _prepared_each(orders: Mapping[str, Order]) -> tuple[dict[str, Film], dict[str, CallsheetError]]:
    """The films, their orders admitted so that nobody has to hash their files again; and why others failed."""
    films: dict[str, Film] = {}
    failed: dict[str, CallsheetError] = {}
    run = current()
    for who, order in orders.items():
        with running(order.title, run.refresh, run.started, run.gpu, run.purse):
            try:
                films[who] = prepared(order)
            except Exception as error:
                get_run_logger().error("%s: %s", order.title, error)
                failed[who] = as_ours(error)
    return films, failed


def _shoot_first(films: Mapping[str, Film]) -> dict[str, CallsheetError]:
    """One shoot per base model over the films whose GPU half is not made. Actor id -> why it failed."""
    if current().gpu is Gpu.POOL:
        settle_left(list(films.values()))
    failed = _over_their_own_budget(films)
    families: dict[str, dict[str, Film]] = {}
    for who, film in films.items():
        if who not in failed and unmade(film):
            family = current().records.facts(film.loras[0].ref())["family"]
            families.setdefault(str(family), {})[who] = film
    for family in families.values():
        rest = list(family)
        while rest:
            count, refused = affordable([family[who] for who in rest[:CHUNK]])
            if refused is not None:
                failed |= dict.fromkeys(rest, refused)
                break
            failed |= _one_shoot({who: family[who] for who in rest[:count]})
            del rest[:count]
    return failed


def _over_their_own_budget(films: Mapping[str, Film]) -> dict[str, CallsheetError]:
    """Actor id -> why, where an order's own budget cannot carry what is to make."""
    failed: dict[str, CallsheetError] = {}
    for who, film in films.items():
        with paying(film.order, film.job_id):
            worst = priced(unmade(film)).worst_usd
            verdict = judged(worst, film.order.title, only="order/")
            if worst and verdict.refused is not None:
                failed[who] = verdict.refused
    return failed


def _one_shoot(films: Mapping[str, Film]) -> dict[str, CallsheetError]:
    """Actor id -> why its half was not made. Who fails here is not tried again: that could cost as much again."""
    run = current()
    if run.gpu is not Gpu.POOL:
        orders = [film.order for film in films.values()]
        ended = shoot(orders, sorted(run.refresh), run.started, run.purse)
        return {who: error for who, error in zip(films, ended, strict=True) if error is not None}
    broken: CallsheetError | None = None
    try:
        at_the_pool(list(films.values()), run.refresh, run.started)
    except CallsheetError as error:
        get_run_logger().error("%s", error)
        broken = error
    missing = {who: unmade(replanned(film)) for who, film in films.items()}
    return {who: broken or why_missing(recipes) for who, recipes in missing.items() if recipes}


def _produce_each(films: Mapping[str, Film], started: datetime) -> list[Production]:
    run, slate = current(), Slate()

    def one(film: Film) -> Production:
        order = film.order
        try:
            with paying(order, film.job_id), slate.begun(film):
                return produce(order, run.gpu, sorted(run.refresh), started, purse=run.purse)
        except Exception as error:
            get_run_logger().error("%s: %s", order.title, error)
            return _ended(order, started, error, film)

    at_a_time = FILMS_AT_THE_ENDPOINT if run.gpu is Gpu.ENDPOINT else FILMS_AT_A_TIME
    threads = ThreadPoolExecutor(at_a_time, thread_name_prefix="produce")
    try:
        runs = [threads.submit(contextvars.copy_context().run, one, film) for film in films.values()]
        return [made.result() for made in runs]
    finally:
        threads.shutdown(cancel_futures=True)         # after Ctrl-C, films that wait do not begin


def _ended(order: Order, started: datetime, error: Exception, film: Film | None) -> Production:
    ours = as_ours(error)
    refused = isinstance(ours, QualityRefused)
    return Production(
        title=order.title,
        actor_id=order.cast[0].id,
        status=_status(ours),
        seconds=round((datetime.now(UTC) - started).total_seconds(), 2),
        format=order.delivered.label,
        error=str(ours),
        error_code=ours.code,
        job_id=str(ours.facts.get("job_id", "")) if refused else "",
        kept=str(ours.facts.get("film", "")) if refused else "",
        cost_usd=cost_of(film.job_id) if film else 0.0,
    )


def _status(error: CallsheetError) -> Status:
    if isinstance(error, Cancelled):
        return Status.CANCELLED
    return Status.STOPPED if isinstance(error, BudgetExceeded) else Status.FAILED


def _waiting(rows: Sequence[Row]) -> list[Production]:
    return [
        Production(title=row.actor_id, actor_id=row.actor_id, status=Status.WAITING, error=row.waiting)
        for row in rows
        if row.waiting
    ]


def _place(rows: Sequence[Row], actor_id: str) -> int:
    return next(n for n, row in enumerate(rows) if row.actor_id == actor_id)
