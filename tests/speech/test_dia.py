"""Dia: voices, seeds, the end of a line, and what it refuses. On tiny random weights."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from callsheet.errors import (
    CallsheetError,
    Cancelled,
    EngineUnable,
    FileChanged,
    MediaUnreadable,
    VoiceUnknown,
)
from callsheet.models import Voice
from callsheet.recipes import SpeechRecipe
from callsheet.settings import Settings
from callsheet.speech import dia as module
from callsheet.speech import dia_model
from callsheet.speech.choose import choose
from callsheet.speech.dia import Dia
from callsheet.speech.dia_model import VOICES, Model, Sample
from callsheet.speech.dia_voices import Voices
from callsheet.speech.espeak import Espeak
from callsheet.store.base import Outcome
from tests.speech.listening import listen
from tests.support.clips import room
from tests.tiny.speech import tiny_dia

pytest.importorskip("transformers", reason="the extra `models` is not installed")
pytestmark = pytest.mark.slow

TEXT = "We are home again."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import torch

    torch.set_num_threads(1)                          # networks this small only wait for each other
    yield tiny_dia(tmp_path_factory.mktemp("models"))
    dia_model.free()


@pytest.fixture
def engine(models: Path) -> Dia:
    return Dia(models, "cpu")


def recipe(engine: Dia, **changes: object) -> SpeechRecipe:
    fields: dict[str, object] = {
        "engine": engine.id, "voice": "dia:7", "words_per_minute": 165, "pitch": 50, "language": "en-us", "text": TEXT,
    }
    return SpeechRecipe.model_validate(fields | changes)


_ROOMS = itertools.count()


def speak(engine: Dia, folder: Path, **changes: object) -> Outcome:
    return engine.speak(recipe(engine, **changes), room(folder / f"room{next(_ROOMS)}"))


def sound(engine: Dia, folder: Path, **changes: object) -> bytes:
    return speak(engine, folder, **changes).files["main"].read_bytes()


def write_recording(folder: Path, name: str, hertz: float, seconds: float = 3.0, words: str = "Good evening.") -> Path:
    """A voice in the folder of voices: a hum, and what it is said to say."""
    folder.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(round(seconds * 16000)) / 16000
    with wave.open(str(folder / f"{name}.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((np.sin(2 * np.pi * hertz * time_s) * 9000).astype("<i2").tobytes())
    if words:
        (folder / f"{name}.txt").write_text(words)
    return folder / f"{name}.wav"


def test_a_line_is_44100_hz_and_says_so(engine: Dia, tmp_path: Path) -> None:
    outcome = speak(engine, tmp_path)
    signal, rate = listen(outcome.files["main"])
    assert (rate, outcome.facts["sample_rate"]) == (44100, 44100)
    assert abs(outcome.facts["seconds"] - len(signal) / rate) < 1e-3


def test_the_same_line_sounds_the_same_whatever_else_draws_random_numbers(engine: Dia, tmp_path: Path) -> None:
    import torch

    first = sound(engine, tmp_path)
    torch.manual_seed(99)
    assert sound(engine, tmp_path) == first
    dia_model.free()                                  # as another process would: everything is loaded anew
    assert sound(engine, tmp_path) == first


@pytest.mark.parametrize("change", [{"voice": "dia:8"}, {"text": "We are home, all of us."}])
def test_another_voice_or_text_sounds_different(engine: Dia, tmp_path: Path, change: dict[str, object]) -> None:
    assert sound(engine, tmp_path) != sound(engine, tmp_path, **change)


def test_a_voice_is_found_once_and_then_kept(engine: Dia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, bool]] = []
    real = dia_model.Model.say

    def say(self: dia_model.Model, text: str, seed: int, limit: int, tell: dia_model.Tell,
            after: dia_model.Sample | None = None) -> dia_model.Signal | None:
        said.append((text, after is not None))
        return real(self, text, seed, limit, tell, after)

    monkeypatch.setattr(dia_model.Model, "say", say)
    dia_model.free()
    sound(engine, tmp_path)
    sound(engine, tmp_path, text="And nobody noticed.")
    alone = [text for text, after in said if not after]
    assert set(alone) == {f"[S1] {module.SAMPLE_WORDS}"}, alone
    assert said[-1] == (f"[S1] {module.SAMPLE_WORDS} And nobody noticed.", True)


def test_the_settings_of_the_model_reach_it(engine: Dia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import DiaForConditionalGeneration

    asked: dict[str, object] = {}
    real = DiaForConditionalGeneration.generate

    def generate(self: object, **given: object) -> object:
        asked.update(given)
        return real(self, **given)

    monkeypatch.setattr(DiaForConditionalGeneration, "generate", generate)
    sound(engine, tmp_path)
    figures = {name: asked[name] for name in ("guidance_scale", "temperature", "top_p", "top_k", "do_sample")}
    assert figures == {"guidance_scale": 5.0, "temperature": 1.4, "top_p": 0.9, "top_k": 45, "do_sample": True}
    assert dia_model.MAX_TOKENS == 4096 and int(str(asked["max_new_tokens"])) <= 4096


def test_a_recording_is_the_voice_and_its_digest_is_in_the_recipe(models: Path, engine: Dia, tmp_path: Path) -> None:
    voices = models / "speech" / "voices"
    low, high = (write_recording(voices, name, hertz) for name, hertz in (("low", 110.0), ("high", 330.0)))
    names = [engine.cast_voice(Voice(name=path.stem), 0, "0001_european_20_female") for path in (low, high)]
    assert [name.partition(":")[0] for name in names] == ["low", "high"] and names[0][-16:] != names[1][-16:]
    assert sound(engine, tmp_path, voice=names[0]) != sound(engine, tmp_path, voice=names[1])
    write_recording(voices, "low", 120.0)
    with pytest.raises(FileChanged, match="low"):
        speak(engine, tmp_path, voice=names[0])
    assert engine.cast_voice(Voice(name="low"), 0, "a") != names[0]


@pytest.mark.parametrize(("seconds", "words", "kind", "says"), [
    (3.0, "", VoiceUnknown, r"write what is said in it into mute\.txt"),
    (0.5, "Hm.", MediaUnreadable, r"it lasts 0\.5 s.*cut it to 2 to 20 s"),
    (30.0, "Long.", MediaUnreadable, r"cut it to 2 to 20 s"),
])
def test_a_recording_that_cannot_be_a_voice_says_what_to_change(
    models: Path, engine: Dia, tmp_path: Path, seconds: float, words: str, kind: type[CallsheetError], says: str
) -> None:
    recording = write_recording(models / "speech" / "voices", "mute", 200.0, seconds, words)
    try:
        with pytest.raises(kind, match=says):
            speak(engine, tmp_path, voice=engine.cast_voice(Voice(name="mute"), 0, "a"))
    finally:
        for path in (recording, recording.with_suffix(".txt")):
            path.unlink(missing_ok=True)


@pytest.mark.parametrize("voice", ["dia:4294967296", "dia:-1", "dia:007", "nobody:0123456789abcdef", "../x", "dia"])
def test_what_is_no_voice_is_refused_with_those_there_are(engine: Dia, tmp_path: Path, voice: str) -> None:
    with pytest.raises(VoiceUnknown, match=r"there are dia:0 to dia:4294967295"):
        speak(engine, tmp_path, voice=voice)


@pytest.mark.parametrize(("change", "says"), [
    ({"pitch": 60}, "no pitch control"), ({"words_per_minute": 80}, "its range is 82 to 330"),
    ({"words_per_minute": 400}, "its range is 82 to 330"),
    ({"text": "a" * 701}, r"701 characters of at most 700.*split"),
    ({"text": "日" * 400}, r"1300 bytes of at most 1024.*split"),
    ({"text": "[ ] <>"}, "nothing to say"),
])
def test_what_it_cannot_do_is_refused(engine: Dia, tmp_path: Path, change: dict[str, object], says: str) -> None:
    with pytest.raises(EngineUnable, match=says) as refused:
        speak(engine, tmp_path, **change)
    assert not refused.value.retryable


def test_a_tag_in_the_text_is_no_tag_to_the_model(
    engine: Dia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def say(self: object, text: str, seed: int, limit: int, tell: object, after: object = None) -> dia_model.Signal:
        read.append(text)
        return np.full(44100, 0.2, np.float32)

    monkeypatch.setattr(dia_model.Model, "say", say)
    sound(engine, tmp_path, voice="dia:11", text="We [S2] are\n<pad> home, (laughs).")
    dia_model.free()                                  # that voice was no real one
    assert read[-1] == f"[S1] {module.SAMPLE_WORDS} We S2 are pad home, (laughs)."


def test_a_line_that_finds_no_end_is_tried_with_other_seeds_and_then_fails_for_good(
    engine: Dia, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []

    def endless(self: object, text: str, seed: int, limit: int, tell: object, after: object = None) -> None:
        seeds.append(seed)

    sound(engine, tmp_path)                           # its voice is there
    monkeypatch.setattr(dia_model.Model, "say", endless)
    with pytest.raises(EngineUnable, match="3 generations came to no end, or said") as failed:
        speak(engine, tmp_path)
    assert len(set(seeds)) == 3 and not failed.value.retryable


def test_a_generation_that_reaches_its_limit_has_no_end(engine: Dia, tmp_path: Path) -> None:
    sound(engine, tmp_path)
    model = next(iter(dia_model._WARM.values()))
    assert model.say(f"[S1] {TEXT}", 1, 18, lambda tokens: None) is None
    ended = model.say(f"[S1] {TEXT}", 1, 2000, lambda tokens: None)
    assert ended is not None and len(ended) % 512 == 0 and len(ended) < 2000 * 512


def test_progress_never_goes_back_and_whatever_it_raises_ends_the_line_soon(engine: Dia, tmp_path: Path) -> None:
    told: list[float] = []
    dia_model.free()
    watched = dataclasses.replace(room(tmp_path / "a"), progress=lambda share, what: told.append(share))
    engine.speak(recipe(engine), watched)
    assert len(told) > 3 and told == sorted(told) and told[0] >= 0 and told[-1] <= 1, told

    count = itertools.count()

    def cancel(share: float, what: str) -> None:
        if next(count) == 2:
            raise Cancelled(what="a line")

    begun = time.monotonic()
    with pytest.raises(Cancelled):
        engine.speak(recipe(engine), dataclasses.replace(room(tmp_path / "b"), progress=cancel))
    assert next(count) == 3 and time.monotonic() - begun < 5
    assert list((tmp_path / "b").iterdir()) == [], "a cancelled line leaves no file"
    sound(engine, tmp_path)                           # the next one is spoken: nothing stayed locked


@pytest.mark.parametrize("damage", ["truncated", "missing weight", "pickle only"])
def test_weights_that_are_not_whole_are_refused_with_the_command_that_mends_them(
    models: Path, tmp_path: Path, damage: str
) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "models"
    shutil.copytree(models, copy)
    file = copy / "speech/dia-1.6b/model.safetensors"
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-1000])
    elif damage == "missing weight":
        tensors = load_file(file)
        tensors.pop("logits_dense.weight")
        save_file(tensors, file, metadata={"format": "pt"})
    else:
        file.rename(file.with_name("pytorch_model.bin"))
    with pytest.raises(EngineUnable, match=r"callsheet models download dia"):
        speak(Dia(copy, "cpu"), tmp_path)


def test_without_weights_it_says_which_and_how_to_get_them(models: Path, tmp_path: Path) -> None:
    shutil.copytree(models / "speech/dia-1.6b", tmp_path / "speech/dia-1.6b")
    assert "models download dac`" in Dia(tmp_path, "cpu").able()
    assert "models download dia dac`" in Dia(tmp_path / "nowhere", "cpu").able()


def test_on_auto_it_wants_a_gpu_and_speech_then_falls_to_espeak(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "device_of", lambda wanted: "cpu" if wanted == "cpu" else "")
    assert "no GPU" in Dia(models).able()
    here = {"CALLSHEET_MODELS": str(models), "CALLSHEET_DEVICE": "cpu"}
    assert isinstance(choose("auto", Settings.load(here)), Espeak), "minutes a second on a processor: only if asked"
    assert isinstance(choose("dia", Settings.load(here)), Dia)
    monkeypatch.setattr(module, "device_of", lambda wanted: "cuda")
    assert isinstance(choose("auto", Settings.load({"CALLSHEET_MODELS": str(models)})), Dia)


def test_every_actor_has_a_voice_of_its_own_without_end(models: Path) -> None:
    voices = {Dia(models).cast_voice(Voice(), n % 8, f"actor-{n}") for n in range(500)}
    assert len(voices) == 500


def test_voices_of_thousands_of_actors_do_not_fill_the_memory() -> None:
    model, voice = Model(None, None, "cpu"), Sample(np.zeros(1, np.float32), "a")
    for seed in range(1000):
        model.keep(seed, voice)
    kept = [seed for seed in range(1000) if model.kept(seed) is voice]
    assert kept == list(range(1000 - VOICES, 1000)), f"{len(kept)} are kept"


def test_words_in_another_encoding_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "speech" / "voices"
    folder.mkdir(parents=True)
    (folder / "ava.wav").touch()
    (folder / "ava.txt").write_bytes("Gr\u00fc\u00dfe".encode("latin-1"))
    voices = Voices(folder)
    recipe = SpeechRecipe.model_construct(text="hello", voice=voices.cast(Voice(name="ava"), 0, "ava"))
    with pytest.raises(MediaUnreadable, match=r"ava\.txt cannot be read as text"):
        voices.given(recipe)
