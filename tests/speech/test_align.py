"""Times of words and phones: near what the speaker itself says, for any text, and told when they are less."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.alignment import Alignment
from callsheet.errors import MediaUnreadable
from callsheet.graphemes import solid, spoken_spans
from callsheet.recipe import Ref, Stage
from callsheet.recipes import AlignRecipe, SpeechRecipe
from callsheet.speech import align as module
from callsheet.speech.align import align, engine_starts, resampled
from callsheet.speech.espeak import POOLS, Espeak
from callsheet.speech.wav import read_wav, write_wav
from callsheet.store.base import Outcome, Room

TEXT = "I never thought that the lighthouse would still be standing, after all those winters – wait!"
HOME = "We are home again, and nobody has noticed the lighthouse."
NUMBERS = "She paid $12 for 3 books, and Zoë laughed at 50% of them."


def spoken(folder: Path, text: str, voice: str = "+f3", language: str = "en-us", wpm: int = 165) -> Outcome:
    folder.mkdir(parents=True, exist_ok=True)
    engine = Espeak()
    recipe = SpeechRecipe(engine=engine.id, voice=voice, words_per_minute=wpm, pitch=50, language=language, text=text)
    return engine.speak(recipe, Room(folder, lambda ref: Path(), lambda ref: {}))


def aligned(folder: Path, text: str, audio: Path, facts: Mapping[str, Any], language: str = "en-us") -> Outcome:
    folder.mkdir(parents=True, exist_ok=True)
    recipe = AlignRecipe(label="Anna: a line", audio=Ref(stage=Stage.SPEECH, fingerprint="0" * 64), text=text,
                         language=language)
    return align(recipe, Room(folder, lambda ref: audio, lambda ref: facts))


def both(
    folder: Path, text: str, voice: str = "+f3", language: str = "en-us", wpm: int = 165
) -> tuple[Outcome, Outcome]:
    line = spoken(folder / "speech", text, voice, language, wpm)
    return line, aligned(folder / "align", text, line.files["main"], line.facts, language)


def read(outcome: Outcome) -> Alignment:
    return Alignment.model_validate_json(outcome.files["main"].read_text(encoding="utf-8"))


def errors_s(text: str, line: Outcome, found: Outcome) -> list[float]:
    """How far each word begins from where espeak-ng itself says that it began it."""
    told = {offset: start for start, offset, _ in line.facts["words"]}
    spans = spoken_spans(text)
    return [abs(word[1] - told[span[0]]) for word, span in zip(found.facts["words"], spans, strict=True)
            if span[0] in told]


@pytest.mark.parametrize("text", [TEXT, HOME, NUMBERS], ids=["pauses", "plain", "numbers"])
def test_words_of_an_english_line_are_found_within_60_ms_in_the_middle(tmp_path: Path, text: str) -> None:
    line, found = both(tmp_path, text)
    errors = errors_s(text, line, found)
    assert found.facts["method"] == "aligned" and not found.warnings, found.warnings
    assert statistics.median(errors) <= 0.060 and len(errors) > 8, f"median {statistics.median(errors):.3f} s"
    assert max(errors) < 0.3, f"worst {max(errors):.3f} s"


@pytest.mark.parametrize("voice", [POOLS.male[0], POOLS.young[1], POOLS.young[6]])
def test_voices_unlike_any_that_the_model_was_trained_on_are_aligned(tmp_path: Path, voice: str) -> None:
    line, found = both(tmp_path, TEXT, voice)
    assert found.facts["method"] == "aligned", f"{voice}: {found.warnings}"
    assert statistics.median(errors_s(TEXT, line, found)) <= 0.060


@pytest.mark.soak
@pytest.mark.parametrize("wpm", [130, 165, 220])
@pytest.mark.parametrize("voice", [*POOLS.female, *POOLS.male, *POOLS.young])
def test_every_voice_of_the_pools_is_aligned(tmp_path: Path, voice: str, wpm: int) -> None:
    for text in (TEXT, HOME, NUMBERS):
        line, found = both(tmp_path, text, voice, wpm=wpm)
        assert found.facts["method"] == "aligned", f"{voice}: {found.warnings}"
        median = statistics.median(errors_s(text, line, found))
        assert median <= 0.060, f"{voice}: median {median:.3f} s"


def test_the_words_are_those_of_the_text_as_it_is_written(tmp_path: Path) -> None:
    _, found = both(tmp_path, NUMBERS)
    assert [word[0] for word in found.facts["words"]] == NUMBERS.split()


def test_phones_lie_within_their_words_and_fill_the_line(tmp_path: Path) -> None:
    line, found = both(tmp_path, HOME)
    whole = read(found)
    heard = [phone for phone in whole.phones if phone.symbol != "SIL"]
    assert found.facts["phones"] == len(whole.phones) > 30
    for phone in heard:
        assert any(word.start <= phone.start and phone.end <= word.end for word in whole.words), phone
    for word in whole.words:
        assert any(word.start == phone.start for phone in heard), f"{word.text} begins with a phone"
    assert whole.phones[0].start == 0 and whole.phones[-1].end == pytest.approx(line.facts["seconds"], abs=0.001)
    assert all(a.end == b.start for a, b in pairwise(whole.phones))


def test_equal_recipes_give_equal_bytes(tmp_path: Path) -> None:
    line = spoken(tmp_path, HOME)
    first, second = (aligned(tmp_path / n, HOME, line.files["main"], line.facts) for n in "ab")
    assert first.files["main"].read_bytes() == second.files["main"].read_bytes()


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100])
def test_the_rate_of_the_sound_does_not_matter(tmp_path: Path, rate: int) -> None:
    line = spoken(tmp_path, HOME)
    samples, own = read_wav(line.files["main"])
    other = write_wav(tmp_path / "other.wav", resampled(samples, own, rate), rate)
    found = aligned(tmp_path / "align", HOME, other, {})
    assert found.facts["method"] == "aligned"
    assert statistics.median(errors_s(HOME, line, found)) <= 0.060


@pytest.mark.parametrize(("rate", "wanted"), [(22050, 16000), (16000, 44100), (44100, 16001)])
def test_a_tone_keeps_its_pitch_and_level_at_another_rate(rate: int, wanted: int) -> None:
    tone = np.round(10000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.int16)
    other = resampled(tone, rate, wanted)
    spectrum = np.abs(np.fft.rfft(other[: wanted - wanted % 2]))
    assert abs(len(other) - wanted) <= 1 and abs(int(spectrum.argmax()) - 440) <= 1
    assert np.abs(other).max() == pytest.approx(10000, rel=0.02)


@pytest.mark.parametrize(("language", "text"), [
    ("de", "Guten Tag, wie geht es dir?"), ("cmn", "今天天气很好。"), ("ar", "مرحبا بالعالم"), ("hi", "मैं कभी नहीं"),
])
def test_other_languages_take_the_engines_own_times_and_nobody_is_warned(
    tmp_path: Path, language: str, text: str
) -> None:
    line, found = both(tmp_path, text, language=language)
    assert (found.facts["method"], found.facts["phones"], found.warnings) == ("engine", 0, ())
    assert errors_s(text, line, found) and max(errors_s(text, line, found)) < 0.001


def test_without_an_engines_times_words_are_spread_by_length_and_not_over_pauses(tmp_path: Path) -> None:
    line = spoken(tmp_path, "Eins. Zwei.", language="de")
    samples, rate = read_wav(line.files["main"])
    loud = np.abs(samples.astype(int)) > 1000
    pause = [n / rate for n in np.flatnonzero(loud)]
    gap = max((b - a, a, b) for a, b in pairwise(pause))
    found = aligned(tmp_path / "align", "Eins. Zwei.", line.files["main"], {}, "de")
    (_, start, middle), (_, second, end) = found.facts["words"]
    assert found.facts["method"] == "estimated" and start < 0.05 and end > line.facts["seconds"] - 0.12
    assert abs(middle - gap[1]) < 0.15 or abs(second - gap[2]) < 0.15, f"{middle}, {second} for a pause at {gap}"


def test_an_english_line_that_cannot_be_aligned_says_so_and_is_timed_otherwise(tmp_path: Path) -> None:
    silent = write_wav(tmp_path / "a.wav", np.full(4000, 3, np.int16), 16000)
    found = aligned(tmp_path / "align", TEXT, silent, {})
    assert found.facts["method"] == "estimated"
    assert "Anna: a line" in found.warnings[0] and "estimated from their length" in found.warnings[0]


def test_an_aligner_that_crashes_or_hangs_costs_exactness_and_no_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = spoken(tmp_path, HOME)
    for name, code in (("crash", "import os; os.abort()"), ("hang", "import time; time.sleep(60)")):
        program = tmp_path / f"{name}.py"
        program.write_text(code, encoding="utf-8")
        monkeypatch.setattr(module, "PROGRAM", program)
        monkeypatch.setattr(module, "_TIMEOUT_S", 0.5)
        found = aligned(tmp_path / name, HOME, line.files["main"], line.facts)
        assert found.facts["method"] == "engine" and "the speech engine's own" in found.warnings[0]


def test_no_text_and_no_secret_reaches_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is given phones under numbers, and nothing of our environment."""
    program = tmp_path / "echo.py"
    program.write_text(
        "import json, os, sys; r = json.load(sys.stdin); "
        "known = json.dumps([r, dict(os.environ), open(r['dictionary']).read()]); "
        "json.dump({'error': 'x', 'detail': known}, sys.stdout)",
        encoding="utf-8")
    monkeypatch.setattr(module, "PROGRAM", program)
    monkeypatch.setenv("ELEVENLABS_API_KEY", "canary")
    line = spoken(tmp_path, HOME)
    found = aligned(tmp_path / "align", HOME, line.files["main"], line.facts)
    assert "w0 W IY" in found.warnings[0]
    assert "canary" not in found.warnings[0] and "lighthouse" not in found.warnings[0].split("(", 1)[1]


@pytest.mark.parametrize(
    "text", ["–", "...", "♥ ♥", "\u200b", "{\\b1}", "<s> </s> [NOISE]", "w0(2) w1 SIL", "a" * 300, "\x00hi"])
def test_hostile_text_is_timed_like_any_other(tmp_path: Path, text: str) -> None:
    line = spoken(tmp_path, HOME)
    found = aligned(tmp_path / "align", text, line.files["main"], {})
    assert solid("".join(word[0] for word in found.facts["words"])) == solid(text)
    read(found)


def test_a_file_that_is_no_speech_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF nothing")
    with pytest.raises(MediaUnreadable, match="a spoken line"):
        aligned(tmp_path / "align", HOME, tmp_path / "a.wav", {})


_EVENTS = st.lists(st.tuples(st.floats(-1, 50), st.integers(-3, 60), st.integers(0, 9)), max_size=12)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=60), _EVENTS)
def test_whatever_an_engine_tells_words_stay_in_order(text: str, events: list[tuple[float, int, int]]) -> None:
    spans = spoken_spans(text)
    starts = engine_starts(spans, events)
    assert starts == sorted(starts) and len(starts) in (0, len(spans))


@settings(deadline=None)
@given(st.text(max_size=40), st.lists(st.integers(-32768, 32767), min_size=1, max_size=100), _EVENTS)
def test_an_alignment_keeps_its_promises_for_any_sound_and_text(
    text: str, sound: list[int], events: list[tuple[float, int, int]]
) -> None:
    spans = spoken_spans(text)
    samples = np.array(sound, np.int16)
    for facts in ({}, {"words": events}):
        found = module._unaligned(text, spans, samples, 8000, facts)
        assert [word.text for word in found.words] == [text[a:b] for a, b in spans]
        assert all(0 <= w.start <= w.end <= len(sound) / 8000 + 0.001 for w in found.words)
        assert json.loads(found.model_dump_json())["method"] in ("engine", "estimated")
