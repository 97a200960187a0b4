"""The espeak-ng library in a process of its own: one JSON request on standard input, one JSON answer.

espeak-ng is under the GPL, so it is loaded here and nowhere else. This file is started by its path with
`python -I -S`: it needs the standard library alone and imports nothing of callsheet.

    {"library": PATH, "data": FOLDER, "voices": true}
        -> {"languages": {"en-us": "gmw/en-US", ...}, "variants": ["f1", ...], "version": "1.52.0"}
    {"library": PATH, "data": FOLDER, "voice": "en-us+f3", "wpm": 165, "pitch": 50, "text": "...", "out": PATH}
        -> {"seconds": 1.2, "sample_rate": 22050, "words": [[start_s, text_offset, length], ...]}
    {"library": PATH, "data": FOLDER, "voice": "en-us", "pronounce": ["Anna", "12"]}
        -> {"ipa": ["ˈænə", "twˈɛlv"]}
    any -> {"error": "library" | "language" | "variant" | "synthesis" | "length", "detail": ...}

The WAV is mono, 16 bit, as the library speaks it: silence at its ends is left for the caller to trim.
Text is plain text: no SSML, no phoneme brackets, no embedded commands.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import sys
import unicodedata
import wave
from typing import Any

MAX_SECONDS = 900
MEMORY_BYTES = 2 << 30

_SYNCHRONOUS = 2                 # AUDIO_OUTPUT_SYNCHRONOUS: samples go to the callback, in this thread
_DONT_EXIT = 0x8000              # report missing data instead of ending the process
_RATE, _PITCH = 1, 3             # espeak_PARAMETER
_CHARACTERS = 1                  # espeak_POSITION_TYPE
_UTF8 = 1                        # espeakCHARS_UTF8; neither espeakSSML nor espeakPHONEMES is ever added
_IPA = 2                         # of espeak_TextToPhonemes: the alphabet of its answer
_END, _WORD = 0, 1               # espeak_EVENT_TYPE
_MUTE = {"fo", "kaa", "xex"}     # named in the wheel's data but without a dictionary: every text is silence
_SEED = 1                        # the library seeds its pitch flutter from the clock: equal requests would differ


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _Id),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p), ("languages", ctypes.c_void_p), ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte), ("age", ctypes.c_ubyte), ("variant", ctypes.c_ubyte), ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int), ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Refused(Exception):
    """What the answer's `error` and `detail` say."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error, self.detail = error, detail


class Speaker:
    """The initialised library."""

    def __init__(self, library: str, data: str) -> None:
        try:
            self.library = ctypes.CDLL(library)
            os.chdir(os.path.dirname(data))             # noqa: PTH120  it cuts long paths off; a dot is short
        except OSError as error:
            raise Refused("library", str(error)) from error
        self.rate: int = self.library.espeak_Initialize(_SYNCHRONOUS, 0, b".", _DONT_EXIT)
        if self.rate <= 0:
            raise Refused("library", f"no usable data in {data}")
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))

    def version(self) -> str:
        self.library.espeak_Info.restype = ctypes.c_char_p
        return str(self.library.espeak_Info(None).decode())

    def languages(self) -> dict[str, str]:
        """Language tag -> the voice that speaks it best."""
        best: dict[str, tuple[int, str]] = {}
        for voice in self._voices(None):
            name = voice.identifier.decode()
            for priority, tag in _tags(voice.languages):
                if tag not in best or priority < best[tag][0]:
                    best[tag] = (priority, name)
        return {tag: name for tag, (_, name) in sorted(best.items()) if tag not in _MUTE}

    def variants(self) -> list[str]:
        tag = ctypes.c_char_p(b"variant")
        wanted = _Voice(languages=ctypes.cast(tag, ctypes.c_void_p).value)
        return sorted(voice.identifier.decode().removeprefix("!v/") for voice in self._voices(wanted))

    def _voices(self, like: _Voice | None) -> list[_Voice]:
        self.library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        found = self.library.espeak_ListVoices(ctypes.byref(like) if like else None)
        voices: list[_Voice] = []
        while found[len(voices)]:
            voices.append(found[len(voices)].contents)
        return voices

    def choose(self, voice: str) -> None:
        """`language`, or `language+variant`. The library takes an unknown variant for none: checked here."""
        language, _, variant = voice.partition("+")
        languages = self.languages()
        if language not in languages:
            raise Refused("language", language)
        if variant and variant not in self.variants():
            raise Refused("variant", variant)
        name = languages[language] + (f"+{variant}" if variant else "")
        if self.library.espeak_SetVoiceByName(name.encode()) != 0:
            raise Refused("language", language)

    def speak(self, text: str, wpm: int, pitch: int) -> tuple[bytes, list[list[float]]]:
        """16-bit samples in the machine's byte order, and where each word begins."""
        samples = bytearray()
        words: list[list[float]] = []

        def take(wav: Any, count: int, events: Any) -> int:
            if wav and count > 0:
                samples.extend(ctypes.string_at(wav, count * 2))
            n = 0
            while events[n].type != _END:
                event = events[n]
                if event.type == _WORD and _is_word(text, event.text_position - 1, event.length):
                    words.append([event.sample / self.rate, event.text_position - 1, event.length])
                n += 1
            return int(len(samples) > 2 * self.rate * MAX_SECONDS)       # 1 stops the synthesis

        callback = _Callback(take)
        self.library.espeak_SetSynthCallback(callback)
        for parameter, value in ((_RATE, wpm), (_PITCH, pitch)):
            if self.library.espeak_SetParameter(parameter, value, 0) != 0:
                raise Refused("synthesis", f"parameter {parameter} refuses {value}")
        data = plain(text).encode()
        status = self.library.espeak_Synth(
            data, ctypes.c_size_t(len(data) + 1), 0, _CHARACTERS, 0, _UTF8, None, None
        )
        if status != 0:
            raise Refused("synthesis", f"status {status}")
        if len(samples) > 2 * self.rate * MAX_SECONDS:
            raise Refused("length", f"more than {MAX_SECONDS} s of speech")
        return bytes(samples), words

    def pronounce(self, text: str) -> str:
        """How a text is said, in the International Phonetic Alphabet."""
        self.library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        data = ctypes.create_string_buffer(plain(text).encode())
        rest = ctypes.c_void_p(ctypes.addressof(data))
        clauses = []
        while rest.value:                               # one clause a call; it moves `rest` on, at last to null
            clauses.append(self.library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, _IPA) or b"")
        return b" ".join(clauses).decode(errors="replace").strip()


def plain(text: str) -> str:
    """The same number of characters without control characters: some begin a command to the library."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") else c for c in text)


def _is_word(text: str, offset: int, length: int) -> bool:
    return offset >= 0 and length > 0 and bool(text[offset:offset + length].strip())


def _tags(address: int) -> list[tuple[int, str]]:
    """espeak-ng's list of languages: a priority byte and a text each, until a zero byte."""
    tags, at = [], address
    while priority := ctypes.string_at(at, 1)[0]:
        tag = ctypes.string_at(at + 1)
        tags.append((priority, tag.decode().lower()))
        at += len(tag) + 2
    return tags


def write_wav(path: str, samples: bytes, rate: int) -> None:
    """A whole file or none."""
    partial = f"{path}.partial"
    with wave.open(partial, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples)
    os.replace(partial, path)                           # noqa: PTH105  without pathlib it starts faster


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what one request asks. Raises Refused."""
    speaker = Speaker(request["library"], request["data"])
    if request.get("voices"):
        return {"languages": speaker.languages(), "variants": speaker.variants(), "version": speaker.version()}
    speaker.choose(request["voice"])
    if "pronounce" in request:
        return {"ipa": [speaker.pronounce(text) for text in request["pronounce"]]}
    samples, words = speaker.speak(request["text"], request["wpm"], request["pitch"])
    write_wav(request["out"], samples, speaker.rate)
    return {"seconds": len(samples) / 2 / speaker.rate, "sample_rate": speaker.rate, "words": words}


def main() -> None:
    with contextlib.suppress(ValueError):               # not every system can limit it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    request = json.load(sys.stdin)
    try:
        said = answer(request)
    except Refused as refused:
        said = {"error": refused.error, "detail": refused.detail}
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
