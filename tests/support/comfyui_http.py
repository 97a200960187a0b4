"""The pretended ComfyUI's door: HTTP and the websocket on one port, each path as the real server answers it."""

from __future__ import annotations

import base64
import contextlib
import email
import hashlib
import json
import urllib.parse
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.comfyui_server import FakeComfyUI

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handler(BaseHTTPRequestHandler):
    server_of: FakeComfyUI
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        fake, url = self.server_of, urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if not self._let_in("GET", url.path):
            return
        if url.path == "/ws":
            self._listen(query.get("clientId", ""))
        elif url.path == "/object_info":
            self._answer(200, fake.object_info())
        elif url.path == "/system_stats":
            self._answer(200, {"system": {"comfyui_version": fake.version, "os": "linux"}, "devices": [
                {"name": "cuda:0 pretended", "type": "cuda", "vram_total": 48 << 30, "vram_free": 40 << 30}]})
        elif url.path == "/queue":
            self._answer(200, fake.queue())
        elif url.path.startswith("/history/"):
            name = url.path.removeprefix("/history/")
            self._answer(200, {name: fake.history[name]} if name in fake.history else {})
        elif url.path == "/view":
            path = fake.folder / query.get("type", "output") / query.get("subfolder", "") / query["filename"]
            if path.is_file():
                self._answer(200, path.read_bytes(), cut=fake.cut)
            else:
                self._answer(404, None)
        else:
            self._answer(404, None)

    def do_POST(self) -> None:
        fake, path = self.server_of, urllib.parse.urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._let_in("POST", path):
            return
        if path == "/upload/image":
            self._answer(200, fake.upload(*_uploaded(self.headers["Content-Type"], body)))
            return
        told = json.loads(body or b"{}")
        if path == "/prompt":
            try:
                status, answer = fake.take(told)
            except KeyError as error:                     # a link that leads nowhere
                self._answer(400, {"error": {"type": "prompt_outputs_failed_validation", "message": "",
                                             "details": f"'{error.args[0]}'"}, "node_errors": {}})
                return
            if status == 200 and fake.lost_answers:
                fake.lost_answers -= 1
                self.close_connection = True
                return
            self._answer(status, answer)
        elif path == "/interrupt":
            fake.stop(told)
            self._answer(200, None)
        elif path == "/queue":
            fake.delete(told.get("delete", []))
            self._answer(200, None)
        elif path == "/free":
            fake.freed += 1
            fake.full = False
            self._answer(200, None)
        else:
            self._answer(404, None)

    def _let_in(self, method: str, path: str) -> bool:
        self.server_of.asked.append(f"{method} {path}")
        if self.server_of.token and self.headers.get("Authorization") != f"Bearer {self.server_of.token}":
            self._answer(401, None)
            return False
        if self.server_of.busy:
            self.server_of.busy -= 1
            self._answer(503, None)
            return False
        if self.server_of.other:
            self._answer(200, self.server_of.other)
            return False
        return True

    def _answer(self, status: int, body: Any, cut: int = 0) -> None:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) - cut])
        self.close_connection = self.close_connection or cut > 0

    def _listen(self, client: str) -> None:
        fake = self.server_of
        if fake.deaf:
            self._answer(403, None)
            return
        accept = base64.b64encode(hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + _MAGIC).digest())
        self.send_response(101)
        for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept",
                                                                                 accept.decode())):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()
        listeners = fake._listeners.setdefault(client, [])
        listeners.append(self.connection)
        fake._send(client, json.dumps({"type": "status", "data": {"status": {}, "sid": client}}).encode())
        with contextlib.suppress(OSError):
            while (got := self.connection.recv(4096)) and got[0] & 0x0F != 8:
                pass                                      # whatever a client says is ignored, except that it goes
            self.connection.sendall(b"\x88\x00")
        listeners.remove(self.connection)
        self.close_connection = True


def _uploaded(content_type: str, body: bytes) -> tuple[str, bytes]:
    message = email.message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    for part in message.get_payload():
        assert isinstance(part, email.message.Message)
        if part.get_filename():
            data = part.get_payload(decode=True)
            assert isinstance(data, bytes)
            return str(part.get_filename()), data
    raise ValueError("no file")
