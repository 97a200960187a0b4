"""Lip-sync engines and upscalers by name. A new engine is one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Protocol, TypeVar

from callsheet.errors import EngineUnable
from callsheet.faces.base import FaceRestorer, LipsyncEngine, Upscaler
from callsheet.settings import Settings


def _mouth_warp(settings: Settings) -> LipsyncEngine:
    from callsheet.faces.mouth_warp import MouthWarp

    return MouthWarp()


def _placeholder(settings: Settings) -> LipsyncEngine:
    from callsheet.faces.placeholder import PlaceholderLipsync

    return PlaceholderLipsync()


def _realesrgan(settings: Settings) -> Upscaler:
    from callsheet.faces.realesrgan import RealEsrgan

    return RealEsrgan()


def _realesrgan_photo(settings: Settings) -> Upscaler:
    from callsheet.faces.realesrgan import RealEsrgan

    return RealEsrgan("realesrgan_photo", "realesrgan-x4plus")


ENGINES: Mapping[str, Callable[[Settings], LipsyncEngine]] = MappingProxyType(
    {
        "mouth_warp": _mouth_warp,
        "placeholder": _placeholder,
    }
)
"""Name -> factory, best mouths for real pictures first: there `auto` takes the first that is able."""

DRAWN = "placeholder"
"""What `auto` takes for clips that are drawn and tell where their mouths are: its mouths are drawn like theirs."""

UPSCALERS: Mapping[str, Callable[[Settings], Upscaler]] = MappingProxyType(
    {
        "realesrgan": _realesrgan,
        "realesrgan_photo": _realesrgan_photo,
    }
)
"""Name -> factory, best first for clips that are made without a GPU."""

RESTORERS: Mapping[str, Callable[[Settings], FaceRestorer]] = MappingProxyType({})
"""Name -> factory, best first."""


def choose(name: str = "auto", has_mouths: bool = False, settings: Settings | None = None) -> LipsyncEngine:
    """The lip-sync engine called `name`, or for `auto` the best one that is able here.

    Args:
        name: One of ENGINES, or `auto`.
        has_mouths: Whether the clips come with mouth tracks, which only drawn ones do.
        settings: What is configured; None reads it.

    Raises EngineUnable for an unknown name, or with the engine's own reason.
    """
    return _chosen(name, ENGINES, "lip-sync", (DRAWN,) if has_mouths else ENGINES, settings)


def choose_restorer(name: str = "auto", settings: Settings | None = None) -> FaceRestorer:
    """What restores faces: the engine called `name`, or for `auto` the best one that is able here.

    Raises EngineUnable for an unknown name, or with the engine's own reason.
    """
    return _chosen(name, RESTORERS, "restored faces", RESTORERS, settings)


def choose_upscaler(name: str = "auto", settings: Settings | None = None) -> Upscaler:
    """The upscaler called `name`, or for `auto` the best one that is able here. `off` is the caller's matter.

    Raises EngineUnable for an unknown name, or with the engine's own reason.
    """
    return _chosen(name, UPSCALERS, "larger pictures", UPSCALERS, settings)


class _Engine(Protocol):
    def able(self) -> str: ...


E = TypeVar("E", bound=_Engine)


def _chosen(
    name: str, engines: Mapping[str, Callable[[Settings], E]], what: str, best: Iterable[str], settings: Settings | None
) -> E:
    settings = settings or Settings.load()
    known = f"choose one of {', '.join(('auto', *engines))}"
    if name != "auto" and name not in engines:
        raise EngineUnable(engine=name, what=what, detail="there is no such engine", remedy=known)
    reasons = []
    for each in best if name == "auto" else (name,):
        engine = engines[each](settings)
        reason = engine.able()
        if not reason:
            return engine
        reasons.append(f"{each}: {reason}")
    raise EngineUnable(engine=name, what=what, detail="; ".join(reasons), remedy=known)
