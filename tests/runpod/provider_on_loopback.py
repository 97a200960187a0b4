"""A Prefect server's one flow run, and a control plane that deletes pods: both by hand, on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Provider:
    """What it says, and what it was asked."""

    url: str = ""
    state: str = "PENDING"
    """Of the flow run; "" when there is none."""
    ends: list[dict[str, Any]] = field(default_factory=list)
    """Final states that were set."""
    deletions: list[tuple[str, str]] = field(default_factory=list)
    """Path and authorization of each."""
    refusals: list[int] = field(default_factory=list)
    """Codes that the next deletions are answered with."""
    prefect_down: bool = False
    asked: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PREFECT_API_URL": f"{self.url}/api", "PREFECT__FLOW_RUN_ID": "run-1", "CALLSHEET_RUNPOD_API": self.url,
            "RUNPOD_POD_ID": "pod-1", "RUNPOD_API_KEY": "pod-key", **more,
        }


class _Answers(BaseHTTPRequestHandler):
    provider: Provider

    def _say(self, code: int, body: Any = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        it = self.provider
        with it.lock:
            it.asked += 1
        if it.prefect_down:
            self._say(503)
        elif self.path == "/api/flow_runs/run-1" and it.state:
            self._say(200, {"id": "run-1", "state": {"type": it.state, "name": it.state.capitalize()}})
        else:
            self._say(404, {"detail": "Flow run not found"})

    def do_POST(self) -> None:
        it = self.provider
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/api/flow_runs/run-1/set_state" and body["force"]
        it.ends.append(body["state"])
        it.state = body["state"]["type"]
        self._say(201, {})

    def do_DELETE(self) -> None:
        it = self.provider
        it.deletions.append((self.path, self.headers["Authorization"]))
        self._say(it.refusals.pop(0) if it.refusals else 204)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def provider() -> Iterator[Provider]:
    """Both of them, on one port."""
    it = Provider()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"provider": it}))
    it.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield it
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
