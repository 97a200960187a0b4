"""Which engine speaks. A new engine is one file and one line in ENGINES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from callsheet.errors import EngineUnable
from callsheet.settings import Settings
from callsheet.speech.base import SpeechEngine
from callsheet.speech.dia import Dia
from callsheet.speech.elevenlabs import ElevenLabs
from callsheet.speech.espeak import Espeak

AUTO = "auto"

ENGINES: Mapping[str, Callable[[Settings], SpeechEngine]] = MappingProxyType({
    "elevenlabs": lambda settings: ElevenLabs(settings.elevenlabs_api_key),
    "dia": lambda settings: Dia(settings.models, settings.device),
    "espeak": lambda settings: Espeak(),
})
"""By name, each made of the settings."""


def choose(name: str = AUTO, settings: Settings | None = None) -> SpeechEngine:
    """The engine of that name; `auto` is elevenlabs when its key is set, else dia where its weights and a GPU are,
    else espeak.

    Raises EngineUnable when there is no such engine, or it cannot work here.
    """
    settings = settings or Settings.load()
    if name == AUTO:
        key = settings.elevenlabs_api_key
        name = "elevenlabs" if key and key.get_secret_value().strip() else _of_this_machine(settings)
    if name not in ENGINES:
        raise EngineUnable(engine=name, what="speech", detail="there is no such engine",
                           remedy=f"choose {AUTO}, {', '.join(ENGINES)}")
    engine = ENGINES[name](settings)
    if reason := engine.able():
        raise EngineUnable(engine=name, what="speech", detail=reason)
    return engine


def _of_this_machine(settings: Settings) -> str:
    """Dia where its weights and a GPU are here, else what speaks anywhere."""
    return "dia" if Dia(settings.models, settings.device).quick else "espeak"
