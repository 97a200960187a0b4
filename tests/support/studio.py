"""An engine on its bench, and a fresh room for each job."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from callsheet.engines.base import ClipEngine
from callsheet.recipes import ClipRecipe, SegmentRecipe
from callsheet.store.base import Outcome, Room
from tests.support.clips import Frames, decoded, ref, room
from tests.support.engine_benches import Bench


class Studio:
    """Works a bench in a test's folder."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.folder = folder
        self._jobs = itertools.count()

    @property
    def engine(self) -> ClipEngine:
        return self.bench.engine

    def shoot(
        self, inputs: dict[str, Path] | None = None, kind: type[ClipRecipe] = SegmentRecipe, **changes: Any
    ) -> Outcome:
        known = {**self.bench.inputs, **{ref(name): path for name, path in (inputs or {}).items()}}
        return self.engine.shoot(self.bench.clip(kind=kind, **changes), room(self._next(), known))

    def frames(self, **changes: Any) -> Frames:
        return decoded(self.shoot(**changes).files["main"])

    def paint(self, **changes: Any) -> Path:
        return self.painting(**changes).files["main"]

    def painting(self, **changes: Any) -> Outcome:
        return self.engine.paint(self.bench.poster(**changes), room(self._next(), self.bench.inputs))

    def painted(self, **changes: Any) -> Frames:
        with Image.open(self.paint(**changes)) as image:
            return np.asarray(image.convert("RGB"), np.float32)

    def works(self) -> Iterator[tuple[str, Callable[[Room], Outcome]]]:
        """What it can be asked for, one after the other."""
        if self.bench.poster_model is not None:
            yield "poster", lambda given: self.engine.paint(self.bench.poster(), given)
        if self.bench.clip_model is not None:
            yield "clip", lambda given: self.engine.shoot(self.bench.clip(num_frames=30), given)

    def _next(self) -> Path:
        return self.folder / str(next(self._jobs))
