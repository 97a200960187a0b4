"""Which engine speaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.errors import EngineUnable
from callsheet.settings import Settings
from callsheet.speech.choose import choose
from callsheet.speech.dia import Dia
from callsheet.speech.elevenlabs import ElevenLabs
from callsheet.speech.espeak import Espeak

KEY = "sk_0123456789"


def settings(key: str = "") -> Settings:
    return Settings.load({"ELEVENLABS_API_KEY": key})


def test_auto_is_elevenlabs_when_its_key_is_set() -> None:
    assert isinstance(choose("auto", settings(KEY)), ElevenLabs)


def test_auto_is_espeak_without_a_key() -> None:
    assert isinstance(choose("auto", settings()), Espeak)


def test_auto_is_dia_where_its_weights_and_a_gpu_are_and_no_key_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dia, "able", lambda self: "")
    assert isinstance(choose("auto", settings()), Dia)
    assert isinstance(choose("auto", settings(KEY)), ElevenLabs)
    slow = Settings.load({"CALLSHEET_DEVICE": "cpu"})
    assert isinstance(choose("auto", slow), Espeak), "on a processor only where it is named"
    assert isinstance(choose("dia", slow), Dia)


def test_dia_without_its_weights_says_which_command_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(EngineUnable, match="dia cannot .*callsheet models download dia dac"):
        choose("dia", Settings.load({"CALLSHEET_MODELS": str(tmp_path)}))


def test_a_named_engine_is_taken_whatever_else_is_set() -> None:
    assert isinstance(choose("espeak", settings(KEY)), Espeak)


def test_a_named_engine_that_is_not_able_says_why_and_nothing_takes_its_place() -> None:
    with pytest.raises(EngineUnable, match=r"elevenlabs cannot .*ELEVENLABS_API_KEY"):
        choose("elevenlabs", settings())


def test_espeak_without_its_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callsheet.speech.espeak.util.find_spec", lambda name: None)
    with pytest.raises(EngineUnable, match="install espeakng-loader"):
        choose("auto", settings())


def test_a_name_that_is_no_engine_is_answered_with_those_there_are() -> None:
    with pytest.raises(EngineUnable, match=r"festival.*choose auto, elevenlabs, dia, espeak"):
        choose("festival", settings(KEY))
