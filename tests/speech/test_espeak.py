"""The espeak engine: its voices, its process, and that text is only ever text."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import combinations, count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from callsheet.errors import EngineUnable, SpeechFailed, VoiceUnknown
from callsheet.models import Voice
from callsheet.recipes import SpeechRecipe
from callsheet.speech import espeak
from callsheet.speech.espeak import POOLS, Espeak, full_voice
from callsheet.store.base import Outcome, Room
from tests.speech.listening import listen, pitch, rms_db, timbre

SENTENCE = "The quick brown fox jumps over the lazy dog, and we are home again."
_takes = count()


def speak(folder: Path, text: str = SENTENCE, engine: Espeak | None = None, **changes: Any) -> Outcome:
    room = folder / str(next(_takes))
    room.mkdir()
    engine = engine or Espeak()
    fields = {"engine": engine.id, "voice": "+f3", "words_per_minute": 165, "pitch": 50, "language": "en-us"}
    recipe = SpeechRecipe.model_validate(fields | {"text": text} | changes)
    return engine.speak(recipe, Room(room, lambda ref: Path(), lambda ref: {}))


def sound(folder: Path, text: str, **changes: Any) -> bytes:
    return speak(folder, text, **changes).files["main"].read_bytes()


def test_the_library_is_never_loaded_into_this_process(tmp_path: Path) -> None:
    speak(tmp_path)
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux lists a process's libraries")
    assert "espeak" not in maps.read_text()


def test_equal_recipes_are_equal_although_the_library_seeds_itself_from_the_clock(tmp_path: Path) -> None:
    first = sound(tmp_path, SENTENCE)
    time.sleep(1.1)                                       # its seed counts seconds
    assert sound(tmp_path, SENTENCE) == first


@pytest.mark.parametrize(("markup", "words"), [
    ('Go <break time="9s"/> on', ["Go", "break", "time", "on"]),
    ("<speak><prosody rate='x-slow'>Hello</prosody></speak>", ["speak", "prosody", "Hello"]),
])
def test_ssml_is_spoken_and_not_obeyed(tmp_path: Path, markup: str, words: list[str]) -> None:
    facts = speak(tmp_path, markup).facts
    spoken = [markup[offset:offset + length].strip("<>/\"'") for _, offset, length in facts["words"]]
    assert [word for word in words if word not in spoken] == [], f"{spoken}"
    pauses = np.diff([start for start, _, _ in facts["words"]])
    assert pauses.max() < 2, f"a pause of {pauses.max():.1f} s"


def test_phoneme_brackets_are_spoken_and_not_obeyed(tmp_path: Path) -> None:
    bracketed, spelt = speak(tmp_path, "[[hello]]"), speak(tmp_path, "hello")
    assert abs(bracketed.facts["seconds"] - spelt.facts["seconds"]) < 0.05, "'hello' in brackets is another word"
    coded = speak(tmp_path, "[[h@loU]]").facts["seconds"]     # obeyed, this would be 'hello' again
    assert coded > 1.2 * spelt.facts["seconds"], f"{coded:.2f} s against {spelt.facts['seconds']:.2f} s"


@pytest.mark.parametrize("control", ["\x01", "\x1b", "\x00", "\ue001"])
def test_control_characters_are_blanks_and_begin_no_command(tmp_path: Path, control: str) -> None:
    assert sound(tmp_path, f"say {control}90Phello") == sound(tmp_path, "say  90Phello")


def test_words_say_where_they_begin_in_the_sound_and_in_the_text(tmp_path: Path) -> None:
    text = "Héllo wörld, ça va? 日本 😀 ok. Next one!"
    facts = speak(tmp_path, text).facts
    starts = [start for start, _, _ in facts["words"]]
    spoken = [text[offset:offset + length] for _, offset, length in facts["words"]]
    latin = [word for word in spoken if word[0] < "ÿ"]
    assert latin == ["Héllo", "wörld", "ça", "va", "ok", "Next", "one"]
    assert starts == sorted(starts) and 0 <= starts[0] < 0.05 and starts[-1] < facts["seconds"], f"{starts}"


def test_silence_that_is_cut_off_the_front_moves_the_words_too(tmp_path: Path) -> None:
    start = speak(tmp_path, "[[hello]]").facts["words"][0][0]     # the brackets make a pause of 0.12 s
    assert 0 <= start < 0.05, f"{start:.3f} s"


def test_a_word_sounds_where_it_is_said_to_begin(tmp_path: Path) -> None:
    outcome = speak(tmp_path, "Stop, mother.")
    signal, rate = listen(outcome.files["main"])
    at = round(outcome.facts["words"][1][0] * rate)
    before, after = signal[at - rate // 20:at], signal[at:at + rate // 10]
    assert rms_db(after) > rms_db(before) + 20, f"{rms_db(before):.0f} dB before, {rms_db(after):.0f} dB after"


def test_women_men_and_children_differ_in_their_fundamental(tmp_path: Path) -> None:
    def hertz(names: Sequence[str]) -> list[float]:
        return [pitch(*listen(speak(tmp_path, voice=name).files["main"])) for name in names]

    female, male, young = hertz(POOLS.female), hertz(POOLS.male), hertz(POOLS.young)
    assert min(female) > 1.5 * max(male), f"female {min(female):.0f} Hz and up, male up to {max(male):.0f} Hz"
    lower = [(c, a) for c, a in zip(young, female, strict=True) if c <= a]
    assert not lower, f"children below the adult of their position: {lower}"


def test_every_voice_it_casts_sounds_different_from_every_other(tmp_path: Path) -> None:
    voices = (*POOLS.female, *POOLS.male, *POOLS.young)
    heard = {name: timbre(*listen(speak(tmp_path, voice=name).files["main"])) for name in voices}
    apart = {(a, b): np.abs(heard[a] - heard[b]).mean() for a, b in combinations(voices, 2)}
    nearest = min(apart, key=lambda pair: apart[pair])
    assert apart[nearest] > 0.5, f"{nearest}: {apart[nearest]:.2f} dB"


def test_pitch_raises_the_voice(tmp_path: Path) -> None:
    low, high = (pitch(*listen(speak(tmp_path, pitch=value).files["main"])) for value in (20, 80))
    assert high > 1.2 * low, f"{low:.0f} Hz at 20, {high:.0f} Hz at 80"


def test_a_voice_with_a_language_keeps_it(tmp_path: Path) -> None:
    assert sound(tmp_path, SENTENCE, voice="de+f3") == sound(tmp_path, SENTENCE, language="de")
    assert sound(tmp_path, SENTENCE, voice="de+f3") != sound(tmp_path, SENTENCE)


@pytest.mark.parametrize(("voice", "language", "full"), [
    ("+f3", "en-us", "en-us+f3"), ("+Mr serious", "pt_BR", "pt-br+Mr serious"), ("de+m1", "en-us", "de+m1"),
    ("de", "en-us", "de"),
])
def test_a_variant_takes_the_language_of_the_line(voice: str, language: str, full: str) -> None:
    assert full_voice(voice, language) == full


@pytest.mark.parametrize(("changes", "near"), [
    ({"language": "de-de"}, "near it: de,?"), ({"language": "en-xx"}, "en-us"), ({"voice": "+f33"}, "near it: f3"),
    ({"voice": "+../f3"}, "no voice"), ({"voice": "{0}"}, "no language"), ({"language": "fo"}, "no language"),
])
def test_what_it_does_not_have_is_refused_with_what_is_near(
    tmp_path: Path, changes: dict[str, Any], near: str
) -> None:
    with pytest.raises(VoiceUnknown, match=near):
        speak(tmp_path, **changes)


@pytest.mark.parametrize("text", ["...", " \n ", "\x01\x02"])
def test_a_line_without_a_word_is_a_failure_and_not_a_silent_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpeechFailed, match="nothing to say"):
        speak(tmp_path, text)


def test_languages_are_known_before_anything_is_spoken() -> None:
    known = Espeak().languages()
    assert {"en-us", "en-gb", "de", "fr-fr", "ja", "zh"} <= set(known) and known == tuple(sorted(known))


@pytest.mark.soak
def test_every_language_it_offers_speaks(tmp_path: Path) -> None:
    silent = []
    for language in Espeak().languages():
        try:
            speak(tmp_path, "mama tata", language=language)
        except SpeechFailed as error:
            silent.append((language, str(error)))
    assert silent == []


def test_the_longest_line_at_the_slowest_rate_is_spoken(tmp_path: Path) -> None:
    assert speak(tmp_path, "again " * 166, words_per_minute=80).facts["seconds"] > 60


def program(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> None:
    path = folder / "program.py"
    path.write_text(source)
    monkeypatch.setattr(espeak, "PROGRAM", path)


@pytest.mark.parametrize(("source", "says"), [
    ("import os; os.kill(os.getpid(), 11)", "ended with -11"),
    ("import sys; sys.exit('out of luck')", "ended with 1: out of luck"),
    ("print('no json')", "ended with 0"),
])
def test_a_crash_of_the_library_is_a_failed_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, says: str
) -> None:
    program(monkeypatch, tmp_path, source)
    with pytest.raises(SpeechFailed, match=says):
        speak(tmp_path)


def test_a_library_that_hangs_is_ended_at_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(monkeypatch, tmp_path, "import time; time.sleep(60)")
    with pytest.raises(SpeechFailed, match=r"no end after 0\.3 s"):
        speak(tmp_path, engine=Espeak(timeout_s=0.3))


def test_no_key_of_ours_is_in_the_environment_of_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", "canary")
    program(monkeypatch, tmp_path, "import os, sys; sys.exit(' '.join(f'{k}={v}' for k, v in os.environ.items()))")
    with pytest.raises(SpeechFailed, match="ended with 1") as failed:
        speak(tmp_path)
    assert "canary" not in str(failed.value)


def test_without_the_wheel_it_says_so_and_is_not_able(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callsheet.speech.espeak.util.find_spec", lambda name: None)
    assert Espeak().able() == "espeak-ng is not there: install espeakng-loader"


def test_broken_data_is_told_apart_from_a_bad_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = espeak._package()
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / espeak._library_name()).symlink_to(wheel / espeak._library_name())
    (tmp_path / "lib" / "espeak-ng-data").mkdir()
    monkeypatch.setattr(espeak, "_package", lambda: tmp_path / "lib")
    with pytest.raises(EngineUnable, match="reinstall"):
        speak(tmp_path)


def test_it_works_from_a_folder_whose_path_is_longer_than_the_library_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path.joinpath(*["a-very-long-name-of-a-folder" * 6] * 3)
    deep.mkdir(parents=True)
    (deep / "wheel").symlink_to(espeak._package())
    monkeypatch.setattr(espeak, "_package", lambda: deep / "wheel")
    assert speak(tmp_path).facts["seconds"] > 1


def test_its_program_needs_nothing_of_callsheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(monkeypatch, tmp_path, espeak.PROGRAM.read_text())
    monkeypatch.chdir(tmp_path)
    assert speak(tmp_path).facts["seconds"] > 1


def test_importing_the_engine_starts_nothing_and_loads_no_library() -> None:
    code = "import sys, callsheet.speech.espeak; sys.exit('espeakng_loader' in sys.modules or 'httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_voice_is_cast_by_gender_and_age() -> None:
    def cast(actor: str) -> str:
        return Espeak().cast_voice(Voice(), 0, actor)

    assert cast("0001_european_20_female") in POOLS.female
    assert cast("0002_african_45_male") in POOLS.male
    assert cast("0003_asian_9_female") in POOLS.young and cast("0004_asian_17_male") in POOLS.young
