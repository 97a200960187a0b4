"""How words are said: the dictionary first, then espeak-ng."""

from pathlib import Path

import pytest

from callsheet.errors import EngineUnable
from callsheet.speech.align import _model
from callsheet.speech.espeak import Espeak
from callsheet.speech.pronounce import arpabet, pronunciations


def said(*words: str) -> list[list[str]]:
    found = pronunciations(words, _model() / "cmudict-en-us.dict", Espeak())
    return [[" ".join(way) for way in ways] for ways in found]


def test_a_word_of_the_dictionary_has_all_its_ways() -> None:
    assert said("again,", "“The”", "Don’t") == [
        ["AH G EH N", "AH G EY N"], ["DH AH", "DH IY"], ["D OW N T", "D OW N"]]


@pytest.mark.parametrize(("word", "phones"), [
    ("12", "T W EH L V"), ("&", "AE N D"), ("100%", "W AH N HH AH N D R IH D P ER S EH N T"),
    ("Zoë", "Z OW IY"),
])
def test_numbers_symbols_and_names_are_said_as_espeak_says_them(word: str, phones: str) -> None:
    assert phones in said(word)[0], said(word)


def test_what_is_not_said_has_no_way() -> None:
    assert said("–", "…", "(")[0] == []


def test_initials_may_be_spelt_or_read() -> None:
    ways = said("US")[0]
    assert "AH S" in ways and "Y UW EH S" in ways, ways


def test_markup_of_espeak_is_not_obeyed() -> None:
    assert all("HH EH L OW" not in way for way in said("[[h@l'oU]]")[0])


def test_a_sound_english_has_not_is_left_out_and_stress_is_dropped() -> None:
    assert arpabet("hˈæʔˌləʊ ǃʘ") == ("HH", "AE", "T", "L", "OW")


def test_only_words_outside_the_dictionary_need_espeak(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Path:
        raise EngineUnable(engine="espeak", what="speech", detail="it is not there")

    monkeypatch.setattr("callsheet.speech.espeak._package", broken)
    assert said("lighthouse")[0] == ["L AY T HH AW S"]
    with pytest.raises(EngineUnable):
        said("Zoë")
