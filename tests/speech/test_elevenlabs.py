"""The ElevenLabs engine against a loopback server: the request, every way it can fail, and the key's secrecy."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
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
from callsheet.recipes import SpeechRecipe
from callsheet.speech.elevenlabs import API, MAX_BYTES, ElevenLabs
from callsheet.store.base import Outcome, Room
from tests.speech.elevenlabs_server import KEY, KNOWN_VOICE, UNKNOWN_VOICE, Answer, Server, problem, running


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running() as it:
        yield it


def engine(server: Server, key: str = KEY, timeout: float = 30.0) -> ElevenLabs:
    return ElevenLabs(SecretStr(key), server.url, timeout)


def recipe(**changes: object) -> SpeechRecipe:
    fields: dict[str, object] = {
        "engine": ElevenLabs(None).id, "voice": KNOWN_VOICE, "words_per_minute": 165, "pitch": 50,
        "language": "en-us", "text": "We are home again.",
    }
    return SpeechRecipe.model_validate(fields | changes)


def speak(folder: Path, engine: ElevenLabs, **changes: object) -> Outcome:
    return engine.speak(recipe(**changes), Room(folder, lambda ref: Path(), lambda ref: {}))


def test_the_request_is_as_the_api_documents_it(tmp_path: Path, server: Server) -> None:
    speak(tmp_path, engine(server), words_per_minute=132, language="de-at")
    seen = server.seen[0]
    assert (seen.voice, seen.query, seen.key) == (KNOWN_VOICE, {"output_format": ["pcm_22050"]}, KEY)
    seed = seen.body.pop("seed")
    assert seen.body == {
        "text": "We are home again.", "model_id": "eleven_turbo_v2_5", "language_code": "de",
        "voice_settings": {"speed": 0.8},
    }
    assert 0 <= seed < 2**32


def test_the_seed_follows_the_recipe(tmp_path: Path, server: Server) -> None:
    for text in ("One.", "One.", "Two."):
        speak(tmp_path, engine(server), text=text)
    first, same, other = (seen.body["seed"] for seen in server.seen)
    assert first == same != other


def test_markup_reaches_the_api_as_plain_text(tmp_path: Path, server: Server) -> None:
    speak(tmp_path, engine(server), text='Go <break time="9s"/> [laughs] on')
    assert server.seen[0].body["text"] == 'Go ‹break time="9s"/› (laughs) on'


@pytest.mark.parametrize(("answer", "kind", "says", "again"), [
    (problem(401, "invalid_api_key", "Invalid API key"), SettingMissing, "ELEVENLABS_API_KEY", False),
    (problem(403, "forbidden", "no permission"), SettingMissing, "ELEVENLABS_API_KEY", False),
    (problem(401, "quota_exceeded", "0 credits remaining"), EngineUnable, "0 credits.*quota", False),
    (problem(402, "payment_required", "a paid plan"), EngineUnable, "402: a paid plan", False),
    (problem(404, "voice_not_found", "was not found"), VoiceUnknown, f"{KNOWN_VOICE}, 404", False),
    (problem(400, "voice_not_found", "was not found"), VoiceUnknown, "was not found", False),
    (Answer(422, json.dumps({"detail": [{"loc": ["body"], "msg": "bad voice"}]}).encode()), VoiceUnknown,
     "422: bad voice", False),
    (problem(400, "text_refused", "not this text"), SpeechFailed, "400: not this text", True),
    (problem(429, "too_many_concurrent_requests", "slow down"), ProviderError, "429: slow down", True),
    (Answer(500, b"oops", "text/plain"), ProviderError, "500: oops", True),
    (Answer(503, b"", "text/plain"), ProviderError, "503: no message", True),
    (Answer(307, b"", headers={"location": "http://127.0.0.1:9/"}), ProviderError, "307", True),
    (Answer(200, b"{}"), ProviderError, "200 with application/json", True),
    (Answer(200, b"\0\0\0", "audio/pcm"), ProviderError, "3 bytes", True),
    (Answer(200, bytes(4000), "audio/pcm"), SpeechFailed, "nothing but silence", True),
    (Answer(200, b"", "audio/pcm"), SpeechFailed, "nothing but silence", True),
    (Answer(200, bytes(100), "audio/pcm", claimed_length=9000), DownloadFailed, "RemoteProtocolError", True),
    (Answer(502, b"\xff\xfe" * 900, "text/html"), ProviderError, "502", True),
], ids=lambda value: f"{value.status}-{value.body[:24]!r}" if isinstance(value, Answer) else "")
def test_each_answer_becomes_the_error_that_says_what_to_do(
    tmp_path: Path, server: Server, answer: Answer, kind: type[CallsheetError], says: str, again: bool
) -> None:
    server.answers.append(answer)
    with pytest.raises(kind, match=says) as failed:
        speak(tmp_path, engine(server))
    assert type(failed.value) is kind and failed.value.retryable is again
    assert list(tmp_path.iterdir()) == [], "a failed line leaves no file"
    assert len(server.seen) == 1, "a redirect must not be followed: the key would go along"


def test_an_answer_without_end_is_cut_off_at_the_cap(tmp_path: Path, server: Server) -> None:
    server.answers.append(Answer(200, bytes(MAX_BYTES + 2), "audio/pcm"))
    with pytest.raises(ProviderError, match=f"more than {MAX_BYTES} bytes"):
        speak(tmp_path, engine(server))


def test_an_answer_that_drips_is_ended_at_the_total_deadline(tmp_path: Path, server: Server) -> None:
    server.answers.append(Answer(200, bytes(6000), "audio/pcm", drip_s=0.05))
    with pytest.raises(DownloadFailed, match=r"no end after 0\.4 s"):
        speak(tmp_path, engine(server, timeout=0.4))


def test_a_server_that_is_not_there_can_be_tried_again(tmp_path: Path) -> None:
    with running() as gone:
        url = gone.url
    with pytest.raises(DownloadFailed, match="ConnectError") as failed:
        speak(tmp_path, ElevenLabs(SecretStr(KEY), url))
    assert failed.value.retryable


@pytest.mark.parametrize("key", [None, SecretStr(""), SecretStr(" \n")])
def test_without_a_key_nothing_is_asked_and_the_setting_is_named(tmp_path: Path, key: SecretStr | None) -> None:
    unset = ElevenLabs(key)
    assert "ELEVENLABS_API_KEY" in unset.able()
    with pytest.raises(SettingMissing, match="ElevenLabs API key is required: set ELEVENLABS_API_KEY"):
        speak(tmp_path, unset)


def test_a_key_with_a_line_end_from_its_file_works(tmp_path: Path, server: Server) -> None:
    speak(tmp_path, engine(server, key=f"{KEY}\n"))
    assert server.seen[0].key == KEY


@pytest.mark.parametrize("changes", [{"pitch": 60}, {"words_per_minute": 100}, {"words_per_minute": 240}])
def test_what_it_cannot_do_is_refused_before_anything_is_paid(
    tmp_path: Path, server: Server, changes: dict[str, object]
) -> None:
    with pytest.raises(EngineUnable, match="espeak"):
        speak(tmp_path, engine(server), **changes)
    assert server.seen == []


@pytest.mark.parametrize("voice", ["en-us+f3", "../v1/user", "a/b", "x?y=1", "", UNKNOWN_VOICE + "\n"])
def test_a_name_that_is_no_voice_id_never_becomes_part_of_an_address(
    tmp_path: Path, server: Server, voice: str
) -> None:
    with pytest.raises(VoiceUnknown):
        speak(tmp_path, engine(server), voice=voice)
    assert server.seen == []


@pytest.mark.parametrize("url", ["http://api.example.com", "ftp://api.example.com", "api.example.com"])
def test_a_key_never_travels_unencrypted(url: str) -> None:
    with pytest.raises(AddressRefused):
        ElevenLabs(SecretStr(KEY), url)


def test_the_default_address_is_the_service_itself() -> None:
    assert API == "https://api.elevenlabs.io" and ElevenLabs(SecretStr(KEY)).able() == ""


def test_it_works_inside_a_running_event_loop(tmp_path: Path, server: Server) -> None:
    async def inside() -> Outcome:
        return speak(tmp_path, engine(server))

    assert asyncio.run(inside()).facts["seconds"] > 0


@pytest.mark.parametrize("case", ["refused", "echoed", "long echo", "gone", "bad key", "drip"])
def test_the_key_is_in_no_error_and_no_log(
    tmp_path: Path, server: Server, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    caplog.set_level(logging.DEBUG)
    key = {"refused": "sk_wrong_canary0123", "bad key": "sk_canary\nx: y01234567"}.get(case, KEY)
    server.answers += {
        "echoed": [Answer(500, f"bad header xi-api-key: {KEY}".encode(), "text/plain")],
        "long echo": [Answer(500, b"x" * 190 + KEY.encode(), "text/plain")],
        "drip": [Answer(200, bytes(600), "audio/pcm", drip_s=0.05)],
    }.get(case, [])
    if case == "gone":
        with running() as gone:
            server.url = gone.url
    asked = engine(server, key, timeout=0.3)
    with pytest.raises(CallsheetError) as failed:
        speak(tmp_path, asked)
    error = failed.value
    shown = [str(error), repr(error), repr(asked), repr(asked.__dict__), pickle.dumps(error).decode("latin-1"),
             "".join(traceback.format_exception(error)), caplog.text]
    assert [text for text in shown if "canary" in text] == []
