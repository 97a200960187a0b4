"""Engine `elevenlabs`: speech over ElevenLabs' web API, one paid request a line.

Covers the request, its limits and what each answer means. The key is a secret: it is in the request's header
and nowhere else. Markup is spoken, not obeyed, as with every engine. The voice has no pitch control, and its
speed has narrow limits: what cannot be done is refused before anything is paid.
"""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from pydantic import SecretStr

from callsheet.errors import (
    AddressRefused,
    CallsheetError,
    DownloadFailed,
    EngineUnable,
    ProviderError,
    SettingMissing,
    SpeechFailed,
    VoiceUnknown,
)
from callsheet.models import Voice
from callsheet.recipes import EngineId, SpeechRecipe
from callsheet.speech.casting import Pools
from callsheet.speech.wav import levelled, trim, write_wav
from callsheet.store.base import Outcome, Room

if TYPE_CHECKING:
    import httpx  # at run time where it is needed: it takes 0.15 s

API = "https://api.elevenlabs.io"
MODEL = "eleven_turbo_v2_5"
"""The model that holds to a language_code."""

SAMPLE_RATE = 22050
MAX_BYTES = 2 * SAMPLE_RATE * 600
"""Ten minutes of speech: the longest line takes a tenth of it."""

WORDS_PER_MINUTE = 165
"""Taken for the voice's own speed, 1.0."""

SPEEDS = (0.7, 1.2)
"""What the API takes."""

PITCH = 50
"""The only pitch there is: the voice's own."""

POOLS = Pools(
    female=("EXAVITQu4vr4xnSDxMaL", "XrExE9yKIg1WjnnlVkGX", "Xb7hH8MSUJpSbSDYk0k2", "FGY2WhTYpPnrIDTdsKH5",
            "pFZP5JQG7iQjIQuC4Bku", "cgSgspJ2msm6clMCkdW9", "9BWtsMINqrJLrRacOk9x", "XB0fDUnXU5powFXDhCwa"),
    male=("JBFqnCBsd6RMkjVDRZzb", "nPczCjzI2devNBz1zQrb", "onwK4e9ZLuTAKqWW03F9", "TX3LPaxmHKxFdv7VOQHJ",
          "cjVigY5qzO86Huf0OWal", "iP95p4xoKVk53GoZ742B", "CwhRBWXzGAHq8TQ4Fs17", "bIHbv24MWmeRgasZH58o"),
    young=(),
)
"""Premade voices that every account has. Sarah, Matilda, Alice, Laura, Lily, Jessica, Aria, Charlotte;
George, Brian, Daniel, Liam, Eric, Chris, Roger, Will. There are no children among them."""

LANGUAGES = (
    "ar", "bg", "cs", "da", "de", "el", "en", "es", "fi", "fil", "fr", "hi", "hr", "hu", "id", "it", "ja", "ko",
    "ms", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sv", "ta", "tr", "uk", "vi", "zh",
)
"""Of the model; a region is accepted and left to the voice."""

_KEY = re.compile(r"[!-~]{8,256}")
_VOICE = re.compile(r"[A-Za-z0-9]{8,64}")
_MARKUP = str.maketrans({"<": "‹", ">": "›", "[": "(", "]": ")"})
"""Characters that begin a tag such as <break/>, and what is sent in their place."""


class ElevenLabs:
    """Speaks with an ElevenLabs account. `timeout` is the total for one line, in seconds."""

    def __init__(self, api_key: SecretStr | None, base_url: str = API, timeout: float = 60.0) -> None:
        url = urlsplit(base_url)
        if url.scheme != "https" and url.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise AddressRefused(url=base_url, detail="the key would travel unencrypted")
        key = api_key.get_secret_value().strip() if api_key else ""
        self._key = SecretStr(key) if key else None
        self._base_url = base_url.rstrip("/")
        self._timeout = timeout

    @property
    def id(self) -> EngineId:
        return EngineId(name="elevenlabs", version=1, model=MODEL)

    def able(self) -> str:
        """Empty when there is a key. Whether the account accepts it only a paid line can tell."""
        try:
            self._secret()
        except SettingMissing as error:
            return str(error)
        return ""

    def languages(self) -> tuple[str, ...]:
        """Languages it speaks, as the first part of a tag: `en` covers `en-us`."""
        return LANGUAGES

    def cast_voice(self, voice: Voice, position: int, actor_id: str) -> str:
        """The voice id that is named, else a premade one of the actor's gender."""
        return voice.name or POOLS.voice("elevenlabs", position, actor_id)

    def speak(self, recipe: SpeechRecipe, room: Room) -> Outcome:
        """Files: main. Facts: seconds, sample_rate.

        Raises SpeechFailed, VoiceUnknown, EngineUnable, SettingMissing; ProviderError and DownloadFailed may
        pass when it is tried again.
        """
        key, body = self._secret(), _body(recipe)
        with ThreadPoolExecutor(1) as thread:             # the caller may be inside an event loop of its own
            data = thread.submit(asyncio.run, self._fetch(recipe, body, key)).result()
        if len(data) % 2:
            raise ProviderError(provider="ElevenLabs", detail=f"{len(data)} bytes, which is half a sample too many")
        samples, _ = trim(np.frombuffer(data, "<i2").astype(np.int16), SAMPLE_RATE)
        if not samples.size:
            raise SpeechFailed(engine="elevenlabs", text=recipe.text[:60], detail="nothing but silence came back")
        return Outcome(
            files={"main": write_wav(room.path("speech.wav"), levelled(samples), SAMPLE_RATE)},
            facts={"seconds": len(samples) / SAMPLE_RATE, "sample_rate": SAMPLE_RATE},
            made_by="elevenlabs",
        )

    def _secret(self) -> SecretStr:
        if self._key is None:
            raise SettingMissing(subject="ElevenLabs API key", variable="ELEVENLABS_API_KEY")
        if not _KEY.fullmatch(self._key.get_secret_value()):
            raise _bad_key("it has spaces or other characters that no key has, or its length is wrong")
        return self._key

    async def _fetch(self, recipe: SpeechRecipe, body: dict[str, Any], key: SecretStr) -> bytes:
        """The samples. The one deadline covers everything, a dripping answer too."""
        import httpx

        url = f"{self._base_url}/v1/text-to-speech/{recipe.voice}"
        headers = {"xi-api-key": key.get_secret_value(), "accept": "audio/*"}
        try:
            async with (
                asyncio.timeout(self._timeout),
                httpx.AsyncClient(timeout=self._timeout) as client,
                client.stream("POST", url, params={"output_format": f"pcm_{SAMPLE_RATE}"}, json=body,
                              headers=headers) as response,
            ):
                return await _receive(response, recipe, key)
        except TimeoutError:
            raise DownloadFailed(url=url, detail=f"no end after {self._timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:      # its words could quote a header: the type says enough
            raise DownloadFailed(url=url, detail=type(error).__name__) from None


def _body(recipe: SpeechRecipe) -> dict[str, Any]:
    """The request as JSON. Raises VoiceUnknown and EngineUnable for what this engine cannot do."""
    if not _VOICE.fullmatch(recipe.voice):
        detail = f"{recipe.voice!r} is not an ElevenLabs voice id"
        raise VoiceUnknown(engine="elevenlabs", text=recipe.text[:60], detail=detail)
    language = re.split("[-_]", recipe.language.lower())[0]
    if language not in LANGUAGES:
        detail = f"no language {recipe.language!r}; there are {', '.join(LANGUAGES)}"
        raise VoiceUnknown(engine="elevenlabs", text=recipe.text[:60], detail=detail)
    if recipe.pitch != PITCH:
        raise EngineUnable(engine="elevenlabs", what=f"pitch {recipe.pitch}", detail="it has no pitch control",
                           remedy=f"set pitch to {PITCH}, or choose the engine espeak")
    speed = recipe.words_per_minute / WORDS_PER_MINUTE
    if not SPEEDS[0] <= speed <= SPEEDS[1]:
        low, high = (round(WORDS_PER_MINUTE * limit) for limit in SPEEDS)
        raise EngineUnable(engine="elevenlabs", what=f"{recipe.words_per_minute} words a minute",
                           detail=f"its range is {low} to {high}",
                           remedy="stay within the range, or choose the engine espeak")
    return {
        "text": recipe.text.translate(_MARKUP),
        "model_id": MODEL,
        "language_code": language,
        "voice_settings": {"speed": round(speed, 3)},
        "seed": int(recipe.fingerprint[:8], 16),          # the API's best effort at equal sound
    }


async def _receive(response: httpx.Response, recipe: SpeechRecipe, key: SecretStr) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > MAX_BYTES:
            raise ProviderError(provider="ElevenLabs", detail=f"more than {MAX_BYTES} bytes for one line")
    kind = response.headers.get("content-type", "").split(";")[0]
    if response.status_code != 200:
        raise _refusal(response.status_code, bytes(data), recipe, key)
    if kind.startswith("text/") or kind == "application/json":
        raise ProviderError(provider="ElevenLabs", detail=f"200 with {kind} where sound should be")
    return bytes(data)


def _refusal(status: int, data: bytes, recipe: SpeechRecipe, key: SecretStr) -> CallsheetError:
    """The error for an answer other than 200."""
    kind, message = _reason(data.replace(key.get_secret_value().encode(), b"[key]"))
    said = f"{status}: {message or 'no message'}"
    if status == 402 or kind == "quota_exceeded":
        return EngineUnable(engine="elevenlabs", what="this line", detail=said,
                            remedy="raise the account's quota or plan, or choose the engine espeak")
    if status in (401, 403):
        return _bad_key(said)
    if status in (404, 422) or kind == "voice_not_found":
        return VoiceUnknown(engine="elevenlabs", text=recipe.text[:60], detail=f"voice {recipe.voice}, {said}")
    if status in (408, 425, 429) or status >= 500 or status < 400:
        return ProviderError(provider="ElevenLabs", detail=said)
    return SpeechFailed(engine="elevenlabs", text=recipe.text[:60], detail=said)


def _reason(data: bytes) -> tuple[str, str]:
    """The API's own word for what is wrong, and its message: one line of at most 200 characters."""
    try:
        detail = json.loads(data)["detail"]
    except (ValueError, LookupError, TypeError):
        detail = data[:400].decode(errors="replace")
    if isinstance(detail, list):                          # validation: one entry a field
        detail = detail[0] if detail else ""
    if isinstance(detail, dict):
        kind, detail = str(detail.get("status", "")), detail.get("message") or detail.get("msg") or ""
    else:
        kind = ""
    return kind, " ".join(str(detail).split())[:200]


def _bad_key(why: str) -> SettingMissing:
    return SettingMissing(subject=f"an ElevenLabs API key that works ({why})", variable="ELEVENLABS_API_KEY to one")

