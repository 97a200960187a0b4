"""Lip-sync engines and upscalers by name. A new engine is one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Protocol, TypeVar

from callsheet.errors import EngineUnable
from callsheet.faces.base import LipsyncEngine, Upscaler


def _mouth_warp() -> LipsyncEngine:
    from callsheet.faces.mouth_warp import MouthWarp

    return MouthWarp()


def _placeholder() -> LipsyncEngine:
    from callsheet.faces.placeholder import PlaceholderLipsync

    return PlaceholderLipsync()


def _realesrgan() -> Upscaler:
    from callsheet.faces.realesrgan import RealEsrgan

    return RealEsrgan()


def _realesrgan_photo() -> Upscaler:
    from callsheet.faces.realesrgan import RealEsrgan

    return RealEsrgan("realesrgan_photo", "realesrgan-x4plus")


ENGINES: Mapping[str, Callable[[], LipsyncEngine]] = MappingProxyType(
    {
        "mouth_warp": _mouth_warp,
        "placeholder": _placeholder,
    }
)
"""Name -> factory, best mouths for real pictures first: there `auto` takes the first that is able."""

DRAWN = "placeholder"
"""What `auto` takes for clips that are drawn and tell where their mouths are: its mouths are drawn like theirs."""

UPSCALERS: Mapping[str, Callable[[], Upscaler]] = MappingProxyType(
    {
        "realesrgan": _realesrgan,
        "realesrgan_photo": _realesrgan_photo,
    }
)
"""Name -> factory, best first for clips that are made without a GPU."""


def choose(name: str = "auto", has_mouths: bool = False) -> LipsyncEngine:
    """The lip-sync engine called `name`, or for `auto` the best one that is able here.

    Args:
        name: One of ENGINES, or `auto`.
        has_mouths: Whether the clips come with mouth tracks, which only drawn ones do.

    Raises EngineUnable for an unknown name, or with the engine's own reason.
    """
    return _chosen(name, ENGINES, "lip-sync", (DRAWN,) if has_mouths else ENGINES)


def choose_upscaler(name: str = "auto") -> Upscaler:
    """The upscaler called `name`, or for `auto` the best one that is able here. `off` is the caller's matter.

    Raises EngineUnable for an unknown name, or with the engine's own reason.
    """
    return _chosen(name, UPSCALERS, "larger pictures", UPSCALERS)


class _Engine(Protocol):
    def able(self) -> str: ...


E = TypeVar("E", bound=_Engine)


def _chosen(name: str, engines: Mapping[str, Callable[[], E]], what: str, best: Iterable[str]) -> E:
    known = f"choose one of {', '.join(('auto', *engines))}"
    if name != "auto" and name not in engines:
        raise EngineUnable(engine=name, what=what, detail="there is no such engine", remedy=known)
    reasons = []
    for each in best if name == "auto" else (name,):
        engine = engines[each]()
        reason = engine.able()
        if not reason:
            return engine
        reasons.append(f"{each}: {reason}")
    raise EngineUnable(engine=name, what=what, detail="; ".join(reasons), remedy=known)
