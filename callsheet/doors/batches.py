"""`run` and `plan` over a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from callsheet import project
from callsheet.doors import terminal
from callsheet.doors.preview import FilmPlan, planned
from callsheet.doors.served import served
from callsheet.errors import InputError
from callsheet.manifest import Manifest, check_writable, read_manifest
from callsheet.models import Gpu
from callsheet.production import Production
from callsheet.recipe import Stage
from callsheet.settings import Settings
from callsheet.store.sources import admit


def produce_all(
    manifest: Path,
    gpu: Gpu | None,
    refresh: Sequence[Stage],
    write_back: bool,
    only: Sequence[str],
    out: Console,
    verbose: bool,
) -> list[Production]:
    """Run the batch flow here, with bars. Everything is checked before a server starts."""
    settings = Settings.load()
    book = _checked(manifest, only)
    check_writable(manifest)
    totals = _totals(book, only)
    with out.status("starting Prefect") as status, served(settings, verbose) as ui:
        from flows.batch import batch
        from tasks.run import watching

        out.print(f"[dim]Prefect UI: {ui}[/]")
        status.stop()
        with terminal.bars(out, totals) as watcher, watching(watcher):
            made: list[Production] = batch(
                str(manifest), gpu or settings.gpu, list(refresh), write_back, list(only) or None
            )
    return made


def plan_all(manifest: Path, only: Sequence[str]) -> tuple[list[FilmPlan], list[tuple[str, str]]]:
    """The plan of each film, and who waits and why."""
    book = _checked(manifest, only)
    project.importable()
    from tasks.run import running

    with running("plan") as run:
        plans = [
            planned(admit(row.order, run.sources), run)[1]
            for row in book.rows
            if row.order is not None and _taken(row.actor_id, only)
        ]
    return plans, [(row.actor_id, row.waiting) for row in book.waiting if _taken(row.actor_id, only)]


def _checked(manifest: Path, only: Sequence[str]) -> Manifest:
    book = read_manifest(manifest)
    unknown = [who for who in only if book.row(who) is None]
    if unknown:
        raise InputError(detail=f"{manifest} has no actor {', '.join(unknown)}", remedy="check --only")
    return book


def _totals(book: Manifest, only: Sequence[str]) -> dict[str, int]:
    """Recipes of each film, by title, for the bars."""
    project.importable()
    from tasks.run import running

    totals = {}
    with running("plan") as run:
        for row in book.rows:
            if row.order is not None and _taken(row.actor_id, only):
                whole, plan = planned(admit(row.order, run.sources), run)
                totals[plan.title] = sum(1 for _ in whole.recipes())
    return totals


def _taken(actor_id: str, only: Sequence[str]) -> bool:
    return not only or actor_id in only
