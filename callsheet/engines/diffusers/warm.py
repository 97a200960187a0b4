"""One loaded pipeline a process serves a queue of recipes: another base model frees the first.

    with WARM.using(model, settings, work=4.0, tell=room.progress) as loaded: ...

One at a time, since a card holds one. Cancelling while a model loads returns at once; what was loading is then dropped
as soon as the library lets go of it.
"""

from __future__ import annotations

import gc
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from callsheet.base_models import BaseModel
from callsheet.engines.diffusers import loading
from callsheet.engines.diffusers.loading import ENGINE, Loaded
from callsheet.engines.diffusers.stack import Counts
from callsheet.errors import CallsheetError, EngineError, OutOfMemory
from callsheet.store.base import Progress

TELL_EVERY_S = 5.0
"""How often it is told that a model is still loading."""


@dataclass
class Warm:
    """The pipeline that is loaded, if any."""

    loads: int = 0
    """Base models loaded since the process began."""
    served: int = 0
    """Recipes that found their model loaded."""
    stacks: Counts = field(default_factory=Counts)
    loader: Callable[[BaseModel, Path, str, float], Loaded] = loading.load
    _loaded: Loaded | None = None
    _key: tuple[str, ...] = ()
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="callsheet-loading")
    )

    @contextmanager
    def using(
        self, model: BaseModel, models: Path, device: str, work: float, progress: Progress
    ) -> Iterator[Loaded]:
        """The model, loaded and held as memory allows, for this caller alone.

        Raises what loading.load raises; OutOfMemory, after everything was freed, when the work inside runs out of it;
        EngineError for whatever else the library raises.
        """
        while not self._lock.acquire(timeout=TELL_EVERY_S):
            progress(0.0, f"waiting: {model.name} is to be loaded after another's work")
        try:
            with self._guarded(model.name):
                yield self._ready(model, models, device, work, progress)
        finally:
            self._lock.release()

    def free(self) -> None:
        """Let go of the pipeline and of all memory it held."""
        with self._lock:
            if self._loaded is not None:
                self._loaded.pipe = None                  # whoever still holds the rest holds little
            self._loaded, self._key = None, ()
            _collect()

    def counts(self) -> dict[str, int]:
        """For facts and logs. `reloads_saved`: base models and stacks that did not have to be loaded."""
        return {
            "loads": self.loads, "stack_loads": self.stacks.loads, "swaps": self.stacks.swaps,
            "reloads_saved": self.served,
        }

    def _ready(self, model: BaseModel, models: Path, device: str, work: float, progress: Progress) -> Loaded:
        key = (model.name, str(models), device)
        if self._loaded is not None and self._key == key and _has_room(self._loaded, work):
            self.served += 1
            return self._loaded
        self.free()
        self._loaded = self._load(model, models, device, work, progress)
        self._key = key
        self.loads += 1
        return self._loaded

    def _load(self, model: BaseModel, models: Path, device: str, work: float, progress: Progress) -> Loaded:
        """In a thread of its own, so that this one can tell that it goes on, and be cancelled."""
        progress(0.0, f"loading {model.name}")
        waiting = self._thread.submit(self._loaded_alone, model, models, device, work)
        seconds = 0.0
        while True:
            try:
                return waiting.result(timeout=TELL_EVERY_S)
            except NotYet:
                if waiting.done():                        # the loading itself ran out of time
                    raise
                seconds += TELL_EVERY_S
                progress(0.0, f"loading {model.name}: {seconds:.0f} s")

    def _loaded_alone(self, model: BaseModel, models: Path, device: str, work: float) -> Loaded:
        """After what an earlier load, which nobody waited for, left behind is gone: what is free decides the plan."""
        _collect()
        return self.loader(model, models, device, work)

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """What a library raises, as one of our errors. Who knows what it left behind: the pipeline is then freed."""
        try:
            yield
        except CallsheetError as error:
            _let_go(error)
            raise
        except Exception as error:
            _let_go(error)
            self.free()
            detail = " ".join(str(error).split())[:200] or type(error).__name__
            if loading.out_of_memory(error):
                raise OutOfMemory(engine=ENGINE, what=what, detail=detail) from None
            if isinstance(error, (RuntimeError, ValueError, LookupError, OSError)):
                raise EngineError(engine=ENGINE, what=what, detail=detail) from error
            raise


def _has_room(loaded: Loaded, work: float) -> bool:
    """Whether larger work than the model was loaded for still fits beside it; else it is held in a smaller way."""
    return work <= loaded.work or loading.free_gib(loaded.device) >= work


def _let_go(error: BaseException) -> None:
    """Whoever keeps an error must not keep the pipeline and its tensors: the frames it came through hold them."""
    one: BaseException | None = error
    while one is not None:
        for frame, _ in traceback.walk_tb(one.__traceback__):
            with suppress(RuntimeError):                  # it is still at work
                frame.clear()
                frame.f_locals                            # noqa: B018 (a pipeline called locals(): what they keep goes)
        one = one.__cause__ or one.__context__


def _collect() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


WARM = Warm()
"""This process's own."""
