"""`callsheet models`: which weights there are, and fetching those that are asked for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Table

from callsheet.doors import terminal
from callsheet.errors import InputError
from callsheet.settings import Settings
from callsheet.weights import CATALOGUE, Weights, weights
from callsheet.weights_fetch import Standing, fetch
from callsheet.weights_hub import File, Hub

app = typer.Typer(name="models", help="Model weights: what there is, and fetching it.", no_args_is_help=True)

Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Where models lie. Default: CALLSHEET_MODELS, else on the volume, else in the home."),
]
_REDRAW_S = 0.1


def hub_of(settings: Settings) -> Hub:
    """The hub, with the token from the settings."""
    return Hub(settings.hf_token)


@app.command("list")
def list_models(
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON on standard output.")] = False,
) -> None:
    """Say which weights there are, with licence, size and folder. Asks nobody."""
    place = folder or default_folder(Settings.load())
    rows = [_row(one, place) for one in CATALOGUE]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    out = terminal.console(stderr=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("name", "what", "licence", "GB", "folder", "here"):
        table.add_column(name, justify="right" if name == "GB" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(row[name])) for name in ("name", "what", "licence", "gb", "folder", "here")))
    out.print(table, soft_wrap=False)
    out.print(f"\n{sum(one.gb for one in CATALOGUE):.0f} GB in all; folders are in {escape(str(place))}")
    for one in CATALOGUE:
        if one.note:
            out.print(f"[dim]{one.name}: {escape(one.note)}[/]")


@app.command()
def download(
    names: Annotated[list[str] | None, typer.Argument(help="Which; see callsheet models list.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    folder: Folder = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Fetch weights, each file once: resumed where a download broke, and checked against its digest.

    Example: callsheet models download wan-5b realesrgan
    """
    if bool(names) == every:
        raise InputError(detail="name what to fetch, or --all" if not names else "names and --all say two things",
                         remedy="callsheet models list shows the names")
    settings = Settings.load()
    chosen = CATALOGUE if every else tuple(dict.fromkeys(weights(name) for name in names or ()))
    place = (folder or default_folder(settings)).expanduser().absolute()
    out = terminal.console(quiet)
    with hub_of(settings) as hub, _bars(out) as shown:
        standing = fetch(chosen, place, hub, progress=shown.had, started=shown.begin)
    out.print(f"{len(standing.to_fetch)} files fetched, {len(standing.there)} were there already: {escape(str(place))}")


def default_folder(settings: Settings) -> Path:
    """Of models on this machine: where the engines look for them."""
    return settings.models


def here(of: Weights, folder: Path) -> str:
    """Whether it is there, as far as a look at the folder tells: `yes`, `begun` or nothing."""
    place = folder / of.folder
    known = [*(one.name for one in of.pinned), *(name for name in of.files if "*" not in name)]
    if any((place / name).is_file() for name in known):
        return "yes" if all((place / name).is_file() for name in known) else "begun"
    if any(place.rglob(".*.part")) and not known:
        return "begun"
    return "yes" if not known and any(place.rglob(".*.digest")) else ""


def _row(of: Weights, folder: Path) -> dict[str, Any]:
    return {"name": of.name, "what": of.what, "licence": of.licence, "gb": of.gb, "folder": of.folder,
            "repo": of.repo, "note": of.note, "here": here(of, folder)}


class _Bars:
    """One bar for everything, with the file that came last. Called from the threads that fetch."""

    def __init__(self, out: Console, shown: Progress) -> None:
        self._out, self._shown = out, shown
        self._row: TaskID | None = None
        self._had: dict[File, int] = {}
        self._lock = threading.Lock()
        self._drawn = 0.0

    def begin(self, standing: Standing) -> None:
        if standing.to_fetch:
            words = f"{len(standing.to_fetch)} files, {standing.bytes_left / 1e9:.1f} GB"
            self._out.print(f"fetching {words}")
            self._row = self._shown.add_task("", total=sum(file.size for file in standing.to_fetch), name="")

    def had(self, file: File, count: int) -> None:
        with self._lock:
            self._had[file] = count
            if self._row is None or (time.monotonic() - self._drawn < _REDRAW_S and count < file.size):
                return
            self._drawn = time.monotonic()
            self._shown.update(self._row, completed=sum(self._had.values()), name=file.path[-48:])


@contextmanager
def _bars(out: Console) -> Iterator[_Bars]:
    columns = (BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn(),
               TextColumn("{task.fields[name]}", style="dim", markup=False))
    with Progress(*columns, console=out, transient=True, disable=out.quiet or not out.is_terminal) as shown:
        yield _Bars(out, shown)
