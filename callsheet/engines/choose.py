"""Engines for pictures and clips by name. A new engine is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from callsheet.engines.base import ClipEngine
from callsheet.engines.configured import configured
from callsheet.errors import EngineNotHere, EngineUnable, NoImageModels, SettingInvalid
from callsheet.fallback import DRAWN
from callsheet.models import Fallback
from callsheet.settings import Settings


def _diffusers(settings: Settings) -> ClipEngine:
    from callsheet.engines.diffusers.engine import DiffusersEngine

    return DiffusersEngine(settings)


def _comfyui(settings: Settings) -> ClipEngine:
    from callsheet.engines.comfyui.engine import ComfyUIEngine

    return ComfyUIEngine(settings.comfyui_url, settings.comfyui_token, settings.comfyui_loras)


def _runpod(settings: Settings) -> ClipEngine:
    from callsheet.engines.stock import StockEngine

    return StockEngine.of(settings)


def _openai(settings: Settings) -> ClipEngine:
    from callsheet.engines.openai import OpenAIEngine

    return OpenAIEngine.of(settings)


def _placeholder(settings: Settings) -> ClipEngine:
    from callsheet.engines.placeholder import PlaceholderEngine

    return PlaceholderEngine()


ENGINES: Mapping[str, Callable[[Settings], ClipEngine]] = MappingProxyType(
    {
        "diffusers": _diffusers,
        "comfyui": _comfyui,
        "runpod": _runpod,
        "openai": _openai,
        "placeholder": _placeholder,
    }
)
"""Name -> factory, best pictures first: `auto` takes the first that is able."""

BY_NAME_ONLY = frozenset({"openai"})
"""Never taken by `auto`: it makes single pictures, and who set its key for something else would pay for them."""


def choose(
    name: str = "auto", settings: Settings | None = None, elsewhere: bool = False, policy: Fallback | None = None
) -> ClipEngine:
    """The engine called `name`, or for `auto` that of the settings, else the best one that is able here.

    Args:
        name: One of ENGINES, or `auto`.
        settings: What is configured; None reads it.
        elsewhere: Whether another machine does the work: then this one's ability does not matter for an engine that
            is named.
        policy: What may stand in for an engine that is set up here and not able; None takes that of the settings.

    Raises EngineUnable for an unknown name, SettingInvalid for one in CALLSHEET_ENGINE, EngineNotHere with the engine's
    own reason and remedy, NoImageModels where only drawing is left and the policy forbids it.
    """
    settings = settings or Settings.load()
    wanted = (settings.engine or "auto") if name == "auto" else name
    known = ", ".join(("auto", *ENGINES))
    if name == "auto" and wanted not in ("auto", *ENGINES):
        raise SettingInvalid(variable="CALLSHEET_ENGINE", value=repr(wanted), detail=f"it is not one of {known}")
    if wanted != "auto" and wanted not in ENGINES:
        raise EngineUnable(
            engine=wanted, what="pictures", detail="there is no such engine", remedy=f"choose one of {known}"
        )
    reasons: list[tuple[str, str]] = []
    for each in [name for name in ENGINES if name not in BY_NAME_ONLY] if wanted == "auto" else (wanted,):
        if each == DRAWN != wanted:
            _may_draw(settings, policy or settings.fallback, reasons)
        engine = ENGINES[each](settings)
        if elsewhere and wanted != "auto":
            return engine
        ability = engine.able()
        if ability.able:
            return engine
        # Who is named alone stands before the reason already.
        reasons.append((ability.reason if wanted == each else f"{each}: {ability.reason}", ability.remedy))
    raise EngineNotHere(
        engine=wanted,
        what="pictures",
        detail="; ".join(reason for reason, _ in reasons),
        remedy="; ".join(remedy for _, remedy in reasons if remedy) or f"choose one of {known}",
    )


def choose_for(name: str, settings: Settings, elsewhere: bool, policy: Fallback) -> ClipEngine:
    """As `choose`, for an order with this policy: an engine that may be drawn for need not be able here, since what it
    cannot make is then drawn, recipe by recipe.
    """
    return choose(name, settings, elsewhere or policy is Fallback.PLACEHOLDER, policy)


def _may_draw(settings: Settings, policy: Fallback, reasons: Sequence[tuple[str, str]]) -> None:
    """Raises NoImageModels where engines are set up, none of them is able, and the policy forbids to draw instead."""
    there = configured(settings)
    told = [(reason, remedy) for reason, remedy in reasons if reason.partition(":")[0] in there]
    if told and policy is not Fallback.PLACEHOLDER:
        ways = [remedy for _, remedy in told if remedy]
        raise NoImageModels(
            engine="auto",
            what="pictures",
            detail="; ".join(reason for reason, _ in told),
            remedy="; ".join([*ways, "or allow drawn pictures with fallback placeholder"]),
        )
