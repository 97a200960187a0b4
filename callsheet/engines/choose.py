"""Engines for pictures and clips by name. A new engine is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from callsheet.engines.base import ClipEngine
from callsheet.errors import EngineUnable
from callsheet.settings import Settings


def _placeholder(settings: Settings) -> ClipEngine:
    from callsheet.engines.placeholder import PlaceholderEngine

    return PlaceholderEngine()


ENGINES: Mapping[str, Callable[[Settings], ClipEngine]] = MappingProxyType(
    {
        "placeholder": _placeholder,
    }
)
"""Name -> factory, best pictures first: `auto` takes the first that is able."""


def choose(name: str = "auto", settings: Settings | None = None, elsewhere: bool = False) -> ClipEngine:
    """The engine called `name`, or for `auto` that of the settings, else the best one that is able here.

    Args:
        name: One of ENGINES, or `auto`.
        settings: What is configured; None reads it.
        elsewhere: Whether another machine does the work: then this one's ability does not matter for an engine that
            is named.

    Raises EngineUnable for an unknown name, or with the engine's own reason and remedy.
    """
    settings = settings or Settings.load()
    wanted = (settings.engine or "auto") if name == "auto" else name
    known = ", ".join(("auto", *ENGINES))
    if wanted != "auto" and wanted not in ENGINES:
        raise EngineUnable(
            engine=wanted, what="pictures", detail="there is no such engine", remedy=f"choose one of {known}"
        )
    reasons = []
    for each in ENGINES if wanted == "auto" else (wanted,):
        engine = ENGINES[each](settings)
        if elsewhere and wanted != "auto":
            return engine
        ability = engine.able()
        if ability.able:
            return engine
        reasons.append((f"{each}: {ability.reason}", ability.remedy))
    raise EngineUnable(
        engine=wanted,
        what="pictures",
        detail="; ".join(reason for reason, _ in reasons),
        remedy="; ".join(remedy for _, remedy in reasons if remedy) or f"choose one of {known}",
    )
