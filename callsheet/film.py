"""A planned film: every recipe of one order, and the order's own name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from callsheet.models import Order
from callsheet.recipe import Recipe, canonical, digest
from callsheet.recipes import (
    AlignRecipe,
    CheckRecipe,
    Choices,
    ClipRecipe,
    ConformRecipe,
    IntakeRecipe,
    LipsyncRecipe,
    MixRecipe,
    PosterRecipe,
    RestoreRecipe,
    SegmentRecipe,
    SpeechRecipe,
    SpliceRecipe,
    TakeRecipe,
    TrainCompleteRecipe,
    UploadRecipe,
    UpscaleRecipe,
)
from callsheet.timeline import Timeline


@dataclass(frozen=True)
class Film:
    """Every recipe of one order, in the order of work."""

    order: Order
    job_id: str
    timeline: Timeline
    exact: bool
    """False while some lines are not spoken yet, so that lengths are estimates."""
    loras: tuple[TrainCompleteRecipe, ...]
    sources: tuple[IntakeRecipe, ...]
    speech: tuple[SpeechRecipe, ...]
    align: tuple[AlignRecipe, ...]
    posters: tuple[PosterRecipe, ...]
    takes: tuple[TakeRecipe, ...]
    segments: tuple[SegmentRecipe, ...]
    lipsync: tuple[LipsyncRecipe, ...]
    restore: tuple[RestoreRecipe, ...]
    upscale: tuple[UpscaleRecipe, ...]
    conform: tuple[ConformRecipe, ...]
    splice: SpliceRecipe
    mix: MixRecipe
    check: CheckRecipe
    upload: UploadRecipe
    choices: Choices
    """What it was planned with."""
    asked: Mapping[str, PosterRecipe | ClipRecipe]
    """Fingerprint of what stands in for something -> what was asked. Empty when everything is as it was asked."""

    def pictures(self) -> tuple[PosterRecipe | ClipRecipe, ...]:
        """What engines for pictures and clips make, inputs before what is made from them."""
        return (*self.posters, *self.takes, *self.segments)

    def as_asked(self, recipe: PosterRecipe | ClipRecipe) -> PosterRecipe | ClipRecipe:
        """What was asked where this stands in; else itself."""
        return self.asked.get(recipe.fingerprint, recipe)

    def recipes(self) -> Iterator[Recipe]:
        """All of them, inputs before what is made from them."""
        yield from self.loras
        yield from self.sources
        yield from self.speech
        yield from self.align
        yield from self.posters
        yield from self.takes
        yield from self.segments
        yield from self.lipsync
        yield from self.restore
        yield from self.upscale
        yield from self.conform
        yield self.splice
        yield self.mix
        yield self.check
        yield self.upload


def order_fingerprint(order: Order) -> str:
    """Names an admitted order: paths are labels, digests decide."""
    return digest(canonical({"order": _without_paths(order.model_dump(mode="json", exclude={"job_id", "budget"}))}))


def _without_paths(value: object) -> object:
    if isinstance(value, dict):
        if set(value) == {"path", "sha256"}:
            return value["sha256"] or value["path"]
        return {key: _without_paths(item) for key, item in value.items()}
    return [_without_paths(item) for item in value] if isinstance(value, list) else value
