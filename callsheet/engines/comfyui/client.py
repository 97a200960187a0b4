"""The requests of a ComfyUI server, one method each, and what each answer means.

    with ComfyUI("http://127.0.0.1:8188") as server:
        server.version()            "0.33.0"

A server has no authentication of its own: it stands on loopback, in a tunnel, or behind a proxy that wants a bearer
token. What is safe to repeat is repeated; a post is not, because the server would do the work twice: whoever posts
looks for its job first. Waiting is watching.py's matter.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from callsheet.errors import AddressRefused, EngineError, EngineUnable, EngineUnreached

if TYPE_CHECKING:
    import httpx  # at run time where it is needed: it takes 0.15 s
    from websockets.sync.client import ClientConnection

ENGINE = "comfyui"
TIMEOUT_S = 30.0
"""Of connecting, and between two pieces of an answer."""
TRIES = 3
PAUSE_S = 0.3
MAX_BYTES = 4 << 30
"""Of one output."""
MAX_JSON = 256 << 20
"""Of any other answer."""
LONGEST = 4
"""Times the pause between two pieces: so long an answer may take as a whole."""
FETCH_S = 1800.0
"""Of one output as a whole: a server that drips is no server."""
_TELL_S = 1.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class OutputGone(Exception):
    """A job succeeded, and the file it names is not there: somebody deleted it, and the server's cache names it yet.
    Inside this package only, as the next.
    """


class Refusal(Exception):
    """POST /prompt was answered with something else than a whole job."""

    def __init__(self, status: int, told: Mapping[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.told = told


class Queue(NamedTuple):
    """Prompt ids."""

    running: frozenset[str]
    pending: frozenset[str]


class ServerFile(NamedTuple):
    """A file of the server's output folder, as its history names it."""

    filename: str
    subfolder: str
    type: str


class ComfyUI:
    """One server. `with` keeps its connections; may be used from one thread at a time."""

    def __init__(
        self, url: str, token: SecretStr | None = None, timeout_s: float = TIMEOUT_S, tries: int = TRIES
    ) -> None:
        """Raises AddressRefused when the token would travel unencrypted."""
        parts = urlsplit(url)
        if token is not None and parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise AddressRefused(url=url, detail="the token would travel unencrypted",
                                 remedy="use an https address, or a tunnel to 127.0.0.1")
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self.tries = tries
        self._headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
        self._local = parts.hostname in _LOOPBACK
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        import httpx

        self._client = httpx.Client(
            base_url=self.url, headers={"Accept-Encoding": "identity", **self._headers}, timeout=self.timeout_s,
            follow_redirects=False,
            trust_env=not self._local,                    # a proxy would look for us on its own machine
            verify=self.url.startswith("https"),          # certificates take long to read, and plain HTTP has none
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def version(self) -> str:
        """Of the server; empty when it does not say."""
        stats = self._json("GET", "/system_stats")
        system = stats.get("system") if isinstance(stats, Mapping) else None
        return str(system.get("comfyui_version") or "") if isinstance(system, Mapping) else ""

    def nodes(self) -> Mapping[str, Any]:
        """Every node with its inputs, outputs and choices: `/object_info`."""
        told = self._json("GET", "/object_info")
        if not isinstance(told, Mapping):
            raise EngineError(engine=ENGINE, what="a list of its nodes", detail="the answer is something else")
        return told

    def queue(self) -> Queue:
        told = self._json("GET", "/queue")
        told = told if isinstance(told, Mapping) else {}
        return Queue(*(
            frozenset(str(entry[1]) for entry in listed(told.get(f"queue_{word}")) if len(listed(entry)) > 1)
            for word in ("running", "pending")
        ))

    def history(self, prompt_id: str) -> Mapping[str, Any] | None:
        """What became of a job that is over; None while it is not, and after the server forgot it."""
        told = self._json("GET", f"/history/{prompt_id}")
        entry = told.get(prompt_id) if isinstance(told, Mapping) else None
        return entry if isinstance(entry, Mapping) else None

    def post(self, graph: Mapping[str, Any], prompt_id: str, client_id: str) -> None:
        """Put a job into the queue.

        Raises Refusal, also when the server took it without some of its outputs; EngineUnable when it gave the job
        another id, by which nobody could find it again; and EngineUnreached, after which it may be in the queue.
        """
        body = {"prompt": dict(graph), "prompt_id": prompt_id, "client_id": client_id}
        response = self._once("POST", "/prompt", json=body)
        told = _told(response)
        if response.status_code != 200 or told.get("node_errors") or not told.get("prompt_id"):
            raise Refusal(response.status_code, told)
        if (theirs := str(told["prompt_id"])) != prompt_id:
            self.cancel(theirs)
            raise EngineUnable(engine=ENGINE, what="anything", detail="the server gives jobs ids of its own",
                               remedy="update the ComfyUI server to a version of 2025-10 or later")

    def upload(self, path: Path, name: str) -> str:
        """Put a picture among the server's inputs, and return what it is called there: not always `name`."""
        files = {"image": (name, path.read_bytes(), "image/png")}
        told = self._json("POST", "/upload/image", files=files, data={"type": "input"})
        given = str(told.get("name") or "") if isinstance(told, Mapping) else ""
        if not given:
            raise EngineError(engine=ENGINE, what=f"use of {name}", detail="the upload was answered without a name")
        return f"{told['subfolder']}/{given}" if told.get("subfolder") else given

    def fetch(self, file: ServerFile, target: Path, tell: Callable[[int], None] = lambda had: None) -> None:
        """Download an output; `tell` is called about every second with the bytes that are here, and may raise.

        Raises OutputGone when it is not there, EngineUnreached when it was cut short or does not end.
        """
        import httpx

        query = {"filename": file.filename, "subfolder": file.subfolder, "type": file.type}
        try:
            with self._kept.stream("GET", "/view", params=query) as response:
                if response.status_code == 404:
                    raise OutputGone(file.filename)
                self._judge(response, "/view")
                plain = "content-encoding" not in response.headers
                said, had = response.headers.get("content-length") if plain else None, 0
                told = begun = time.monotonic()
                with target.open("wb") as out:
                    for chunk in response.iter_bytes():   # as they come: a larger piece would wait for one that drips
                        had += out.write(chunk)
                        if had > MAX_BYTES:
                            raise EngineUnable(engine=ENGINE, what=file.filename, detail="it has over 4 GiB")
                        if (now := time.monotonic()) - begun > FETCH_S:
                            raise self._silent(f"{had} bytes of {file.filename} in {FETCH_S:g} s, and no end")
                        if now - told >= _TELL_S:
                            told = now
                            tell(had)
        except httpx.HTTPError as error:
            raise self._silent(type(error).__name__) from None
        if said is not None and said.isdecimal() and int(said) != had:
            raise self._silent(f"{had} of {said} bytes")

    def cancel(self, prompt_id: str) -> None:
        """Take a job out of the queue, or stop it at its next step. Another's job is left alone."""
        self._json("POST", "/queue", json={"delete": [prompt_id]})
        if prompt_id in self.queue().running:             # older servers ignore the id and stop whatever runs
            self._json("POST", "/interrupt", json={"prompt_id": prompt_id})

    def free(self) -> None:
        """Unload every model."""
        self._json("POST", "/free", json={"unload_models": True, "free_memory": True})

    @contextlib.contextmanager
    def socket(self, client_id: str) -> Iterator[ClientConnection | None]:
        """Messages of the jobs of one client; None where the server or a proxy grants none: they are only progress."""
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        address = f"ws{self.url.removeprefix('http')}/ws?clientId={client_id}"
        try:
            connection = connect(
                address, additional_headers=self._headers, open_timeout=10, close_timeout=1, max_size=16 << 20,
                max_queue=4,                              # messages that wait here: memory is bounded
                proxy=None if self._local else True,
            )
        except (OSError, TimeoutError, WebSocketException):
            yield None
            return
        try:
            yield connection
        finally:
            connection.close()

    @property
    def _kept(self) -> httpx.Client:
        assert self._client is not None, "use it in a with statement"
        return self._client

    def _json(self, method: str, path: str, **more: Any) -> Any:
        """The answer's JSON, {} for an empty one. Everything that goes through here may be repeated."""
        for number in range(self.tries):
            try:
                response = self._once(method, path, **more)
                self._judge(response, path)
                return response.json() if response.content.strip() else {}
            except (ValueError, RecursionError):
                raise EngineError(engine=ENGINE, what=path, detail="the answer is not JSON",
                                  remedy="check CALLSHEET_COMFYUI_URL: something else answers there") from None
            except EngineUnreached:
                if number == self.tries - 1:
                    raise
            time.sleep(PAUSE_S * 2**number)
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, **more: Any) -> httpx.Response:
        import httpx

        body = bytearray()
        try:
            with self._kept.stream(method, path, **more) as response:
                end = time.monotonic() + LONGEST * self.timeout_s
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MAX_JSON:
                        raise EngineUnable(engine=ENGINE, what=path, detail=f"the server at {self.url} sends no end",
                                           remedy="check CALLSHEET_COMFYUI_URL: something else answers there")
                    if time.monotonic() > end:
                        raise self._silent(f"no end of {path}")
            return httpx.Response(response.status_code, content=bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL) as error:      # its words could quote a header: the type says enough
            raise self._silent(type(error).__name__) from None

    def _judge(self, response: httpx.Response, path: str) -> None:
        status = response.status_code
        if status in (401, 403):
            raise EngineUnable(engine=ENGINE, what="anything", detail=f"the server at {self.url} answered {status}",
                               remedy="set CALLSHEET_COMFYUI_TOKEN to the token that its proxy wants")
        if status >= 500 or status == 429:
            raise self._silent(f"{status} to {path}")
        if status >= 300:
            raise EngineError(engine=ENGINE, what=path, detail=f"the server at {self.url} answered {status}",
                              remedy="check CALLSHEET_COMFYUI_URL: something else answers there")

    def _silent(self, detail: str) -> EngineUnreached:
        return EngineUnreached(engine=ENGINE, url=self.url, detail=detail,
                               remedy="start it, or correct CALLSHEET_COMFYUI_URL")


def _told(response: httpx.Response) -> Mapping[str, Any]:
    try:
        told = response.json()
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, Mapping) else {}


def listed(told: Any) -> Sequence[Any]:
    """A list of a server's answer; empty where something else stands."""
    return told if isinstance(told, list) else ()
