"""What the tasks of one run share: the store, the delivery, the engines, what is to be made anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from callsheet.engines.choose import choose as choose_clips
from callsheet.faces.choose import choose as choose_lipsync
from callsheet.models import Gpu, Order
from callsheet.recipe import Recipe, Stage
from callsheet.recipes import Choices
from callsheet.settings import Settings
from callsheet.speech.choose import choose as choose_speech
from callsheet.store.delivery import Delivery
from callsheet.store.open import open_delivery, open_store
from callsheet.store.records import Record, Records


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
    refresh: frozenset[Stage]
    started: datetime
    """Records of refreshed stages that are older are made anew; newer records count as made by this run."""
    gpu: Gpu
    title: str = ""

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
            lipsync=choose_lipsync(order.generate.lipsync).id,
            voices={a.id: speech.cast_voice(a.voice, n, a.id) for n, a in enumerate(order.cast)},
            clips_have_mouths=clips.has_mouths,
            destination=self.delivery.url,
        )


_RUN: ContextVar[Run] = ContextVar("callsheet_run")
_WATCHER: ContextVar[Watcher | None] = ContextVar("callsheet_watcher", default=None)


def current() -> Run:
    """The run that this task belongs to."""
    return _RUN.get()


@contextmanager
def running(
    title: str = "",
    refresh: Sequence[Stage] = (),
    started: datetime | None = None,
    gpu: Gpu = Gpu.AUTO,
) -> Iterator[Run]:
    """Open store and delivery as the settings say, for everything that is called inside."""
    settings, records, delivery = _backends()
    run = Run(settings, records, delivery, frozenset(refresh), started or datetime.now(UTC), gpu, title)
    token = _RUN.set(run)
    try:
        yield run
    finally:
        _RUN.reset(token)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` about every recipe that is done inside, from whichever thread."""
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def tell(seen: Seen) -> None:
    watcher = _WATCHER.get()
    if watcher is not None:
        watcher(seen)


def _backends() -> tuple[Settings, Records, Delivery]:
    settings = Settings.load()
    return settings, *_opened(settings)


@lru_cache(maxsize=4)
def _opened(settings: Settings) -> tuple[Records, Delivery]:
    delivery = open_delivery(settings)
    return Records(open_store(settings), checks={Stage.UPLOAD: still_delivered(delivery)}), delivery


def still_delivered(delivery: Delivery) -> Callable[[Record], str]:
    """A check that what an upload delivered lies where it was put, unchanged."""

    def check(record: Record) -> str:
        for key, sha256 in record.facts["delivered"].items():
            if not delivery.holds(key, sha256):
                return f"{key} is not in the delivery any more"
        return ""

    return check
