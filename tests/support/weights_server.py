"""A hub of weights on loopback, and the host where its large files lie: with digests, ranges, redirects and faults."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

REPO = "studio/model"


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


@dataclass
class Seen:
    host: str
    method: str
    path: str
    token: str
    range: str


@dataclass
class WeightsServer:
    """`files` of the one repository; those over 1000 bytes lie at the other host, as large files do."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    """Bytes after which the next answers break off; used up in order."""
    statuses: list[int] = field(default_factory=list)
    """Of the next GETs of bytes; used up in order."""
    knows_ranges: bool = True
    corrupt: int = 0
    """How many of the next bodies have a wrong byte."""
    tells_digest: bool = True
    gated: bool = False
    back_to_hub: bool = False
    """The other host sends everybody back to the hub."""
    next_page: str = ""
    """Where the list of files goes on."""
    slow_s: float = 0.0
    seen: list[Seen] = field(default_factory=list)
    most_at_once: int = 0
    hub: str = ""
    store: str = ""
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def bytes_sent(self) -> list[Seen]:
        return [one for one in self.seen if one.method == "GET" and "/api/" not in one.path]


@contextmanager
def serving(**files: bytes) -> Iterator[WeightsServer]:
    """Both hosts on free ports."""
    state = WeightsServer()
    with _host(state, "hub") as hub, _host(state, "store") as store:
        state.hub, state.store = hub, store
        yield state


@contextmanager
def _host(state: WeightsServer, name: str) -> Iterator[str]:
    class Handler(_Handler):
        world, host = state, name

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    world: WeightsServer
    host: str

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        world, path = self.world, unquote(urlsplit(self.path).path)
        token = self.headers.get("authorization", "")
        world.seen.append(Seen(self.host, self.command, path, token, self.headers.get("range", "")))
        if self.host == "hub" and world.gated and token != "Bearer secret-token":
            return self.say(401)
        if path.startswith("/api/models/"):
            listed = [{"type": "file", "path": name, "size": len(data)} for name, data in world.files.items()]
            link = {"link": f'<{world.next_page}>; rel="next"'} if world.next_page else None
            return self.say(200, json.dumps([{"type": "directory", "path": "unet"}, *listed]).encode(), link)
        name = path.partition("/resolve/main/")[2]
        if name not in world.files:
            return self.say(404)
        if self.host == "store" and world.back_to_hub:
            return self.say(302, headers={"location": f"{world.hub}/small{path}"})
        data = world.files[name]
        if self.host == "hub" and len(data) > 1000 and not path.startswith("/small"):
            digest = {"x-linked-etag": f'"{hashlib.sha256(data).hexdigest()}"', "x-linked-size": str(len(data))}
            location = {"location": f"{world.store}{path}?signature=canary"}
            return self.say(302, headers=location | (digest if world.tells_digest else {}))
        return self.send_bytes(data)

    def send_bytes(self, data: bytes) -> None:
        world, status, headers = self.world, 200, {"etag": f'"{git_sha1(data)}"', "accept-ranges": "bytes"}
        if not world.tells_digest:
            headers = {}
        if self.command == "GET" and world.statuses and (said := world.statuses.pop(0)) != 200:
            return self.say(said)
        asked = self.headers.get("range", "")
        if asked and world.knows_ranges:
            first = int(asked.removeprefix("bytes=").rstrip("-"))
            headers["content-range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            status, data = 206, data[first:]
        if world.corrupt and self.command == "GET":
            world.corrupt -= 1
            data = bytes([data[0] ^ 1]) + data[1:]
        with world._lock:
            world._now += 1
            world.most_at_once = max(world.most_at_once, world._now)
        try:
            time.sleep(world.slow_s)
            cut = world.cut_after.pop(0) if world.cut_after and self.command == "GET" else None
            self.say(status, data, headers, cut)
        finally:
            with world._lock:
                world._now -= 1

    def say(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, cut: int | None = None
    ) -> None:
        self.close_connection = True
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body if cut is None else body[:cut])

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""
