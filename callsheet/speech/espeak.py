"""Engine `espeak`: offline speech in about a hundred languages, by espeak-ng as it comes in a wheel.

The library is never loaded here but in a process of its own (espeak_process.py), with limits: it is under
the GPL, it is C, and the text is a stranger's. Covers voices, languages, placing the line and the process.
It reads no markup: text is spoken as it stands. Of Japanese it reads kana, not kanji.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Sequence
from functools import cached_property
from importlib import metadata, util
from pathlib import Path
from typing import Any

from callsheet.errors import EngineUnable, SpeechFailed, VoiceUnknown
from callsheet.models import Voice
from callsheet.recipes import EngineId, SpeechRecipe
from callsheet.speech.apart import EndedBadly, run_apart
from callsheet.speech.casting import Pools
from callsheet.speech.wav import levelled, read_wav, trim, write_wav
from callsheet.store.base import Outcome, Room

PROGRAM = Path(__file__).with_name("espeak_process.py")

POOLS = Pools(
    female=("+f3", "+f1", "+f2", "+f4", "+steph", "+grandma", "+shelby", "+aunty"),
    male=("+m3", "+m7", "+m1", "+m4", "+m8", "+m2", "+m5", "+m6"),
    young=("+anika", "+Annie", "+linda", "+Andrea", "+belinda", "+Alicia", "+zac", "+f5"),
)
"""Measured medians of the fundamental: female 170 to 200 Hz, male 80 to 102 Hz, young 199 to 340 Hz."""

_WHEEL = "espeakng-loader"


class Espeak:
    """Speaks with espeak-ng. `timeout_s` is the wall-clock limit for one line."""

    def __init__(self, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s

    @property
    def id(self) -> EngineId:
        return EngineId(name="espeak", version=1, model=_wheel_version())

    def able(self) -> str:
        """Empty when the library starts here, else why not."""
        try:
            self._voices  # noqa: B018  starting it is the test
        except EngineUnable as error:
            return f"{error.facts['detail']}: {error.fix}"
        return ""

    def languages(self) -> tuple[str, ...]:
        """Language tags it speaks, sorted, such as `en-us`. Raises EngineUnable."""
        return tuple(self._voices["languages"])

    def cast_voice(self, voice: Voice, position: int, actor_id: str) -> str:
        """A variant such as `+f3`, spoken in the line's language; a name of the form `en-us+f3` keeps its own."""
        return voice.name or POOLS.voice("espeak", position, actor_id)

    def speak(self, recipe: SpeechRecipe, room: Room) -> Outcome:
        """Files: main. Facts: seconds, sample_rate, words: [start in seconds, offset in the text, length] each.

        Raises SpeechFailed, VoiceUnknown, EngineUnable.
        """
        raw = room.path("espeak.wav")
        request = {
            "voice": full_voice(recipe.voice, recipe.language), "wpm": recipe.words_per_minute,
            "pitch": recipe.pitch, "text": recipe.text, "out": str(raw.absolute()),
        }
        said = self._ask(request, recipe.text)
        samples, rate = read_wav(raw)
        samples, shift = trim(samples, rate)
        if not samples.size:
            raise SpeechFailed(engine="espeak", text=recipe.text[:60], detail="there is nothing to say in it")
        return Outcome(
            files={"main": write_wav(room.path("speech.wav"), levelled(samples), rate)},
            facts={
                "seconds": len(samples) / rate,
                "sample_rate": rate,
                "words": [[max(0.0, start + shift), offset, length] for start, offset, length in said["words"]],
            },
            made_by="espeak",
        )

    def pronounce(self, texts: Sequence[str], language: str) -> list[str]:
        """How each text is said, in IPA; empty for what is not said at all.

        Raises SpeechFailed, VoiceUnknown, EngineUnable.
        """
        ipa: list[str] = self._ask({"voice": full_voice("", language), "pronounce": list(texts)}, texts[0])["ipa"]
        return ipa

    @cached_property
    def _voices(self) -> dict[str, Any]:
        try:
            return self._ask({"voices": True}, "")
        except SpeechFailed as error:
            raise EngineUnable(engine="espeak", what="speech", detail=error.facts["detail"]) from error

    def _ask(self, request: dict[str, Any], text: str) -> dict[str, Any]:
        """Run the process once. Raises SpeechFailed, VoiceUnknown, EngineUnable."""
        package = _package()
        request |= {"library": str(package / _library_name()), "data": str(package / "espeak-ng-data")}
        answer = self._run(json.dumps(request).encode(), text)
        kind, detail = answer.get("error"), str(answer.get("detail", ""))
        if kind == "library":
            raise EngineUnable(engine="espeak", what="speech", detail=detail, remedy=f"reinstall {_WHEEL}")
        if kind == "language":
            near = _near(detail, self.languages())
            raise VoiceUnknown(engine="espeak", text=text[:60], detail=f"no language {detail!r}; near it: {near}")
        if kind == "variant":
            near = _near(detail, self._voices["variants"])
            raise VoiceUnknown(engine="espeak", text=text[:60], detail=f"no voice {detail!r}; near it: {near}")
        if kind:
            raise SpeechFailed(engine="espeak", text=text[:60], detail=detail)
        return answer

    def _run(self, request: bytes, text: str) -> dict[str, Any]:
        try:
            return run_apart(PROGRAM, request, self._timeout_s)
        except OSError as error:
            raise EngineUnable(engine="espeak", what="speech", detail=str(error)) from error
        except EndedBadly as error:
            raise SpeechFailed(engine="espeak", text=text[:60], detail=str(error)) from None


def full_voice(voice: str, language: str) -> str:
    """`en-us+f3` from a variant `+f3` and the line's language; a voice with a language of its own keeps it."""
    own, plus, variant = voice.partition("+")
    return (own or language).lower().replace("_", "-") + plus + variant


def _near(asked: str, known: tuple[str, ...] | list[str]) -> str:
    """What a person may have meant: spelt alike, or the same language elsewhere."""
    family = asked.lower().split("-")[0]
    alike = sorted((name for name in known if name.lower().split("-")[0] == family), key=len)
    lowered = {name.lower(): name for name in known}
    alike += [lowered[name] for name in difflib.get_close_matches(asked.lower(), lowered, n=5, cutoff=0.5)]
    return ", ".join(list(dict.fromkeys(alike))[:8]) or f"nothing, but there are {', '.join(known[:8])} ..."


def _wheel_version() -> str:
    try:
        return f"{_WHEEL} {metadata.version(_WHEEL)}"
    except metadata.PackageNotFoundError:
        return ""


def _package() -> Path:
    """Folder of the wheel, found without importing it. Raises EngineUnable."""
    found = util.find_spec("espeakng_loader")
    if found is None or not found.submodule_search_locations:
        raise EngineUnable(engine="espeak", what="speech", detail="espeak-ng is not there", remedy=f"install {_WHEEL}")
    return Path(found.submodule_search_locations[0]).absolute()


def _library_name() -> str:
    return "libespeak-ng.dylib" if sys.platform == "darwin" else "libespeak-ng.so"
