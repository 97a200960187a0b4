"""A loopback server that answers as ElevenLabs' text-to-speech does, and fails when told to.

Its voices are tones: the voice id chooses the frequency, the text and speed the length.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

KEY = "sk_canary0123456789abcdef"
KNOWN_VOICE = "EXAVITQu4vr4xnSDxMaL"
UNKNOWN_VOICE = "nobody00000000000000"


@dataclass
class Seen:
    """One request."""

    voice: str
    query: dict[str, list[str]]
    key: str
    body: dict[str, Any]


@dataclass
class Answer:
    """What to say in place of speech."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    claimed_length: int | None = None
    """Content-Length when it is to differ from the body's."""
    drip_s: float = 0.0
    """Pause after each of the body's bytes."""


class Server:
    """`answers` are used up first, in order; then it speaks."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.seen: list[Seen] = []
        self.url = ""


def problem(status: int, kind: str, message: str) -> Answer:
    """A refusal in the API's own words."""
    return Answer(status, json.dumps({"detail": {"status": kind, "message": message}}).encode())


def speech(voice: str, body: dict[str, Any]) -> bytes:
    """A tone between two silences of a quarter of a second, 16 bit at 22050 Hz."""
    rate = 22050
    seconds = len(body["text"]) * 0.02 / body["voice_settings"]["speed"]
    hertz = 120 + zlib.crc32(voice.encode()) % 200
    t = np.arange(round(seconds * rate)) / rate
    silence = np.zeros(rate // 4)
    tone = sum(np.sin(2 * np.pi * hertz * n * t) / n for n in range(1, 12)) * 0.2
    return (np.concatenate([silence, tone, silence]) * 32767).astype("<i2").tobytes()


@contextmanager
def running() -> Iterator[Server]:
    """A server on a free port of the loopback interface."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            url = urlsplit(self.path)
            voice = url.path.removeprefix("/v1/text-to-speech/")
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.seen.append(Seen(voice, parse_qs(url.query), self.headers["xi-api-key"], body))
            self.reply(self.choose(voice, body))

        def choose(self, voice: str, body: dict[str, Any]) -> Answer:
            if state.answers:
                return state.answers.pop(0)
            if self.headers["xi-api-key"] != KEY:
                return problem(401, "invalid_api_key", f"Invalid API key {self.headers['xi-api-key']}")
            if voice == UNKNOWN_VOICE:
                return problem(404, "voice_not_found", f"A voice with the id {voice} was not found.")
            return Answer(200, speech(voice, body), "audio/pcm")

        def reply(self, answer: Answer) -> None:
            length = len(answer.body) if answer.claimed_length is None else answer.claimed_length
            self.send_response(answer.status)
            for name, value in {"content-type": answer.content_type, "content-length": str(length),
                                **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                if answer.drip_s:
                    for byte in answer.body:
                        self.wfile.write(bytes([byte]))
                        time.sleep(answer.drip_s)
                else:
                    self.wfile.write(answer.body)
            except OSError:                               # the client went away, as it should
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    with Quiet(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
