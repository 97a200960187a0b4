"""What the tasks of one run share: the store, the delivery, the engines, what is to be made anew."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from callsheet.engines.choose import choose as choose_clips
from callsheet.errors import Cancelled
from callsheet.faces.choose import choose as choose_lipsync
from callsheet.faces.choose import choose_upscaler
from callsheet.models import Actor, Gpu, Order, Purse
from callsheet.orders import MAX_CAST
from callsheet.recipe import Recipe, Stage, digest
from callsheet.recipes import Choices
from callsheet.settings import Settings
from callsheet.speech.choose import choose as choose_speech
from callsheet.store.delivery import Delivery
from callsheet.store.records import Record, Records
from callsheet.store.sources import Sources
from tasks.backends import backends


@dataclass(frozen=True)
class Seen:
    """A recipe that is done, for whoever watches."""

    title: str
    recipe: Recipe
    record: Record
    cached: bool


Watcher = Callable[[Seen], None]


@dataclass(frozen=True)
class Run:
    """One run's view of the world."""

    settings: Settings
    records: Records
    delivery: Delivery
    sources: Sources
    refresh: frozenset[Stage]
    started: datetime
    """Records of refreshed stages that are older are made anew; newer records count as made by this run."""
    gpu: Gpu
    """Where GPU work runs; never `auto`."""
    title: str = ""
    purse: Purse = field(default_factory=Purse)

    def urls(self, uploaded: Record) -> dict[str, str]:
        """Where an upload's files are found now: planned key -> URL. The public address may have changed since."""
        return {planned: self.delivery.url_of(key) for planned, key in uploaded.facts["keys"].items()}

    def since(self, stage: Stage) -> datetime | None:
        """The oldest record of a stage that this run accepts; None accepts all."""
        return self.started if stage in self.refresh else None

    def choices(self, order: Order) -> Choices:
        """Which engines an order gets here. Raises EngineUnable."""
        clips = choose_clips(order.generate.engine)
        speech = choose_speech(order.generate.speech, self.settings.elevenlabs_api_key)
        return Choices(
            clips=clips.id,
            speech=speech.id,
            lipsync=choose_lipsync(order.generate.lipsync, clips.has_mouths).id,
            voices={a.id: speech.cast_voice(a.voice, place, a.id) for a, place in _places(order)},
            clips_have_mouths=clips.has_mouths,
            upscale=None if order.generate.upscale == "off" else choose_upscaler(order.generate.upscale).id,
            destination=self.delivery.url,
        )


def _places(order: Order) -> list[tuple[Actor, int]]:
    """A place for each actor that is its own in every film, unless two of one cast want the same."""
    taken: dict[int, Actor] = {}
    for actor in order.cast:
        place = int(digest(actor.id)[:8], 16) % MAX_CAST
        while place in taken:
            place = (place + 1) % MAX_CAST
        taken[place] = actor
    return [(actor, place) for place, actor in taken.items()]


HEARTBEAT = "CALLSHEET_HEARTBEAT"
"""Names a file that is touched while work goes on: what watches a rented machine looks at its time."""

STOP = threading.Event()
"""Set when this process is asked to stop: tasks that have not begun do not begin."""


def check_stopped(what: str) -> None:
    """Raises Cancelled once somebody asked this process to stop. Work that calls it is alive, and says so."""
    if beats := os.environ.get(HEARTBEAT):
        Path(beats).touch()
    if STOP.is_set():
        raise Cancelled(what=what)


_RUN: ContextVar[Run] = ContextVar("callsheet_run")
_WATCHERS: ContextVar[tuple[Watcher, ...]] = ContextVar("callsheet_watchers", default=())


def current() -> Run:
    """The run that this task belongs to."""
    return _RUN.get()


@contextmanager
def running(
    title: str = "",
    refresh: Iterable[Stage] = (),
    started: datetime | None = None,
    gpu: Gpu = Gpu.AUTO,
    purse: Purse | None = None,
) -> Iterator[Run]:
    """Open store and delivery as the settings say, for everything that is called inside."""
    settings = Settings.load()
    where = settings.gpu_place if gpu is Gpu.AUTO else gpu
    run = Run(
        settings, *backends(settings), frozenset(refresh), started or datetime.now(UTC), where, title, purse or Purse()
    )
    token = _RUN.set(run)
    try:
        yield run
    finally:
        _RUN.reset(token)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` about every recipe that is done inside, from whichever thread."""
    token = _WATCHERS.set((*_WATCHERS.get(), watcher))
    try:
        yield
    finally:
        _WATCHERS.reset(token)


def tell(seen: Seen) -> None:
    """Pass it to every watcher."""
    for watcher in _WATCHERS.get():
        watcher(seen)
