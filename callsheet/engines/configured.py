"""Which engines somebody has set up here, able or not: the difference between a machine that was never meant to make
pictures and one whose pictures fail.

Only of the first kind may `auto` quietly draw. Looks at settings and folders, never at a network or a library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from callsheet.base_models import MODELS
from callsheet.settings import Settings
from callsheet.weights import weights


def _diffusers(settings: Settings) -> bool:
    folders = {settings.models / weights(name).folder for model in MODELS for name in model.weights}
    return any(folder.is_dir() for folder in folders)


CONFIGURED: Mapping[str, Callable[[Settings], bool]] = MappingProxyType(
    {
        "diffusers": _diffusers,
        "comfyui": lambda settings: settings.comfyui_url is not None,
        "runpod": lambda settings: settings.comfyui_endpoint is not None,
    }
)
"""Engine -> whether its weights, address or endpoint are there. Of those that `auto` may take."""


def configured(settings: Settings) -> tuple[str, ...]:
    """Names of the engines that are set up here."""
    return tuple(name for name, there in CONFIGURED.items() if there(settings))
