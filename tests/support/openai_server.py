"""A loopback server that answers as OpenAI's Images API does, and fails when told to.

Its pictures are two colours that the prompt chooses, in the size that is asked for.
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image
from pydantic import SecretStr

KEY = SecretStr("sk-proj-canary0123456789abcdef")
SIZES = ("1024x1024", "1536x1024", "1024x1536")


@dataclass
class Seen:
    """One request."""

    path: str
    authorization: str
    body: dict[str, Any]


@dataclass
class Answer:
    """What to say in place of a picture."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    """Before the first byte."""
    drip_s: float = 0.0
    """Pause after each of the body's bytes."""
    claimed_length: int | None = None
    """Content-Length when it is to differ from the body's."""


class Server:
    """`answers` are used up first, in order; then it draws."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.seen: list[Seen] = []
        self.files: dict[str, bytes] = {}
        """What can be fetched, by path."""
        self.broken = 0
        """So many fetches are answered 503."""
        self.url = ""


def problem(status: int, code: str | None, message: str, kind: str = "invalid_request_error", **headers: str) -> Answer:
    """A refusal in the API's own words."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps({"error": error}).encode(), named)


def entry(**fields: Any) -> Answer:
    """A success that holds these fields in place of a picture."""
    return Answer(200, json.dumps({"created": 1, "data": [fields]}).encode())


def png(size: str, prompt: str) -> bytes:
    """Left half one colour, right half another."""
    width, height = map(int, size.split("x"))
    colour = zlib.crc32(prompt.encode())
    image = Image.new("RGB", (width, height), (colour & 255, colour >> 8 & 255, colour >> 16 & 255))
    image.paste((colour >> 24 & 255, 40, 200), (width // 2, 0, width, height))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


@contextmanager
def running() -> Iterator[Server]:
    """A server on a free port of the loopback interface."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            state.seen.append(Seen(self.path, self.headers["authorization"], body))
            self.reply(self.choose(body))

        def do_GET(self) -> None:
            found = state.files.get(self.path)
            if state.broken:
                state.broken -= 1
                self.reply(Answer(503))
                return
            self.reply(Answer(200, found) if found is not None else Answer(404))

        def choose(self, body: dict[str, Any]) -> Answer:
            if state.answers:
                return state.answers.pop(0)
            if self.headers["authorization"] != f"Bearer {KEY.get_secret_value()}":
                return problem(401, "invalid_api_key", f"Incorrect API key: {self.headers['authorization']}")
            if body["size"] not in SIZES:
                return problem(400, "invalid_value", f"Invalid value: '{body['size']}'. Supported: {', '.join(SIZES)}.")
            picture = base64.b64encode(png(body["size"], body["prompt"])).decode()
            said = {"created": 1, "data": [{"b64_json": picture}], "usage": {"total_tokens": 1100}}
            return Answer(200, json.dumps(said).encode())

        def reply(self, answer: Answer) -> None:
            time.sleep(answer.wait_s)
            length = len(answer.body) if answer.claimed_length is None else answer.claimed_length
            try:
                self.send_response(answer.status)
                for name, value in {"content-type": "application/json", "content-length": str(length),
                                    **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                for byte in answer.body if answer.drip_s else b"":
                    self.wfile.write(bytes([byte]))
                    time.sleep(answer.drip_s)
                if not answer.drip_s:
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
