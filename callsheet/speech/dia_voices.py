"""Voices of Dia: seeds without end, and recordings in a folder with their words beside them.

A recording's name gets the digest of its sound and words, so that a recipe says which of them it means. Knows neither
the model nor what is said.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from callsheet.errors import FileChanged, MediaError, MediaUnreadable, VoiceUnknown
from callsheet.media.ffmpeg import HOSTILE_INPUT, Command, local_input, reader
from callsheet.models import Voice
from callsheet.recipe import digest
from callsheet.recipes import SpeechRecipe
from callsheet.speech.dia_model import RATE, Sample
from callsheet.store.base import sha256_of

SEEDS = 2**32

SAMPLE_S = (2.0, 20.0)
"""How long a recording may be."""

MARKUP = str.maketrans("", "", "[]<>")
"""Left out of all words: [S1] and <pad> are not words to the model."""

RAW_OUT = ("-ac", "1", "-ar", str(RATE), "-f", "s16le", "pipe:1")
"""ffmpeg's output options for samples as the model has them."""

_SOUNDS = (".wav", ".flac", ".mp3", ".m4a")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SEEDED = re.compile(r"dia:(0|[1-9][0-9]{0,9})")
_RECORDED = re.compile(r"([A-Za-z0-9_-]{1,64}):([0-9a-f]{16})")


class Voices:
    """All voices there are, with recordings in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def cast(self, voice: Voice, position: int, actor_id: str) -> str:
        """The recording that is named, with its digest, else a seed of the actor's own at that place of a cast."""
        if not voice.name:
            return f"dia:{int(digest(f'{actor_id}/{position}')[:8], 16)}"
        recording = self._recording(voice.name) if _NAME.fullmatch(voice.name) else None
        return f"{voice.name}:{_digest(recording)}" if recording else voice.name

    def given(self, recipe: SpeechRecipe) -> Sample | int:
        """The recipe's voice: a recording, or a seed. Raises VoiceUnknown, FileChanged, MediaUnreadable."""
        seeded, recorded = _SEEDED.fullmatch(recipe.voice), _RECORDED.fullmatch(recipe.voice)
        if seeded and int(seeded[1]) < SEEDS:
            return int(seeded[1])
        path = self._recording(recorded[1]) if recorded else None
        if recorded is None or path is None:
            there = sorted({each.stem for each in self._folder.glob("*") if each.suffix in _SOUNDS})
            raise unknown(recipe, f"no voice {recipe.voice!r}; there are dia:0 to dia:{SEEDS - 1}, and in "
                                  f"{self._folder} {', '.join(there) or 'no recordings'}")
        if _digest(path) != recorded[2]:
            raise FileChanged(path=str(path))
        return _sample(path, recipe)

    def _recording(self, name: str) -> Path | None:
        return next((path for kind in _SOUNDS if (path := self._folder / f"{name}{kind}").is_file()), None)


def unknown(recipe: SpeechRecipe, detail: str) -> VoiceUnknown:
    return VoiceUnknown(engine="dia", text=recipe.text[:60], detail=detail)


def _digest(recording: Path) -> str:
    """Of a recording and its words together."""
    text = recording.with_suffix(".txt")
    return digest(f"{sha256_of(recording)}/{sha256_of(text) if text.is_file() else ''}")[:16]


def _sample(path: Path, recipe: SpeechRecipe) -> Sample:
    """A recording and what is said in it. Raises VoiceUnknown without its words, MediaUnreadable."""
    text = path.with_suffix(".txt")
    words = " ".join(_read(text).translate(MARKUP).split()) if text.is_file() else ""
    if not words:
        raise unknown(recipe, f"{path.name} has no words: write what is said in it into {text.name} beside it")
    arguments = (*HOSTILE_INPUT, "-i", local_input(path), "-vn", "-t", str(SAMPLE_S[1] + 1), *RAW_OUT)
    sound = Command(arguments, f"read {path.name}", 60.0)
    try:
        with reader(sound) as pipe:
            signal = np.frombuffer(pipe.read(), "<i2").astype(np.float32) / np.float32(32768)
    except MediaError as error:
        raise MediaUnreadable(path=path.name, kind="a voice", detail=error.facts["detail"]) from error
    seconds = len(signal) / RATE
    if not SAMPLE_S[0] <= seconds <= SAMPLE_S[1]:
        raise MediaUnreadable(
            path=path.name, kind="a voice", detail=f"it lasts {seconds:.1f} s",
            remedy=f"cut it to {SAMPLE_S[0]:g} to {SAMPLE_S[1]:g} s, and its words with it",
        )
    return Sample(signal, words)


def _read(text: Path) -> str:
    try:
        return text.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MediaUnreadable(path=text.name, kind="text", detail="it is not UTF-8",
                              remedy="save it as UTF-8") from error
