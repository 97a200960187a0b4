"""Engine `dia`: speech by the model Dia 1.6B, in English, on a GPU or, slowly, on a processor.

A voice is a seed (`dia:7`) or a recording with its words in the folder speech/voices of the models. A seed's voice
first says a fixed text; every line is then spoken as what comes after that, so one actor sounds alike in all of them.
The same line in the same voice gives the same sound on the same kind of device. Dia has no speed and no pitch: the
speed is set afterwards, another pitch is refused. Cues in round brackets, such as (laughs), are acted, not read.
"""

from __future__ import annotations

import re
from importlib import util
from pathlib import Path

import numpy as np

from callsheet.errors import EngineUnable, SpeechFailed
from callsheet.media.ffmpeg import Command, local_input, reader
from callsheet.models import Voice
from callsheet.recipe import digest
from callsheet.recipes import EngineId, SpeechRecipe
from callsheet.speech.dia_model import (
    MAX_TOKENS,
    RATE,
    TOKENS_PER_S,
    Model,
    Sample,
    Signal,
    Tell,
    device_of,
    loaded,
)
from callsheet.speech.dia_voices import MARKUP, RAW_OUT, Voices, unknown
from callsheet.speech.wav import Samples, levelled, trim, write_wav
from callsheet.store.base import Outcome, Progress, Room
from callsheet.weights import weights

WORDS_PER_MINUTE = 165
"""Taken for the model's own speed, 1.0."""

SPEEDS = (0.5, 2.0)
"""Beyond these a stretched voice is no longer one."""

PITCH = 50
"""The only pitch there is: the voice's own."""

MAX_BYTES = 1024
"""Of text that the model reads at a time, a sample's words among them."""

MAX_CHARACTERS = 700
"""Of a line: at 15 a second more would not be said within MAX_TOKENS."""

SHORTEST_S = 0.1
"""No word is shorter: what is was cut off."""

TRIES = 3
"""Generations with another seed each, where one finds no end, or says next to nothing."""

SAMPLE_WORDS = "The street was still asleep when we came home, and nobody had noticed that the lights were on."
"""What a seed's voice says first: about six seconds."""

_VOICE_SHARE = 0.3
"""Of a line's progress, where its voice has to speak first."""


class Dia:
    """Speaks with Dia, whose weights lie below `models`."""

    def __init__(self, models: Path, device: str = "auto") -> None:
        self._models, self._wanted = models, device
        self._voices = Voices(models / "speech" / "voices")

    @property
    def id(self) -> EngineId:
        return EngineId(name="dia", version=1, model="dia-1.6b")

    def able(self) -> str:
        """Empty when weights, libraries and the device are there, else what is missing and how to get it."""
        lost = [name for name in ("dia", "dac") if not self._whole(name)]
        if lost:
            return f"its weights are not in {self._models}: run `callsheet models download {' '.join(lost)}`"
        if any(util.find_spec(name) is None for name in ("torch", "transformers")):
            return "torch and transformers are not there: install the extra `models`"
        if not device_of(self._wanted):
            return f"there is no GPU here for device {self._wanted}: set CALLSHEET_DEVICE=cpu to speak slowly without"
        return ""

    @property
    def quick(self) -> bool:
        """Whether it is able here and on a GPU. On a processor a second of speech takes minutes."""
        return self._wanted != "cpu" and not self.able()

    def languages(self) -> tuple[str, ...]:
        """Languages it speaks, as the first part of a tag: `en` covers `en-us`."""
        return ("en",)

    def cast_voice(self, voice: Voice, position: int, actor_id: str) -> str:
        """The recording that is named, with its digest, else a seed of the actor's own. It knows no gender or age."""
        return self._voices.cast(voice, position, actor_id)

    def speak(self, recipe: SpeechRecipe, room: Room) -> Outcome:
        """Files: main. Facts: seconds, sample_rate.

        Raises SpeechFailed, VoiceUnknown, EngineUnable, FileChanged, MediaError, MediaUnreadable, OutOfMemory.
        """
        speed = _speed(recipe)
        words = " ".join(recipe.text.translate(MARKUP).split())
        given = self._voices.given(recipe)
        _check_length(words, given.words if isinstance(given, Sample) else SAMPLE_WORDS)
        dia, codec = (self._models / weights(name).folder for name in ("dia", "dac"))
        with loaded(dia, codec, self._device(), lambda what: room.progress(0.0, what)) as model:
            telling = _Telling(room.progress)
            voice = given if isinstance(given, Sample) else _sample(model, given, telling)
            signal = _spoken(model, words, recipe, telling, voice)
        samples = _stretched(signal, speed, room) if speed != 1 else _integers(signal)
        samples, _ = trim(samples, RATE)
        return Outcome(
            files={"main": write_wav(room.path("speech.wav"), levelled(samples), RATE)},
            facts={"seconds": len(samples) / RATE, "sample_rate": RATE},
            made_by="dia",
        )

    def _whole(self, name: str) -> bool:
        of = weights(name)
        folder = self._models / of.folder
        return folder.is_dir() and all(any(folder.glob(pattern)) for pattern in of.files)

    def _device(self) -> str:
        if reason := self.able():
            raise EngineUnable(engine="dia", what="speech", detail=reason)
        return device_of(self._wanted)


class _Telling:
    """A line's progress over all its generations: it never goes back."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._share = progress, 0.0

    def part(self, end: float, limit: int, what: str) -> Tell:
        """What tells about a generation of at most `limit` tokens, with which the share reaches `end`."""
        start = self._share

        def tell(tokens: int) -> None:
            self._share = max(self._share, min(start + (end - start) * tokens / limit, end))
            self._progress(self._share, f"{what}: {tokens / TOKENS_PER_S:.1f} s")

        return tell


def _speed(recipe: SpeechRecipe) -> float:
    """How much faster than the model speaks. Raises VoiceUnknown and EngineUnable for what it cannot do."""
    if re.split("[-_]", recipe.language.lower())[0] != "en":
        raise unknown(recipe, f"no language {recipe.language!r}; there is en")
    if recipe.pitch != PITCH:
        raise EngineUnable(engine="dia", what=f"pitch {recipe.pitch}", detail="it has no pitch control",
                           remedy=f"set pitch to {PITCH}, or choose the engine espeak")
    speed = recipe.words_per_minute / WORDS_PER_MINUTE
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        low, high = (round(WORDS_PER_MINUTE * limit) for limit in SPEEDS)
        raise EngineUnable(engine="dia", what=f"{recipe.words_per_minute} words a minute",
                           detail=f"its range is {low} to {high}",
                           remedy="stay within the range, or choose the engine espeak")
    return speed


def _tagged(words: str, sample_words: str = "") -> str:
    """As the model reads it: one speaker's turn, which begins with the words of the sample."""
    return " ".join(filter(None, ("[S1]", sample_words, words)))


def _check_length(words: str, sample_words: str) -> None:
    size = len(_tagged(words, sample_words).encode())
    if not words:
        raise EngineUnable(engine="dia", what="an empty line", detail="there is nothing to say in it",
                           remedy="give the line words, or take it out")
    if size > MAX_BYTES or len(words) > MAX_CHARACTERS:
        raise EngineUnable(
            engine="dia", what="a line this long", remedy="split the line, or choose another speech engine",
            detail=f"it has {len(words)} characters of at most {MAX_CHARACTERS}, and with its voice's own words {size} "
                   f"bytes of at most {MAX_BYTES}",
        )


def _limit(words: str) -> int:
    """Tokens after which a line has lost its way: over three times what it takes, and never more than MAX_TOKENS."""
    return min(MAX_TOKENS, round(TOKENS_PER_S * (2.0 + len(words) * 0.25)))


def _sample(model: Model, seed: int, telling: _Telling) -> Sample:
    """How a seed's voice sounds; made once, while it is kept. Raises EngineUnable."""
    voice = model.kept(seed)
    if voice is None:
        made = _tried(model, SAMPLE_WORDS, f"voice {seed}", telling, _VOICE_SHARE, "finding the voice", None)
        if made is None:
            raise EngineUnable(
                engine="dia", what=f"a voice of seed {seed}", detail=f"{TRIES} generations did not come to an end",
                remedy="choose another seed, such as dia:1, or a recording",
            )
        voice = Sample(made, SAMPLE_WORDS)
        model.keep(seed, voice)
    return voice


def _spoken(model: Model, words: str, recipe: SpeechRecipe, telling: _Telling, voice: Sample) -> Signal:
    made = _tried(model, words, f"{recipe.voice}/{words}", telling, 1.0, "speaking", voice)
    if made is None:
        raise EngineUnable(
            engine="dia", what=f"the line {recipe.text[:60]!r}",
            detail=f"{TRIES} generations came to no end, or said next to nothing",
            remedy="change its words a little, or choose another voice or speech engine",
        )
    return made


def _tried(
    model: Model, words: str, seed: str, telling: _Telling, end: float, what: str, after: Sample | None
) -> Signal | None:
    """The first generation that comes to an end and can be heard."""
    limit = _limit(words)
    for n in range(TRIES):
        tell = telling.part(end, limit, what)
        made = model.say(
            _tagged(words, after.words if after else ""), int(digest(f"{seed}/{n}")[:8], 16), limit, tell, after
        )
        if made is not None and len(made) >= SHORTEST_S * RATE and trim(_integers(made), RATE)[0].size:
            return made
    return None


def _integers(signal: Signal) -> Samples:
    return np.clip(np.rint(signal * 32767), -32768, 32767).astype(np.int16)


def _stretched(signal: Signal, speed: float, room: Room) -> Samples:
    """The same voice at another speed. Raises SpeechFailed when nothing is left."""
    raw = room.path("dia.pcm")
    raw.write_bytes(_integers(signal).astype("<i2").tobytes())
    source = ("-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", local_input(raw))
    with reader(Command((*source, "-af", f"atempo={speed:.6f}", *RAW_OUT), "set the speed of a line", 60.0)) as pipe:
        samples = np.frombuffer(pipe.read(), "<i2").astype(np.int16)
    raw.unlink()
    if not samples.size:
        raise SpeechFailed(engine="dia", text="", detail="nothing was left at another speed")
    return samples
