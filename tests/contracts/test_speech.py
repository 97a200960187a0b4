"""What every speech engine keeps. A new engine is one more line in ENGINES_UNDER_TEST and one in `studio`."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from callsheet.errors import EngineUnable, NotInStore, VoiceUnknown
from callsheet.models import Voice
from callsheet.recipe import Ref
from callsheet.recipes import AlignRecipe, SpeechRecipe
from callsheet.speech.align import align
from callsheet.speech.base import SpeechEngine
from callsheet.speech.choose import ENGINES
from callsheet.speech.dia import Dia
from callsheet.speech.elevenlabs import ElevenLabs
from callsheet.speech.espeak import Espeak
from callsheet.store.base import Outcome, Room
from tests.speech.elevenlabs_server import KEY, UNKNOWN_VOICE, running
from tests.speech.listening import listen, rms_db, silences, timbre

ENGINES_UNDER_TEST: dict[str, tuple[pytest.MarkDecorator, ...]] = {
    "espeak": (), "elevenlabs": (), "dia": (pytest.mark.slow,),
}
TEXT = "We are home again, and nobody has noticed."


@dataclass
class Studio:
    """An engine, and a fresh room for each line it speaks."""

    engine: SpeechEngine
    unknown_voice: str
    folder: Path
    takes: Iterator[int]
    language: str = "de"
    """One that it speaks, as it names it."""
    pool: bool = True
    """Whether it has a given number of voices, so that it runs out of them."""
    trained: bool = True
    """Whether its voices are real ones: untrained weights make noise of one colour, whoever speaks."""

    def recipe(self, **changes: object) -> SpeechRecipe:
        fields: dict[str, object] = {
            "engine": self.engine.id, "voice": self.engine.cast_voice(Voice(), 0, "0001_european_20_female"),
            "words_per_minute": 165, "pitch": 50, "language": "en-us", "text": TEXT,
        }
        return SpeechRecipe.model_validate(fields | changes)

    def speak(self, **changes: object) -> Outcome:
        folder = self.folder / str(next(self.takes))
        folder.mkdir()
        return self.engine.speak(self.recipe(**changes), Room(folder, nothing, lambda ref: {}))


def nothing(ref: Ref) -> Path:
    raise NotInStore(key=ref.fingerprint, url="a speech engine has no inputs")


@pytest.fixture(scope="session")
def tiny_speech(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    pytest.importorskip("transformers", reason="the extra `models` is not installed")
    import torch

    from callsheet.speech import dia_model
    from tests.tiny.speech import tiny_dia

    torch.set_num_threads(1)                          # networks this small only wait for each other
    yield tiny_dia(tmp_path_factory.mktemp("models"))
    dia_model.free()


@pytest.fixture(params=[pytest.param(name, marks=marks) for name, marks in ENGINES_UNDER_TEST.items()])
def studio(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    if request.param == "espeak":
        yield Studio(Espeak(), "+nobody", tmp_path, itertools.count())
        return
    if request.param == "dia":
        models = request.getfixturevalue("tiny_speech")
        yield Studio(Dia(models, "cpu"), "nobody", tmp_path, itertools.count(), "en", pool=False, trained=False)
        return
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running() as server:
        yield Studio(ElevenLabs(SecretStr(KEY), server.url), UNKNOWN_VOICE, tmp_path, itertools.count())


def test_every_engine_that_can_be_chosen_is_held_to_this_contract() -> None:
    assert set(ENGINES) == set(ENGINES_UNDER_TEST)


def test_an_engine_that_is_set_up_is_able_and_goes_by_its_name(studio: Studio) -> None:
    assert studio.engine.able() == ""
    assert studio.engine.id.name in ENGINES and studio.engine.id.model


def test_a_line_is_mono_16_bit_and_not_silent(studio: Studio) -> None:
    outcome = studio.speak()
    signal, rate = listen(outcome.files["main"])
    assert rate >= 16000 and -35 < rms_db(signal) < -6, f"{rate} Hz, {rms_db(signal):.1f} dB"
    assert outcome.made_by == studio.engine.id.name


def test_seconds_is_the_length_of_the_file_to_a_millisecond(studio: Studio) -> None:
    outcome = studio.speak()
    signal, rate = listen(outcome.files["main"])
    assert abs(outcome.facts["seconds"] - len(signal) / rate) < 0.001


def test_a_line_begins_after_30_ms_and_ends_80_ms_before_the_end(studio: Studio) -> None:
    signal, rate = listen(studio.speak().files["main"])
    lead, tail = silences(signal, rate)
    assert abs(lead - 0.030) < 0.001 and abs(tail - 0.080) < 0.001, f"{lead:.4f} s, {tail:.4f} s"


def test_equal_recipes_give_equal_bytes(studio: Studio) -> None:
    first, second = (studio.speak().files["main"].read_bytes() for _ in range(2))
    assert first == second


def test_the_words_of_a_line_can_be_timed_whatever_speaks_it(studio: Studio) -> None:
    outcome = studio.speak()
    recipe = AlignRecipe(audio=studio.recipe().ref(), text=TEXT, language="en-us")
    folder = outcome.files["main"].parent
    timed = align(recipe, Room(folder, lambda ref: outcome.files["main"], lambda ref: outcome.facts)).facts
    assert [word[0] for word in timed["words"]] == TEXT.split()
    times = [t for word in timed["words"] for t in word[1:]]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= outcome.facts["seconds"], times


def test_the_room_holds_no_half_written_file(studio: Studio) -> None:
    folder = studio.speak().files["main"].parent
    assert not [path.name for path in folder.iterdir() if "partial" in path.name]


def test_two_voices_of_a_cast_sound_different(studio: Studio) -> None:
    names = [studio.engine.cast_voice(Voice(), n, "0001_european_20_female") for n in range(2)]
    lines = [studio.speak(voice=name).files["main"] for name in names]
    assert lines[0].read_bytes() != lines[1].read_bytes()
    if not studio.trained:
        return
    first, second = (timbre(*listen(line)) for line in lines)
    assert np.abs(first - second).mean() > 1.0, f"{names} differ by {np.abs(first - second).mean():.2f} dB"


def test_more_words_a_minute_make_a_shorter_line(studio: Studio) -> None:
    slow, fast = (studio.speak(words_per_minute=wpm).facts["seconds"] for wpm in (130, 190))
    assert fast < 0.85 * slow, f"{fast:.2f} s against {slow:.2f} s"


def test_a_voice_the_engine_does_not_have_is_refused_for_good(studio: Studio) -> None:
    with pytest.raises(VoiceUnknown) as refused:
        studio.speak(voice=studio.unknown_voice)
    assert studio.unknown_voice.strip("+") in str(refused.value) and not refused.value.retryable


def test_a_language_the_engine_does_not_have_is_refused_with_what_there_is(studio: Studio) -> None:
    with pytest.raises(VoiceUnknown, match=rf"no language 'dex'.*\b{studio.language}\b"):
        studio.speak(language="dex")


def test_a_voice_that_is_named_is_the_one_that_is_cast(studio: Studio) -> None:
    assert studio.engine.cast_voice(Voice(name="en-us+f3"), 5, "0001_european_20_male") == "en-us+f3"


_IDS = st.one_of(
    st.builds("{0:04}_european_{1}_{2}".format, st.integers(0, 9999), st.integers(3, 99),
              st.sampled_from(["female", "male"])),
    st.text(string.ascii_lowercase + string.digits + "_-", min_size=1, max_size=20),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cast=st.lists(_IDS, min_size=1, max_size=8))
def test_any_cast_up_to_eight_has_as_many_voices_as_actors(studio: Studio, cast: list[str]) -> None:
    voices = [studio.engine.cast_voice(Voice(), n, actor) for n, actor in enumerate(cast)]
    assert len(set(voices)) == len(cast), f"{cast} -> {voices}"


def test_a_ninth_actor_is_told_to_take_a_voice_by_name(studio: Studio) -> None:
    if not studio.pool:
        pytest.skip("this engine does not run out of voices")
    with pytest.raises(EngineUnable, match="by name"):
        studio.engine.cast_voice(Voice(), 8, "0001_european_20_female")
