"""Engines for pictures and clips by name. A new engine is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from callsheet.engines.base import ClipEngine
from callsheet.errors import EngineUnable


def _placeholder() -> ClipEngine:
    from callsheet.engines.placeholder import PlaceholderEngine

    return PlaceholderEngine()


ENGINES: Mapping[str, Callable[[], ClipEngine]] = MappingProxyType(
    {
        "placeholder": _placeholder,
    }
)
"""Name -> factory, best pictures first: `auto` takes the first that is able."""


def choose(name: str = "auto") -> ClipEngine:
    """The engine called `name`, or for `auto` the best one that is able here.

    Raises EngineUnable for an unknown name, or with the engine's own reason and remedy.
    """
    known = ", ".join(("auto", *ENGINES))
    if name != "auto" and name not in ENGINES:
        raise EngineUnable(
            engine=name, what="pictures", detail="there is no such engine", remedy=f"choose one of {known}"
        )
    reasons = []
    for each in ENGINES if name == "auto" else (name,):
        engine = ENGINES[each]()
        ability = engine.able()
        if ability.able:
            return engine
        reasons.append((f"{each}: {ability.reason}", ability.remedy))
    raise EngineUnable(
        engine=name,
        what="pictures",
        detail="; ".join(reason for reason, _ in reasons),
        remedy="; ".join(remedy for _, remedy in reasons if remedy) or f"choose one of {known}",
    )
