"""Dialogue as lines with speakers."""

from __future__ import annotations

import pytest

from callsheet.dialogue import find_actor, parse_dialogue
from callsheet.errors import DialogueInvalid
from callsheet.models import Actor

TEMO = Actor(id="temo", name="Temo", lora="x")
FELFEL = Actor(id="0002_felfel", name="Felfel Blue", lora="x")
CAST = (TEMO, FELFEL)


def said(text: str) -> list[tuple[str, str]]:
    return [(line.speaker, line.text) for line in parse_dialogue(text, CAST)]


def test_a_name_label_picks_the_character_and_is_not_spoken() -> None:
    assert said("[S1] Temo: Welcome, Felfel! [S2] Felfel Blue: Incredible!") == [
        ("temo", "Welcome, Felfel!"), ("0002_felfel", "Incredible!")]


def test_a_label_beats_the_tags_number() -> None:
    assert said("[S1] Felfel Blue: Me first. [S2] temo: Then I.") == [
        ("0002_felfel", "Me first."), ("temo", "Then I.")]


def test_an_id_is_a_label_too_and_case_does_not_matter() -> None:
    assert said("[s1] 0002_FELFEL: Hi. [S2] TEMO: Ho.") == [("0002_felfel", "Hi."), ("temo", "Ho.")]


def test_tags_without_labels_follow_the_cast() -> None:
    assert said("[S1] One. [S2] Two. [S1] Three.") == [("temo", "One."), ("0002_felfel", "Two."), ("temo", "Three.")]


def test_a_labelled_tag_keeps_its_speaker() -> None:
    assert said("[S1] Felfel Blue: One. [S1] Two.") == [("0002_felfel", "One."), ("0002_felfel", "Two.")]


def test_plain_text_is_spoken_by_the_first_of_the_cast() -> None:
    assert said("  Nobody\n here.  ") == [("temo", "Nobody here.")]


def test_no_text_is_no_line() -> None:
    assert said("  ") == []


def test_a_colon_inside_speech_is_speech() -> None:
    assert said("[S1] It is 10:30. [S2] 12:00 it is") == [("temo", "It is 10:30."), ("0002_felfel", "12:00 it is")]
    assert said("[S1] Temo: Listen: we go") == [("temo", "Listen: we go")]


@pytest.mark.parametrize(("text", "message", "remedy"), [
    ("[S1] Tmeo: Hi", "'Tmeo' speaks, but the cast is Temo (temo)", "did you mean temo?"),
    ("[S3] Hi", "[S3] speaks", "add an actor to the cast"),
    ("[S0] Hi", "[S0] is no speaker", "count from [S1]"),
    ("[S1] Temo:", "Temo says nothing", "write what is said"),
    ("[S1] " + "a" * 1001, "over 1000 characters", "split it"),
])
def test_what_fits_nobody_is_refused_with_a_remedy(text: str, message: str, remedy: str) -> None:
    with pytest.raises(DialogueInvalid) as refused:
        said(text)
    assert message in refused.value.what
    assert remedy in refused.value.fix


def test_a_name_that_two_share_asks_for_the_id() -> None:
    with pytest.raises(DialogueInvalid, match="write the id"):
        find_actor("temo b", (Actor(id="a", name="Temo B", lora="x"), Actor(id="b", name="temo  b", lora="x")))


def test_braces_in_a_dialogue_are_text() -> None:
    with pytest.raises(DialogueInvalid) as refused:
        said("[S1] T{0}: Hi. [S9] {x}")
    assert "[S9] speaks" in str(refused.value)
