"""Which engine speaks. A new engine is one file and one line in ENGINES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from pydantic import SecretStr

from callsheet.errors import EngineUnable
from callsheet.speech.base import SpeechEngine
from callsheet.speech.elevenlabs import ElevenLabs
from callsheet.speech.espeak import Espeak

AUTO = "auto"

ENGINES: Mapping[str, Callable[[SecretStr | None], SpeechEngine]] = MappingProxyType({
    "elevenlabs": lambda key: ElevenLabs(key),
    "espeak": lambda key: Espeak(),
})
"""Each is made from the ElevenLabs key, which only one of them needs."""


def choose(name: str, elevenlabs_key: SecretStr | None) -> SpeechEngine:
    """The engine of that name; `auto` is elevenlabs when its key is set, else espeak.

    Raises EngineUnable when there is no such engine, or it cannot work here.
    """
    if name == AUTO:
        name = "elevenlabs" if elevenlabs_key and elevenlabs_key.get_secret_value().strip() else "espeak"
    if name not in ENGINES:
        raise EngineUnable(engine=name, what="speech", detail="there is no such engine",
                           remedy=f"choose {AUTO}, {', '.join(ENGINES)}")
    engine = ENGINES[name](elevenlabs_key)
    if reason := engine.able():
        raise EngineUnable(engine=name, what="speech", detail=reason)
    return engine
