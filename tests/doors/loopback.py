"""A loopback HTTP server that answers as it is told and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """Status 0 hangs up without an answer. `echo` repeats the authorization header, as careless servers do."""

    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    echo: bool = False


@dataclass(frozen=True)
class Seen:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Loopback:
    """`answers` are used up in order; the last one stays."""

    url: str
    answers: list[Answer]
    seen: list[Seen] = field(default_factory=list)


@contextmanager
def answering(*answers: Answer) -> Iterator[Loopback]:
    """A server on a free port."""
    state = Loopback("", list(answers))

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.seen.append(Seen(self.command, self.path, headers, body))
            said = state.answers.pop(0) if len(state.answers) > 1 else state.answers[0]
            self.close_connection = True
            if said.status == 0:
                return
            text = (said.body + (headers.get("authorization", "") if said.echo else "")).encode()
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            if said.status != 204:
                self.send_header("content-length", str(len(text)))
            self.end_headers()
            if said.status != 204 and self.command != "HEAD":
                self.wfile.write(text)

        do_GET = do_POST = do_HEAD = answer       # noqa: N815 - the base class's names

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
