"""What the command line shows: bars while work goes on, tables when it is done."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from callsheet.errors import CallsheetError, ManifestInvalid
from callsheet.production import Production, Status, in_short
from callsheet.recipe import Stage

if TYPE_CHECKING:
    from tasks.run import Seen, Watcher

STYLES = {Status.MADE: "green", Status.WAITING: "yellow", Status.FAILED: "red", Status.CANCELLED: "red",
          Status.STOPPED: "yellow"}


def console(quiet: bool = False, stderr: bool = True) -> Console:
    """For people: on standard error, so that standard output holds results only."""
    return Console(stderr=stderr, quiet=quiet, highlight=False, soft_wrap=True)


@contextmanager
def bars(out: Console, totals: Mapping[str, int]) -> Iterator[Watcher]:
    """One bar a film; call the watcher for each recipe that is done. `totals` has the recipes of each title."""
    columns = (
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn(),
        TimeElapsedColumn(), TextColumn("{task.fields[doing]}", style="dim", markup=False),
    )
    with Progress(*columns, console=out, transient=True, disable=out.quiet or not out.is_terminal) as shown:
        rows = {title: shown.add_task(title, total=total, doing="") for title, total in totals.items()}
        yield _Watch(out, shown, rows)


class _Watch:
    """Counts each recipe once: a batch sees those of the GPU half twice."""

    def __init__(self, out: Console, shown: Progress, rows: Mapping[str, TaskID]) -> None:
        self._out = out
        self._shown = shown
        self._rows = rows
        self._seen: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def __call__(self, seen: Seen) -> None:
        row = self._rows.get(seen.title)
        key = (seen.title, seen.recipe.fingerprint)
        with self._lock:
            if row is None or key in self._seen:
                return
            self._seen.add(key)
        self._shown.update(row, advance=1, doing=f"{seen.recipe.stage}: {seen.recipe.label}"[:50])
        if seen.recipe.stage is Stage.UPLOAD and not self._out.is_terminal:
            self._out.print(f"{'there already' if seen.cached else 'made'}: {escape(seen.title)}")


def productions(out: Console, made: Sequence[Production], seconds: float, sheet: str = "") -> None:
    """The final table: actor, status, film, seconds, cached stages; then files, failures and warnings."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, right in (("actor", 0), ("status", 0), ("film", 1), ("seconds", 1), ("cached", 1)):
        table.add_column(name, justify="right" if right else "left", no_wrap=out.width >= 80, overflow="fold")
    for p in made:
        cached = f"{sum(row.cached for row in p.stages)}/{len(p.stages)}" if p.stages else ""
        film = f"{p.duration:.2f} s  {p.format}" if p.duration else ""
        spent = f"{p.seconds:.1f}" if p.status is not Status.WAITING else ""
        table.add_row(p.actor_id, f"[{STYLES[p.status]}]{p.status}[/]", film, spent, cached)
    out.print(table)
    out.print()
    for p in made:
        if p.video:
            out.print(f"[bold]{escape(p.title)}[/]  {place(p.video)}")
        elif p.error:
            out.print(f"[{STYLES[p.status]}]{p.actor_id}[/]  {escape(p.error)}")
        for sentence in in_short(p.fallbacks):
            out.print(f"  [yellow]![/] {escape(sentence)}")
        for warning in p.warnings:
            out.print(f"  [yellow]![/] {escape(warning)}")
    if sheet:
        out.print(f"[bold]contact sheet[/]  {place(sheet)}")
    counts = {status: sum(p.status is status for p in made) for status in Status}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "nothing to do"
    out.print(f"\n{said} in {seconds:.1f} s{_money(made)}")


def _money(made: Sequence[Production]) -> str:
    """What the GPU work came to, where any was paid: this run's estimate against all that was paid so far."""
    cost, expected = sum(p.cost_usd for p in made), sum(p.estimate_usd for p in made)
    if not cost and not expected:
        return ""
    return (
        f"; GPU work at most ${cost:.4f} so far, ${expected:.4f} was expected of this run (callsheet costs tells more)"
    )


def error(out: Console, problem: CallsheetError) -> None:
    """One line a mistake, then what it comes to."""
    if isinstance(problem, ManifestInvalid):
        for one in problem.problems:
            out.print(f"[red]✗[/] {escape(str(one))}")
    out.print(f"[red]{escape(problem.what)}[/]\n  [bold]→[/] {escape(problem.fix)}")


def as_json(problem: CallsheetError) -> dict[str, Any]:
    """An error for programs: code, message, remedy, and a manifest's problems one by one."""
    facts: dict[str, Any] = {"code": problem.code, "message": problem.what, "remedy": problem.fix}
    if isinstance(problem, ManifestInvalid):
        facts["problems"] = [asdict(one) for one in problem.problems]
    return facts


def place(url: str) -> str:
    """As plain_place, with nothing in it that the console would take for markup."""
    return escape(plain_place(url))


def plain_place(url: str) -> str:
    """A file:// URL as a path a person can open, from here where that is shorter; others as they are."""
    if not url.startswith("file://"):
        return url
    path = Path(unquote(urlparse(url).path))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
