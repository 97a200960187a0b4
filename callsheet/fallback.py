"""What follows when an engine fails: the next thing to try, as the order's policy allows it.

    never         nothing: the film fails, and what is made is kept
    smaller       the model's smaller one, then a picture of 3/4 and of 1/2 the side
    placeholder   as smaller, then drawn

Pure: what failed comes in as an error, what was tried before as values, and the answer is a value (Instead). Its
recipe is another one than what was asked, so it has a fingerprint of its own and nothing that was asked is ever
mistaken for made. Who tries, and where it is written down, is in tasks/fallback.py and store/stand_ins.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TypeVar

from callsheet.base_models import BaseModel, base_model
from callsheet.errors import (
    CallsheetError,
    DownloadFailed,
    EngineError,
    EngineNotHere,
    EngineTimedOut,
    EngineUnable,
    JobLost,
    JobTimedOut,
    NoImages,
    OutOfMemory,
    SpeechFailed,
)
from callsheet.models import Fallback, Order, Poster
from callsheet.presets import generation_size
from callsheet.recipes import Choices, ClipRecipe, EngineId, Instead, PosterRecipe

Picture = PosterRecipe | ClipRecipe
"""What can be made by something else than what was asked."""

P = TypeVar("P", bound=PosterRecipe | ClipRecipe)

DRAWN = "placeholder"
"""The engine that draws: it needs no model, and whoever sees its pictures knows."""

SHARES = (3 / 4, 1 / 2)
"""Sides of smaller pictures, as shares of what was asked."""

LEAST_PX = 256
"""No smaller picture is tried: models make nothing of use below."""

_MULTIPLE = 16
_WHY_LENGTH = 300


def _codes(*kinds: type[CallsheetError]) -> frozenset[str]:
    return frozenset(code for kind in kinds for code in (kind.code, *_codes(*kind.__subclasses__())))


_MEMORY = _codes(OutOfMemory)
_TOO_LARGE = _MEMORY | _codes(EngineTimedOut, JobTimedOut, JobLost)
_FAILED = _codes(EngineError, DownloadFailed, NoImages) - _codes(EngineUnable, SpeechFailed) | _codes(EngineNotHere)
"""An engine that is unable for another reason was asked for what it cannot do: so is its smaller model."""


@dataclass(frozen=True)
class Fault:
    """What went wrong, as far as it matters for what is tried next."""

    why: str
    """One line for people."""
    counts: bool
    """Whether anything else may be tried: not where the input is wrong, money is short or somebody cancelled."""
    too_large: bool
    """Whether a smaller picture can help: too little memory or time."""
    alike: bool = False
    """Whether whatever takes as much fails as surely: too little memory."""


def fault(error: CallsheetError) -> Fault:
    """Judge an error. One that a job brought back is judged by the job's own."""
    code = str(error.facts.get("job_code") or error.code)
    too_large = code in _TOO_LARGE or error.code in _TOO_LARGE
    return Fault(
        error.what[:_WHY_LENGTH], counts=too_large or code in _FAILED, too_large=too_large, alike=code in _MEMORY)


def after(
    asked: Picture, tried: Sequence[Instead], failed: Fault, policy: Fallback, drawn: EngineId | None
) -> Instead | None:
    """What to try now, None when nothing is left or allowed.

    Args:
        asked: What was asked for at first.
        tried: What was tried in its place already, the latest last.
        failed: What ended the latest attempt.
        policy: Of the order.
        drawn: The engine that draws, None where it is not to stand in.
    """
    if policy is Fallback.NEVER or not failed.counts:
        return None
    steps = [(engine, px) for engine, px in _ladder(asked, drawn) if allowed(engine, policy)]
    latest = (tried[-1].engine, tried[-1].px) if tried else None
    if latest is not None:
        steps = steps[steps.index(latest) + 1 :] if latest in steps else []
    for engine, px in steps:
        if px is None or failed.too_large:
            return Instead(engine=engine, px=px, why=failed.why)
    return None


def takes_as_much(recipe: Picture, failed: Picture) -> bool:
    """Whether a recipe needs at least the memory of one that had too little: same model, no fewer pixels or frames."""
    frames, fewer = (one.num_frames if isinstance(one, ClipRecipe) else 1 for one in (recipe, failed))
    return (
        recipe.engine == failed.engine and frames >= fewer
        and recipe.width * recipe.height >= failed.width * failed.height
    )


def allowed(engine: EngineId, policy: Fallback) -> bool:
    """Whether the policy lets this engine stand in for another one."""
    return policy is Fallback.PLACEHOLDER or (policy is Fallback.SMALLER and engine.name != DRAWN)


def _ladder(asked: Picture, drawn: EngineId | None) -> Iterator[tuple[EngineId, int | None]]:
    """Everything that can stand in, in the order in which it is tried."""
    engine, model = asked.engine, _model(asked.engine)
    if engine.name == DRAWN:
        return
    while model is not None and model.smaller:
        engine = engine.model_copy(update={"model": model.smaller})
        model = _model(engine)
        yield engine, None
    side = sqrt(asked.width * asked.height)
    for share in SHARES:
        px = round(side * share / _MULTIPLE) * _MULTIPLE
        if px >= LEAST_PX:
            yield engine, px
    if drawn is not None:
        yield drawn.model_copy(update={"model": asked.engine.model if isinstance(asked, PosterRecipe) else ""}), None


def _model(engine: EngineId) -> BaseModel | None:
    try:
        return base_model(engine.model)
    except KeyError:                                  # a name that only the engine knows
        return None


def settled(make: Callable[[Order, Choices], P], order: Order, choices: Choices) -> tuple[P, P]:
    """What is asked, and what is planned: the same, unless something stands in for it."""
    asked = make(order, choices)
    instead = choices.instead.get(asked.fingerprint)
    return asked, asked if instead is None else make(*_in_place(asked, instead, order, choices))


def _in_place(asked: Picture, instead: Instead, order: Order, choices: Choices) -> tuple[Order, Choices]:
    """An order and choices with which exactly what stands in is planned."""
    if isinstance(asked, PosterRecipe):
        choices = choices.model_copy(update={"posters": instead.engine})
        if instead.px is None:
            return order, choices
        width, height = generation_size(instead.px, asked.width, asked.height)
        poster = (order.poster or Poster()).model_copy(update={"width": width, "height": height})
        return order.model_copy(update={"poster": poster}), choices
    own: dict[str, object] = {"clips": instead.engine}
    model = _model(instead.engine)
    if instead.engine.name == DRAWN:                  # it draws everybody itself
        own |= {"unloaded": (), "clips_have_mouths": True}
    elif model is not None:
        own |= {"clip_steps": model.steps, "clip_cfg": model.cfg}
    if instead.px is not None:
        order = order.model_copy(update={"generate": order.generate.model_copy(update={"px": instead.px})})
    return order, choices.model_copy(update=own)


def told(recipe: Picture) -> str:
    """What makes a picture, for people: `diffusers wan2.2-ti2v-5b, 768x768`. Nothing draws by a model."""
    model = "" if recipe.engine.name == DRAWN else recipe.engine.model
    return f"{' '.join(filter(None, (recipe.engine.name, model)))}, {recipe.width}x{recipe.height}"
