"""`callsheet produce`: one film from a prompt, as the long-video tool of the sources did it."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

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
    assert "to make" in said and "new: nothing was made with these settings yet" in said
    assert plan.as_json()["raw_frames"] == 295


@pytest.mark.parametrize(("words", "field", "remedy"), [
    ({"prompt": "x" * 4001}, "prompt is over 4000 characters", "shorten it"),
    ({"prompt": ""}, "prompt is empty", "write something"),
    ({"seconds": 0.1}, "duration is under 0.2", "use at least 0.2"),
    ({"seconds": -1.0}, "duration is under 0.2", "use at least 0.2"),
    ({"seconds": 1e9}, "duration is over 14400", "use at most 14400"),
    ({"seconds": float("nan")}, "duration should be a finite number", "write a number of seconds, such as 12.3"),
    ({"seconds": float("inf")}, "duration", ""),
    ({"seed": -1}, "seed is under 0", "use at least 0"),
    ({"seed": 2**32}, "seed is over", "use at most 4294967295"),
], ids=lambda value: str(value)[:40])
def test_what_no_film_can_have_is_told_with_its_field_and_what_to_do(
    words: dict[str, object], field: str, remedy: str
) -> None:
    given: dict[str, Any] = {"prompt": "x", "seconds": 5.0, "quality": "fast", "dialogue": "", "seed": 0, **words}
    with pytest.raises(InputError) as refused:
        single.order_of(EXAMPLES / "actors.csv", "Ava", **given)
    assert refused.value.what.startswith(field), refused.value.what
    assert refused.value.fix.startswith(remedy), refused.value.fix
