"""What the tasks of one run share: the store, the delivery, the engines, what is to be made anew."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from callsheet.engines.base import ClipEngine
from callsheet.engines.choose import choose as choose_clips
from callsheet.engines.choose import choose_for
from callsheet.errors import Cancelled
from callsheet.faces.choose import best_restorer, choose_restorer, choose_upscaler
from callsheet.faces.choose import choose as choose_lipsync
from callsheet.fallback import DRAWN
from callsheet.models import Actor, Gpu, Order, Purse
from callsheet.orders import MAX_CAST
from callsheet.presets import Quality
from callsheet.recipe import Recipe, Stage, digest
from callsheet.recipes import Choices, EngineId
from callsheet.settings import Settings
from callsheet.speech.choose import choose as choose_speech
from callsheet.store.delivery import Delivery
from callsheet.store.records import Record, Records
from callsheet.store.sources import Sources
from tasks import casting
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
    at_hand: frozenset[str] = frozenset()
    """Fingerprints of the GPU half that this process makes wherever the rest is made: what is only drawn."""

    def urls(self, uploaded: Record) -> dict[str, str]:
        """Where an upload's files are found now: planned key -> URL. The public address may have changed since."""
        return {planned: self.delivery.url_of(key) for planned, key in uploaded.facts["keys"].items()}

    def since(self, stage: Stage) -> datetime | None:
        """The oldest record of a stage that this run accepts; None accepts all."""
        return self.started if stage in self.refresh else None

    @property
    def elsewhere(self) -> bool:
        """Whether other machines do the GPU work: then it does not matter what this one is able to do."""
        return self.gpu is not Gpu.HERE

    def clip_engine(self, name: str = "auto") -> ClipEngine:
        """The engine of that name, or what `auto` comes to. Raises EngineUnable."""
        return choose_clips(name, self.settings, self.elsewhere)

    def choices(self, order: Order, clips_too: bool = True) -> Choices:
        """Which engines and models an order gets here; `clips_too` is False where only its posters are made.

        Raises EngineUnable, WrongFamily, FileMissing.
        """
        clips = self._clips_for(order)
        speech = choose_speech(order.generate.speech, self.settings)
        models = casting.cast(order, clips, self, clips_too)
        return Choices(
            posters=clips.id.model_copy(update={"model": models.poster}),
            clips=clips.id.model_copy(update={"model": models.clips}),
            clip_steps=models.steps,
            clip_cfg=models.cfg,
            unloaded=tuple(a.id for a in order.cast if casting.file_of(a) in models.unloaded),
            style=casting.style(order, clips, models.poster, self),
            speech=speech.id,
            lipsync=choose_lipsync(order.generate.lipsync, clips.has_mouths, self.settings, self.elsewhere).id,
            voices={a.id: speech.cast_voice(a.voice, place, a.id) for a, place in _places(order)},
            clips_have_mouths=clips.has_mouths,
            restore=self._restorer(order, clips),
            drawn=None if clips.id.name == DRAWN else self.clip_engine(DRAWN).id,
            drawn_lipsync=None if clips.id.name == DRAWN else choose_lipsync("auto", True, self.settings).id,
            upscale=None if order.generate.upscale == "off"
            else choose_upscaler(order.generate.upscale, self.settings, self.elsewhere).id,
            destination=self.delivery.url,
        )

    def _clips_for(self, order: Order) -> ClipEngine:
        policy = order.generate.fallback or self.settings.fallback
        return choose_for(order.generate.engine, self.settings, self.elsewhere, policy)

    def _restorer(self, order: Order, clips: ClipEngine) -> EngineId | None:
        """What restores faces: never drawn ones, and on `auto` only from quality standard upwards."""
        asked = order.generate.restore
        if asked == "off" or clips.has_mouths or (asked == "auto" and order.quality is Quality.DRAFT):
            return None
        if asked == "auto" and not self.settings.restore:
            return best_restorer(self.settings)       # maybe none: nobody insisted, and the account tells it
        return choose_restorer(asked, self.settings, self.elsewhere).id


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
def at_hand(fingerprints: Iterable[str]) -> Iterator[None]:
    """What is called inside makes these recipes in this process, wherever the rest is made."""
    token = _RUN.set(replace(current(), at_hand=frozenset(fingerprints)))
    try:
        yield
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
