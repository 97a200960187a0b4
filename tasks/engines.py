"""The engine a recipe names. Another version would make other pixels under the same fingerprint."""

from __future__ import annotations

from callsheet.engines.base import ClipEngine
from callsheet.engines.choose import choose as choose_clips
from callsheet.errors import EngineUnable
from callsheet.faces.base import FaceRestorer, LipsyncEngine, Upscaler
from callsheet.faces.choose import choose as choose_lipsync
from callsheet.faces.choose import choose_restorer, choose_upscaler
from callsheet.recipes import EngineId
from callsheet.speech.base import SpeechEngine
from callsheet.speech.choose import choose as choose_speech
from tasks.run import current


def clip_engine(asked: EngineId) -> ClipEngine:
    """Raises EngineUnable when this installation has another version than the plan was made with."""
    engine = choose_clips(asked.name, current().settings)
    _same(asked, engine.id)
    return engine


def speech_engine(asked: EngineId) -> SpeechEngine:
    engine = choose_speech(asked.name, current().settings)
    _same(asked, engine.id)
    return engine


def lipsync_engine(asked: EngineId) -> LipsyncEngine:
    engine = choose_lipsync(asked.name, settings=current().settings)
    _same(asked, engine.id)
    return engine


def restorer(asked: EngineId) -> FaceRestorer:
    engine = choose_restorer(asked.name, current().settings)
    _same(asked, engine.id)
    return engine


def upscaler(asked: EngineId) -> Upscaler:
    engine = choose_upscaler(asked.name, current().settings)
    _same(asked, engine.id)
    return engine


def _same(asked: EngineId, here: EngineId) -> None:
    if asked.version != here.version:
        raise EngineUnable(
            engine=here.name,
            what=f"version {asked.version} pictures",
            detail=f"version {here.version} is installed here",
            remedy="install the same release of callsheet everywhere",
        )
