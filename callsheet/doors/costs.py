"""`callsheet costs`: what was paid, by actor, stage, day, run, GPU or kind; against the provider's bill if asked.

Covers sums over the ledger's rows and showing them: a table, a file, JSON, bars in the terminal. What a row is stands
in callsheet/costs.py; how rows are made to agree with the bill in callsheet/reconcile.py.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from callsheet import project
from callsheet.costs import CostRow, Kind, Outcome
from callsheet.doors import terminal
from callsheet.errors import InputError
from callsheet.manifest_write import publish, safe_cell
from callsheet.settings import Settings

if TYPE_CHECKING:
    from callsheet.store.ledger import Ledger

DAYS = 30
"""Of the past that are shown unless others are asked for."""

WASTED = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.LOST, Outcome.DUPLICATE, Outcome.CANCELLED})
"""Outcomes of work that made nothing."""

_SHARED = {
    Kind.COLD_START: "(cold starts)", Kind.IDLE: "(idle time)", Kind.ORPHAN: "(orphans)",
    Kind.ADJUSTMENT: "(price differences)", Kind.WORK: "(not said)",
}
"""What stands for a payer who is not known."""

_BAR = 40
_EIGHTHS = " ▏▎▍▌▋▊▉"

COLUMNS = (
    "day", "started", "kind", "plane", "provider_id", "resource", "run", "order", "actor", "stage", "label", "gpu",
    "gpus", "attempt", "outcome", "seconds", "usd_per_second", "usd", "upper_usd", "reconciled", "key",
)


class By(StrEnum):
    """What rows are summed by."""

    ACTOR = "actor"
    STAGE = "stage"
    DAY = "day"
    RUN = "run"
    GPU = "gpu"
    KIND = "kind"


class Sum(NamedTuple):
    """What rows add up to."""

    name: str
    rows: int
    seconds: float
    usd: float
    """As paid where it is reconciled, else as estimated."""
    upper_usd: float
    """The most it can have been."""
    wasted_usd: float
    """Of it for work that made nothing."""
    reconciled: bool
    """Whether all of it was taken from the bill."""


_NAMES: Mapping[By, Callable[[CostRow], str]] = {
    By.ACTOR: lambda row: row.payer.actor or _SHARED[row.kind],
    By.STAGE: lambda row: row.payer.stage or _SHARED[row.kind],
    By.RUN: lambda row: row.payer.run or _SHARED[row.kind],
    By.DAY: lambda row: row.day,
    By.GPU: lambda row: row.gpu or "(not said)",
    By.KIND: lambda row: row.kind.value.replace("_", " "),
}


def sums(rows: Iterable[CostRow], by: By) -> list[Sum]:
    """A sum a name: days in order, others dearest first."""
    groups: dict[str, list[CostRow]] = defaultdict(list)
    for row in rows:
        groups[_NAMES[by](row)].append(row)
    found = [total(name, group) for name, group in groups.items()]
    return sorted(found, key=lambda one: one.name if by is By.DAY else (-one.usd, one.name))


def total(name: str, rows: Sequence[CostRow]) -> Sum:
    """All of them as one."""
    return Sum(
        name, len(rows), sum(row.seconds for row in rows), sum(row.usd for row in rows),
        sum(row.usd if row.reconciled else max(row.usd, row.upper_usd) for row in rows),
        sum(row.usd for row in rows if row.kind is Kind.WORK and row.outcome in WASTED),
        all(row.reconciled for row in rows),
    )


def as_csv(rows: Iterable[CostRow]) -> str:
    """One line a row of the ledger. No cell can be taken for a formula by a spreadsheet."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        facts = {**row.payer.model_dump(), **row.model_dump(mode="json"), "day": row.day}
        writer.writerow([_cell(facts[name]) for name in COLUMNS])
    return out.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"                            # a negative amount is a number, and no formula
    return safe_cell(value)


def as_json(rows: Sequence[CostRow], by: By) -> dict[str, Any]:
    """Groups and their total."""
    return {"by": by.value, "groups": [one._asdict() for one in sums(rows, by)],
            "total": total("total", rows)._asdict()}


def show(out: Console, rows: Sequence[CostRow], by: By, chart: bool = False) -> None:
    """A line a group, then the total and how sure it is."""
    if not rows:
        out.print("nothing was paid in that time")
        return
    groups, whole = sums(rows, by), total("total", rows)
    if chart:
        bars(out, groups)
    else:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(by.value, overflow="fold")
        for name in ("rows", "seconds", "$", "at most $", "$ for nothing made"):
            table.add_column(name, justify="right", no_wrap=True)
        for one in (*groups, whole):
            style = "bold" if one is whole else ""
            cells = (escape(one.name), str(one.rows), f"{one.seconds:,.0f}", _money(one.usd), _money(one.upper_usd),
                     _money(one.wasted_usd) if one.wasted_usd else "")
            table.add_row(*cells, style=style)
        out.print(table)
    out.print(f"\n{_standing(rows, whole)}")


def bars(out: Console, groups: Sequence[Sum]) -> None:
    """A bar a group, as long as it is dear."""
    most = max((one.usd for one in groups), default=0.0)
    width = max((len(one.name) for one in groups), default=0)
    for one in groups:
        out.print(f"{escape(one.name.ljust(width))}  {_bar(one.usd, most):<{_BAR}}  {_money(one.usd)}", soft_wrap=True)


def _bar(usd: float, most: float) -> str:
    eighths = round(max(0.0, usd) / most * _BAR * 8) if most > 0 else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _standing(rows: Sequence[CostRow], whole: Sum) -> str:
    open_rows = [row for row in rows if not row.reconciled]
    if not open_rows:
        return f"${_money(whole.usd)}, as billed"
    if len(open_rows) == len(rows):
        return (f"${_money(whole.usd)} by our own clocks, ${_money(whole.upper_usd)} at most; "
                "callsheet costs --reconcile takes it from the bill")
    billed = whole.usd - sum(row.usd for row in open_rows)
    return (f"${_money(whole.usd)}, of which ${_money(billed)} as billed; the rest is by our own clocks, "
            f"${_money(whole.upper_usd)} at most in all")


def _money(usd: float) -> str:
    return f"{usd:,.2f}" if abs(usd) >= 1 or usd == 0 else f"{usd:.4f}"


# ---- the command

_DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


def costs(
    by: Annotated[By, typer.Option("--by", help="What to sum by.")] = By.ACTOR,
    since: Annotated[datetime | None, typer.Option(formats=_DATES, help="From then on, UTC. Default: 30 days.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_DATES, help="Before then, UTC.")] = None,
    file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write every row as CSV; - is standard output.")
    ] = None,
    in_json: Annotated[bool, typer.Option("--json", help="Print the sums as JSON on standard output.")] = False,
    chart: Annotated[bool, typer.Option("--chart", help="Bars in place of the table.")] = False,
    reconcile: Annotated[bool, typer.Option("--reconcile", help="First make it agree with RunPod's bill.")] = False,
) -> None:
    """Say what was paid: work, failures, cold starts, idle time and orphans.

    Example: callsheet costs --by stage --since 2026-11-01 --reconcile
    """
    now = datetime.now(UTC)
    begin = since.replace(tzinfo=UTC) if since else now - timedelta(days=DAYS)
    end = until.replace(tzinfo=UTC) if until else now + timedelta(days=1)
    if end <= begin:
        raise InputError(detail=f"--until {end:%Y-%m-%d %H:%M} is not after --since {begin:%Y-%m-%d %H:%M}",
                         remedy="give a later --until")
    settings = Settings.load()
    ledger = open_ledger(settings)
    people = terminal.console(quiet=in_json)
    if reconcile:
        from callsheet.doors.reconciling import reconcile_all

        changed = reconcile_all(settings, ledger, begin, now)
        people.print(f"[dim]the bill was read: {changed} {'entry' if changed == 1 else 'entries'} corrected[/]")
    rows = ledger.rows(begin, end)
    if file is not None:
        _write(file, as_csv(rows), people)
    if in_json:
        typer.echo(json.dumps(as_json(rows, by), indent=1))
    elif file != Path("-"):
        show(terminal.console(stderr=False), rows, by, chart)


def open_ledger(settings: Settings) -> Ledger:
    """The ledger of the store in the settings."""
    project.importable()
    from callsheet.store.ledger import Ledger
    from tasks.backends import backends

    return Ledger(backends(settings)[0].store)


def _write(file: Path, text: str, people: Console) -> None:
    if file == Path("-"):
        typer.echo(text, nl=False)
        return
    publish(file.absolute(), text.encode())
    people.print(f"[dim]{text.count(chr(10)) - 1} rows are in {escape(str(file))}[/]")
