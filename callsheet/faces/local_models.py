"""What a network for faces needs on this machine: the extra `models`, weights on disk, and a device to run on.

Looks and tells; loads nothing, and fetches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from callsheet.errors import EngineUnable
from callsheet.settings import Settings
from callsheet.weights import weights

EXTRA = "run `make models` in a checkout of callsheet, or `pip install 'callsheet[models]'`"
_ALONE = {"spandrel": "then `pip install --no-deps spandrel einops`"}
"""Modules whose own dependencies would bring another torch."""
_DEVICE = "use a machine with a GPU, or set CALLSHEET_DEVICE to cpu"


def lack(settings: Settings, modules: Sequence[str], needed: Iterable[str]) -> tuple[str, str] | None:
    """Reason and remedy of the first thing that is missing; None when all is there.

    Args:
        settings: Where models lie and where they run.
        modules: Packages of the extra `models`.
        needed: Names in weights.CATALOGUE.
    """
    absent = [name for name in needed if not all(path.is_file() for path in files_of(settings, name))]
    if absent:
        return f"the weights {', '.join(absent)} are not in {settings.models}", (
            f"callsheet models download {' '.join(absent)}"
        )
    for module in ("torch", *modules):
        if find_spec(module) is None:
            remedy = f"{EXTRA}, {_ALONE[module]}" if module in _ALONE else EXTRA
            return f"{module}, of the extra `models`, is not installed", remedy
    return None if device_of(settings) else ("there is no GPU here", _DEVICE)


def missing(settings: Settings, modules: Sequence[str], needed: Iterable[str]) -> str:
    """Empty when all is there, else reason and remedy as one line."""
    return ": ".join(lack(settings, modules, needed) or ())


def require(settings: Settings, modules: Sequence[str], needed: Iterable[str], engine: str, what: str) -> str:
    """The device to run on. Raises EngineUnable when something is missing."""
    if lacking := lack(settings, modules, needed):
        raise EngineUnable(engine=engine, what=what, detail=lacking[0], remedy=lacking[1])
    return device_of(settings)


def files_of(settings: Settings, name: str) -> tuple[Path, ...]:
    """The files of a set of weights. A .safetensors beside a .pth goes first: it cannot hold anything but numbers."""
    wanted = weights(name)
    paths = [settings.models / wanted.folder / file for file in (*wanted.files, *(pin.name for pin in wanted.pinned))]
    return tuple(safe if (safe := path.with_suffix(".safetensors")).is_file() else path for path in paths)


def device_of(settings: Settings) -> str:
    """cuda, cuda:1, mps or cpu; empty when there is none that `auto` takes, or not the one that was asked."""
    asked = settings.device
    if asked == "cpu":
        return asked
    import torch

    if asked in ("auto", "mps") and torch.backends.mps.is_available():
        return "mps"
    if asked != "mps" and torch.cuda.is_available():
        number = int(asked.partition(":")[2] or 0)
        return ("cuda" if asked == "auto" else asked) if number < torch.cuda.device_count() else ""
    return ""
