"""`run` and `plan` over a manifest. What can be known to be wrong is told before a server starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from callsheet import keys, project
from callsheet.doors import terminal
from callsheet.doors.interrupt import interruptible
from callsheet.doors.preview import FilmPlan, planned, unplannable
from callsheet.doors.served import served
from callsheet.engines.base import Asked
from callsheet.engines.choose import choose_for
from callsheet.errors import CallsheetError, EngineUnable, ManifestInvalid, Problem, RequestInvalid
from callsheet.faces.choose import choose as choose_lipsync
from callsheet.film import Film
from callsheet.manifest import Row, check_writable, read_manifest
from callsheet.models import Fallback, Gpu, Order, Poster
from callsheet.production import Production
from callsheet.recipe import Stage
from callsheet.settings import Settings
from callsheet.speech.choose import choose as choose_speech
from callsheet.store.sources import admit


def produce_all(
    manifest: Path,
    gpu: Gpu | None,
    refresh: Sequence[Stage],
    write_back: bool,
    only: Sequence[str],
    out: Console,
    verbose: bool,
    budget: float | None = None,
) -> tuple[list[Production], str]:
    """Run the batch flow here, with bars: the productions, and where their contact sheet is.

    Everything is checked before a server starts.
    """
    settings = Settings.load()
    rows = _checked(manifest, only, settings)
    check_writable(manifest, only)
    check_place(gpu, settings)
    bars = totals(rows)
    if not settings.home.exists():
        out.print(f"[dim]state goes into {escape(str(settings.home))} (new)[/]")
    with out.status("starting Prefect") as status, served(settings, verbose) as ui:
        from flows.batch import batch
        from tasks.backends import backends
        from tasks.run import watching

        status.stop()
        if out.is_terminal:
            out.print(f"[dim]Prefect UI, while this runs: {ui}[/]")
        with terminal.bars(out, bars) as watcher, watching(watcher), interruptible():
            made: list[Production] = batch(
                str(manifest), gpu or settings.gpu, list(refresh), write_back, list(only) or None, budget
            )
        sheet = backends(settings)[1].url_of(keys.contact_sheet(manifest.stem, part=bool(only)))
    return made, sheet


def check_place(gpu: Gpu | None, settings: Settings) -> None:
    """Whether GPU work can go where it is to go, before a server starts. Raises InputError, ProviderError."""
    where = settings.gpu_place if gpu in (None, Gpu.AUTO) else gpu
    if where is Gpu.ENDPOINT:
        project.importable()
        from tasks.planes import check_endpoint

        asyncio.run(check_endpoint(settings))


def plan_all(
    manifest: Path, only: Sequence[str], gpu: Gpu | None = None
) -> tuple[list[FilmPlan], list[tuple[str, str]]]:
    """The plan of each film, and who waits and why."""
    rows = _checked(manifest, only, Settings.load())
    plans = [plan for _, plan in planned_each(rows, gpu or Gpu.AUTO)]
    return plans, [(row.actor_id, row.waiting) for row in rows if row.waiting]


def planned_each(rows: Sequence[Row], gpu: Gpu = Gpu.AUTO) -> list[tuple[Film | None, FilmPlan]]:
    """Film and plan of each row that does not wait; no film, and a plan that says why, where it cannot be planned."""
    project.importable()
    from tasks.run import running

    found: list[tuple[Film | None, FilmPlan]] = []
    with running("plan", gpu=gpu) as run:
        for row in rows:
            if row.order is not None:
                try:
                    found.append(planned(admit(row.order, run.sources), run))
                except CallsheetError as error:
                    found.append((None, unplannable(row.order, error)))
    return found


def totals(rows: Sequence[Row]) -> dict[str, int]:
    """Recipes of each film, by title, for the bars. One that cannot be planned has no bar: its run says why."""
    return {plan.title: sum(1 for _ in film.recipes()) for film, plan in planned_each(rows) if film is not None}


def _checked(manifest: Path, only: Sequence[str], settings: Settings) -> tuple[Row, ...]:
    """The rows that are asked for. Raises InputError, and ManifestInvalid with every engine that is not there."""
    rows = read_manifest(manifest).taken(only)
    able = _Able(settings)
    problems = [problem for row in rows for problem in able.problems(manifest, row)]
    if problems:
        raise ManifestInvalid(problems)
    return rows


class _Able:
    """Which engines can work here; each is asked once."""

    def __init__(self, settings: Settings) -> None:
        elsewhere = self._elsewhere = settings.gpu_place is not Gpu.HERE
        self._found: dict[tuple[str, str, Fallback], EngineUnable | None] = {}
        self._cast: dict[tuple[str, ...], CallsheetError | None] = {}
        self._settings = settings
        self._choose: dict[str, Callable[[str, Fallback], object]] = {
            "column engine": lambda name, policy: choose_for(name, settings, elsewhere, policy),
            "its speech": lambda name, policy: choose_speech(name, settings),
            "its lip-sync": lambda name, policy: choose_lipsync(name, settings=settings, elsewhere=elsewhere),
        }

    def problems(self, file: Path, row: Row) -> Iterator[Problem]:
        """Nothing of a row that waits."""
        if row.order is None:
            return
        asked = row.order.generate
        policy = asked.fallback or self._settings.fallback
        for kind, name in zip(self._choose, (asked.engine, asked.speech, asked.lipsync), strict=True):
            error = self._unable(kind, name, policy)
            if error is not None:
                message = f"cannot make {error.facts['what']} ({error.facts['detail']})"
                yield Problem(str(file), f"row {row.number}, {kind}", name, message, error.fix)

        yield from self._uncastable(file, row, row.order, policy)

    def _uncastable(self, file: Path, row: Row, order: Order, policy: Fallback) -> Iterator[Problem]:
        """What its engine says of the models and the sampler it names, whatever its LoRAs are."""
        poster, name = order.poster or Poster(), order.generate.engine
        if self._unable("column engine", name, policy) is not None:
            return
        asked = Asked(
            poster_model=poster.model if order.poster else "", sampler=poster.sampler_name,
            scheduler=poster.scheduler_name, clip_model=order.generate.model, quality=order.quality,
        )
        error = self._uncast(name, policy, asked)
        if error is not None:
            words = ", ".join(filter(None, (poster.model, asked.sampler, asked.scheduler, asked.clip_model)))
            yield Problem(str(file), f"row {row.number}, its models and sampler", words, error.what, error.fix)

    def _uncast(self, name: str, policy: Fallback, asked: Asked) -> CallsheetError | None:
        key = (name, policy, asked.poster_model, asked.sampler, asked.scheduler, asked.clip_model, asked.quality)
        if key not in self._cast:
            self._cast[key] = None
            try:
                choose_for(name, self._settings, self._elsewhere, policy).cast(asked)
            except (EngineUnable, RequestInvalid) as error:
                self._cast[key] = error
        return self._cast[key]

    def _unable(self, kind: str, name: str, policy: Fallback) -> EngineUnable | None:
        asked = (kind, name, policy)
        if asked not in self._found:
            self._found[asked] = None
            try:
                self._choose[kind](name, policy)
            except EngineUnable as error:
                self._found[asked] = error
        return self._found[asked]

