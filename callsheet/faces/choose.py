"""Lip-sync engines and upscalers by name. A new engine is one line here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Protocol, TypeVar

from callsheet.errors import EngineUnable
from callsheet.faces.base import FaceRestorer, LipsyncEngine, Upscaler
from callsheet.recipes import EngineId
from callsheet.settings import Settings


def _latentsync(settings: Settings) -> LipsyncEngine:
    from callsheet.faces.latentsync import LatentSync

    return LatentSync(settings)


def _musetalk(settings: Settings) -> LipsyncEngine:
    from callsheet.faces.musetalk import MuseTalk

    return MuseTalk(settings)


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


def _realesrgan_gpu(settings: Settings) -> Upscaler:
    from callsheet.faces.realesrgan_gpu import RealEsrganGpu

    return RealEsrganGpu(settings)


def _gfpgan(settings: Settings) -> FaceRestorer:
    from callsheet.faces.gfpgan import Gfpgan

    return Gfpgan(settings)


ENGINES: Mapping[str, Callable[[Settings], LipsyncEngine]] = MappingProxyType(
    {
        "latentsync": _latentsync,
        "musetalk": _musetalk,
        "mouth_warp": _mouth_warp,
        "placeholder": _placeholder,
    }
)
"""Name -> factory, best mouths for real pictures first: there `auto` takes the first that is able."""

DRAWN = "placeholder"
"""What `auto` takes for clips that are drawn and tell where their mouths are: its mouths are drawn like theirs."""

UPSCALERS: Mapping[str, Callable[[Settings], Upscaler]] = MappingProxyType(
    {
        "realesrgan_gpu": _realesrgan_gpu,
        "realesrgan": _realesrgan,
        "realesrgan_photo": _realesrgan_photo,
    }
)
"""Name -> factory, best first; those after the first do without a GPU."""

QUICK = ("realesrgan_gpu",)
"""Upscalers that keep pace with what else is made of a clip."""

RESTORERS: Mapping[str, Callable[[Settings], FaceRestorer]] = MappingProxyType({"gfpgan": _gfpgan})
"""Name -> factory, best first."""


def choose(
    name: str = "auto", has_mouths: bool = False, settings: Settings | None = None, elsewhere: bool = False
) -> LipsyncEngine:
    """The lip-sync engine called `name`, or for `auto` that of the settings, else the best one that is able here.

    Args:
        name: One of ENGINES, or `auto`.
        has_mouths: Whether the clips come with mouth tracks, which only drawn ones do.
        settings: What is configured; None reads it.
        elsewhere: Whether another machine does the work: then this one's ability does not matter for an engine that
            is named.

    Raises EngineUnable for an unknown name, or with the engine's own reason.
    """
    settings = settings or Settings.load()
    if name == "auto" and not has_mouths:
        name = settings.lipsync or name
    return _chosen(name, ENGINES, "lip-sync", (DRAWN,) if has_mouths else ENGINES, settings, elsewhere)


def choose_restorer(name: str = "auto", settings: Settings | None = None, elsewhere: bool = False) -> FaceRestorer:
    """What restores faces: the engine called `name`, or for `auto` that of the settings, else the best one that is
    able here. `elsewhere` as for lip-sync.

    Raises EngineUnable for an unknown name, or with the engine's own reason.
    """
    settings = settings or Settings.load()
    wanted = settings.restore or name if name == "auto" else name
    return _chosen(wanted, RESTORERS, "restored faces", RESTORERS, settings, elsewhere)


def choose_upscaler(name: str = "auto", settings: Settings | None = None, elsewhere: bool = False) -> Upscaler:
    """The upscaler called `name`, or for `auto` the best one that is able here. `off` is the caller's matter, and
    `elsewhere` as for lip-sync.

    Raises EngineUnable for an unknown name, or with the engine's own reason.
    """
    return _chosen(name, UPSCALERS, "larger pictures", UPSCALERS, settings or Settings.load(), elsewhere)


def best_restorer(settings: Settings) -> EngineId | None:
    """For who takes restored faces where they can be had: what the settings name, else the best engine that is able
    here, None where none is. Raises EngineUnable for one that is named and not able.
    """
    return choose_restorer("auto", settings).id if settings.restore else _best(RESTORERS, settings)


def quick_upscaler(settings: Settings) -> EngineId | None:
    """For who cannot wait for a processor: an upscaler on a GPU where one is able, else None."""
    return _best({name: UPSCALERS[name] for name in QUICK}, settings)


def _best(engines: Mapping[str, Callable[[Settings], _Identified]], settings: Settings) -> EngineId | None:
    able = (engine for engine in (make(settings) for make in engines.values()) if not engine.able())
    return next((engine.id for engine in able), None)


class _Engine(Protocol):
    def able(self) -> str: ...


class _Identified(_Engine, Protocol):
    @property
    def id(self) -> EngineId: ...


E = TypeVar("E", bound=_Engine)


def _chosen(
    name: str, engines: Mapping[str, Callable[[Settings], E]], what: str, best: Iterable[str], settings: Settings,
    elsewhere: bool,
) -> E:
    known = f"choose one of {', '.join(('auto', *engines))}"
    if name != "auto" and name not in engines:
        raise EngineUnable(engine=name, what=what, detail="there is no such engine", remedy=known)
    reasons = []
    for each in best if name == "auto" else (name,):
        engine = engines[each](settings)
        reason = "" if elsewhere and name != "auto" else engine.able()
        if not reason:
            return engine
        reasons.append(f"{each}: {reason}")
    raise EngineUnable(engine=name, what=what, detail="; ".join(reasons), remedy=known)
