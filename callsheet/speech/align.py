"""When each word and phone of a spoken line is heard.

English is aligned with an acoustic model (PocketSphinx, in a process of its own: align_process.py). Other
languages, and English lines that cannot be aligned, get the speech engine's own times of words, else times in
proportion to their length; the method is recorded. Covers any text: what is not spoken belongs to the word
before it, and every visible letter is in some word.
"""

from __future__ import annotations

import json
import re
import wave
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata, util
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from callsheet.alignment import SILENCE, Alignment, Phone
from callsheet.errors import EngineError, EngineUnable, MediaUnreadable
from callsheet.graphemes import columns, spoken_spans
from callsheet.models import SpokenWord
from callsheet.recipes import AlignRecipe
from callsheet.speech.apart import EndedBadly, run_apart
from callsheet.speech.espeak import Espeak
from callsheet.speech.pronounce import pronunciations
from callsheet.speech.wav import TAIL_S, Samples, read_wav, voiced_clock
from callsheet.store.base import Outcome, Room

PROGRAM = Path(__file__).with_name("align_process.py")
RATE = 16000
"""Of the acoustic model, in Hz."""

STRETCHES = (1.15, 1.0, 1.3, 0.9)
"""The sound is heard so much slower and deeper, as a longer vocal tract would say it, until the words are found.
Of 24 synthetic voices, children's among them, all are found at the first."""

_QUIET_S = 0.2
"""Around the line: the model begins and ends in silence."""
_HISS = 10.0
"""Standard deviation of the noise that is added, of 32768: digital silence is like nothing the model knows."""

_PACKAGE = "pocketsphinx"
_TIMEOUT_S = 60.0
_INSTEAD = {"engine": "the speech engine's own", "estimated": "estimated from their length"}

Span = tuple[int, int]


def align(recipe: AlignRecipe, room: Room) -> Outcome:
    """Find the times of a line's words, and of its phones where it is English.

    Files: main, an Alignment as JSON. Facts: words ([text, start, end] each, in seconds of the line), method,
    phones (how many). A warning says why an English line could not be aligned. Raises MediaUnreadable.
    """
    path = room.fetch(recipe.audio)
    try:
        samples, rate = read_wav(path)
    except (OSError, EOFError, wave.Error) as error:
        raise MediaUnreadable(path=path.name, kind="a spoken line", detail=str(error)) from error
    spans = spoken_spans(recipe.text)
    why = ""
    if _is_english(recipe.language) and spans:
        try:
            return _outcome(_aligned(recipe.text, spans, samples, rate, room), room)
        except EngineError as error:
            why = str(error.facts["detail"])
    found = _unaligned(recipe.text, spans, samples, rate, room.facts(recipe.audio))
    warnings = (f"{recipe.label or 'a line'}: its words could not be aligned ({why}), their times are "
                f"{_INSTEAD[found.method]}",) if why else ()
    return _outcome(found, room, warnings)


def _outcome(alignment: Alignment, room: Room, warnings: tuple[str, ...] = ()) -> Outcome:
    target = room.path("alignment.json")
    target.write_text(alignment.model_dump_json(), encoding="utf-8")
    return Outcome(
        files={"main": target},
        facts={
            "words": [[word.text, word.start, word.end] for word in alignment.words],
            "method": alignment.method,
            "phones": len(alignment.phones),
        },
        made_by=_version() if alignment.method == "aligned" else f"callsheet, {alignment.method}",
        warnings=warnings,
    )


def _is_english(language: str) -> bool:
    return re.split("[-_]", language.lower())[0] == "en"


def _version() -> str:
    return f"{_PACKAGE} {metadata.version(_PACKAGE)}"


def _aligned(text: str, spans: Sequence[Span], samples: Samples, rate: int, room: Room) -> Alignment:
    """Forced alignment. Raises EngineError."""
    model = _model()
    words = [text[start:end] for start, end in spans]
    ways = pronunciations(words, model / "cmudict-en-us.dict", Espeak())
    said = [n for n, each in enumerate(ways) if each]
    if not said:
        raise EngineError(engine=_PACKAGE, what="an alignment", detail="there is nothing to say in it")
    seconds = len(samples) / rate
    found = _ask(model, [ways[n] for n in said], samples, rate, room)
    phones = {n: [(symbol, _within(a, seconds), _within(b, seconds)) for symbol, a, b in each]
              for n, each in zip(said, found, strict=True)}
    heard: list[SpokenWord] = []
    for n, word in enumerate(words):
        at = heard[-1].end if heard else phones[said[0]][0][1]
        start, end = (phones[n][0][1], phones[n][-1][2]) if n in phones else (at, at)
        heard.append(SpokenWord(text=word, start=start, end=end))
    return Alignment(
        words=tuple(heard), phones=_without_gaps([p for n in said for p in phones[n]], seconds), method="aligned"
    )


def _ask(
    model: Path, ways: Sequence[Sequence[Sequence[str]]], samples: Samples, rate: int, room: Room
) -> list[list[tuple[str, float, float]]]:
    """The phones of each word that can be said in these ways. Raises EngineError."""
    names = [f"w{n}" for n in range(len(ways))]
    dictionary, pcm = room.path("words.dict"), room.path("line.pcm")
    dictionary.write_text("".join(
        f"{name}{f'({k + 1})' if k else ''} {' '.join(phones)}\n"
        for name, each in zip(names, ways, strict=True) for k, phones in enumerate(each)
    ), encoding="ascii")
    request = json.dumps({
        "packages": str(model.parents[2]), "model": str(model / "en-us"), "words": names,
        "dictionary": str(dictionary.absolute()), "pcm": str(pcm.absolute()),
    }).encode()
    why = ""
    for stretch in STRETCHES:
        pcm.write_bytes(_heard(samples, rate, stretch).astype("<i2").tobytes())
        try:
            answer = run_apart(PROGRAM, request, _TIMEOUT_S)
        except (OSError, EndedBadly) as error:
            raise EngineError(engine=_PACKAGE, what="an alignment", detail=str(error)) from error
        if "error" not in answer:
            return [[(symbol, *((t - _QUIET_S) / stretch for t in span)) for symbol, *span in word]
                    for word in answer["words"]]
        why = why or str(answer["detail"])
    raise EngineError(engine=_PACKAGE, what="an alignment", detail=why)


def _heard(samples: Samples, rate: int, stretch: float) -> Samples:
    """The line as the model is given it: slower, between silences, over a little noise that is always the same."""
    line = resampled(samples, rate, round(RATE * stretch))
    noise = np.random.default_rng(1).normal(0.0, _HISS, len(line) + 2 * round(RATE * _QUIET_S))
    noise[round(RATE * _QUIET_S):][:len(line)] += line
    return np.clip(np.round(noise), -32768, 32767).astype(np.int16)


def _model() -> Path:
    """Folder of the American English model. Raises EngineUnable."""
    found = util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise EngineUnable(
            engine=_PACKAGE, what="an alignment", detail="it is not there", remedy=f"install {_PACKAGE}")
    return Path(found.submodule_search_locations[0]).absolute() / "model/en-us"


def _within(t: float, seconds: float) -> float:
    return round(min(max(t, 0.0), seconds), 3)


def _without_gaps(phones: Sequence[tuple[str, float, float]], seconds: float) -> tuple[Phone, ...]:
    """The phones, with silence wherever there is none, from the line's beginning to its end."""
    whole: list[Phone] = []
    at = 0.0
    for symbol, start, end in [*phones, (SILENCE, seconds, seconds)]:
        if start > at:
            whole.append(Phone(symbol=SILENCE, start=at, end=start))
        if end > start:
            whole.append(Phone(symbol=symbol, start=start, end=end))
        at = max(at, end)
    return tuple(whole)


def resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    """The same sound at another rate, without what that rate cannot hold."""
    if rate == wanted or not samples.size:
        return samples
    count = round(len(samples) * wanted / rate)
    spectrum = np.fft.rfft(samples.astype(np.float64))
    kept = np.fft.irfft(spectrum[:count // 2 + 1], count) * (count / len(samples))
    return np.clip(np.round(kept), -32768, 32767).astype(np.int16)


def _unaligned(
    text: str, spans: Sequence[Span], samples: Samples, rate: int, facts: Mapping[str, Any]
) -> Alignment:
    seconds = len(samples) / rate
    if not spans:
        return Alignment(words=(), method="estimated")
    starts = engine_starts(spans, facts.get("words") or [])
    if starts:
        ends = [*starts[1:], max(starts[-1], seconds - TAIL_S)]
        return Alignment(words=_spoken(text, spans, zip(starts, ends, strict=True), seconds), method="engine")
    weights = np.cumsum([0, *(max(1, columns(text[a:b])) for a, b in spans)])
    times = voiced_clock(samples, rate)
    clock = [float(np.interp(w / weights[-1], *times)) for w in weights]
    return Alignment(words=_spoken(text, spans, pairwise(clock), seconds), method="estimated")


def engine_starts(spans: Sequence[Span], events: Sequence[Sequence[float]]) -> list[float]:
    """When each word begins, from an engine's [start in seconds, offset in the text, length] each.

    A word that the engine did not tell of begins in proportion between its neighbours. Empty without events.
    """
    known: dict[int, float] = {}
    for start, offset, _ in events:
        n = bisect_right(spans, offset, key=lambda span: span[0]) - 1
        if n >= 0 and start >= max(known.values(), default=0.0):
            known.setdefault(n, start)
    if not known:
        return []
    return [float(t) for t in np.interp(range(len(spans)), list(known), list(known.values()))]


def _spoken(
    text: str, spans: Sequence[Span], times: Iterable[tuple[float, float]], seconds: float
) -> tuple[SpokenWord, ...]:
    words: list[SpokenWord] = []
    for (first, last), (start, end) in zip(spans, times, strict=True):
        start, end = _within(start, seconds), _within(end, seconds)
        words.append(SpokenWord(text=text[first:last], start=start, end=max(start, end)))
    return tuple(words)
