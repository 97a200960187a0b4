"""Lip-sync engines by name. A new engine is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from callsheet.errors import EngineUnable
from callsheet.faces.base import LipsyncEngine


def _placeholder() -> LipsyncEngine:
    from callsheet.faces.placeholder import PlaceholderLipsync

    return PlaceholderLipsync()


ENGINES: Mapping[str, Callable[[], LipsyncEngine]] = MappingProxyType(
    {
        "placeholder": _placeholder,
    }
)
"""Name -> factory, best mouths first: `auto` takes the first that is able."""


def choose(name: str = "auto") -> LipsyncEngine:
    """The engine called `name`, or for `auto` the best one that is able here.

    Raises EngineUnable for an unknown name, or with the engine's own reason.
    """
    known = f"choose one of {', '.join(('auto', *ENGINES))}"
    if name != "auto" and name not in ENGINES:
        raise EngineUnable(engine=name, what="lip-sync", detail="there is no such engine", remedy=known)
    reasons = []
    for each in ENGINES if name == "auto" else (name,):
        engine = ENGINES[each]()
        reason = engine.able()
        if not reason:
            return engine
        reasons.append(f"{each}: {reason}")
    raise EngineUnable(engine=name, what="lip-sync", detail="; ".join(reasons), remedy=known)
