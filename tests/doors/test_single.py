"""`callsheet produce`: one film from a prompt, as the long-video tool of the sources did it."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import pytest
from rich.console import Console

from callsheet.doors import single
from callsheet.doors.preview import planned, show
from callsheet.errors import DialogueInvalid, InputError, NotReady
from callsheet.models import Line, Order
from callsheet.presets import Quality
from callsheet.store.sources import admit
from tasks.run import running

EXAMPLES = Path(__file__).resolve().parents[2] / "manifests" / "examples"
AVA = "0001_european_20_female"


def order(character: str = "Ava", seconds: float = 12.3, quality: str = "fast", dialogue: str = "") -> Order:
    return single.order_of(EXAMPLES / "actors.csv", character, "walks along the beach", seconds, quality, dialogue, 7)


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path))


@pytest.mark.parametrize("name", ["Ava", "ava", AVA])
def test_a_character_is_found_by_name_or_id(name: str) -> None:
    assert order(name).cast[0].id == AVA


def test_without_a_name_the_first_of_the_manifest_plays() -> None:
    assert order("").cast[0].id == AVA


def test_an_unknown_character_is_told_who_there_is() -> None:
    with pytest.raises(InputError, match=r"no character 'Kai Nakamura': choose one of Ava, Marta, Leo"):
        order("Kai Nakamura")


def test_a_character_in_training_is_not_ready(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("id,lora,prompt,status\nkai,kai,stands,training\n")
    with pytest.raises(NotReady, match="training of kai"):
        single.order_of(manifest, "kai", "x", 5, "draft", "", 0)


@pytest.mark.parametrize(
    ("word", "tier", "side", "steps"),
    [("fast", Quality.DRAFT, 512, 20), ("standard", Quality.STANDARD, 768, 30), ("high", Quality.HIGH, 1024, 40),
     ("ultra", Quality.PREMIUM, 1024, 50)],
)
def test_the_four_presets_are_the_source_s(word: str, tier: Quality, side: int, steps: int) -> None:
    made = order(quality=word)
    assert (made.quality, made.delivered.width, made.delivered.height) == (tier, side, side)
    assert made.delivered.fps == Fraction(24)
    with running("test") as run:
        film, _ = planned(admit(made, run.sources), run)
    assert {segment.steps for segment in film.segments} == {steps}


def test_an_unknown_quality_is_told_the_words() -> None:
    with pytest.raises(InputError, match="'best' is no quality; one of draft, standard, high"):
        order(quality="best")


def test_dialogue_is_spoken_by_the_character() -> None:
    assert order(dialogue="[S1] Ava: Hello there.").scenes[0].lines == (Line(speaker=AVA, text="Hello there."),)
    with pytest.raises(DialogueInvalid):
        order(dialogue="[S1] Temo: Hello.")


def test_the_segment_plan_is_printed_with_frames_each_and_in_all() -> None:
    with running("test") as run:
        _, plan = planned(admit(order(), run.sources), run)
    out = io.StringIO()
    show(Console(file=out, width=120), [plan], [("kai", "training has not finished")])
    said = out.getvalue()
    assert "3 segments of 120, 120, 55 frames: 295 frames at 24 fps" in said
    assert "12.29 s  512x512@24" in said
    assert "kai  waiting  training has not finished" in said
    assert "to make" in said and "never made" in said
    assert plan.as_json()["raw_frames"] == 295
