from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from callsheet.errors import (
    AddressRefused,
    AnswerUnknown,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderUnpaid,
    ProviderUnreached,
)
from callsheet.runpod import http
from callsheet.runpod.http import Api, retry_after, status_of
from tests.support.scripted_api import KEY, Clock, Script, api_of, ok


def call(script: Script, method: str = "GET", clock: Clock | None = None, **options: Any) -> Any:
    return asyncio.run(api_of(script, clock).call(method, "/v2/pods", **options))


def test_a_request_carries_the_key_and_its_json_and_the_answer_is_read() -> None:
    script = Script(ok({"pods": []}))
    assert call(script, "POST", json={"name": "x"}, params={"a": 1}) == {"pods": []}
    request = script.asked[0]
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert script.sent() == {"name": "x"}
    assert str(request.url) == "https://api.runpod.example/v2/pods?a=1"


def test_an_empty_answer_is_none() -> None:
    assert call(Script(httpx.Response(204)), "DELETE") is None


TRANSIENT = [
    ok({}, 429), ok({}, 500), ok({}, 502), ok({}, 503), ok({}, 408),
    httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut"), httpx.ConnectError("down"), httpx.ReadError("reset"),
    httpx.Response(200, content=b"<html>maintenance</html>"), httpx.Response(200, content=b'{"pods": ['),
]


@pytest.mark.parametrize("trouble", TRANSIENT, ids=lambda t: str(getattr(t, "status_code", type(t).__name__)))
@pytest.mark.parametrize(("method", "safe"), [("GET", False), ("DELETE", False), ("POST", True)])
def test_what_is_safe_is_asked_again(trouble: Any, method: str, safe: bool) -> None:
    script = Script(trouble, trouble, ok({"id": 1}))
    assert call(script, method, safe=safe) == {"id": 1}
    assert len(script.asked) == 3


@pytest.mark.parametrize("trouble", TRANSIENT, ids=lambda t: str(getattr(t, "status_code", type(t).__name__)))
def test_what_is_safe_fails_in_the_end_as_a_provider_error_that_may_pass(trouble: Any) -> None:
    script = Script(trouble)
    with pytest.raises(ProviderError) as caught:
        call(script)
    assert caught.value.retryable
    assert not isinstance(caught.value, AnswerUnknown)
    assert len(script.asked) == http.TRIES


@pytest.mark.parametrize(("trouble", "kind"), [
    (ok({}, 500), AnswerUnknown),
    (ok({}, 502), AnswerUnknown),
    (ok({}, 504), AnswerUnknown),
    (ok({}, 408), AnswerUnknown),
    (httpx.ReadTimeout("slow"), AnswerUnknown),
    (httpx.WriteError("broken pipe"), AnswerUnknown),
    (httpx.ReadError("reset"), AnswerUnknown),
    (httpx.RemoteProtocolError("cut"), AnswerUnknown),
    (httpx.Response(200, content=b"not json"), AnswerUnknown),
    (httpx.ConnectError("refused"), ProviderUnreached),
    (httpx.ConnectTimeout("nobody"), ProviderUnreached),
    (httpx.ProxyError("no way"), ProviderUnreached),
    (ok({}, 429), ProviderBusy),
    (ok({}, 401), ProviderDenied),
    (ok({}, 403), ProviderDenied),
    (ok({}, 402), ProviderUnpaid),
    (ok({}, 400), ProviderRefused),
    (ok({}, 404), ProviderRefused),
    (ok({}, 409), ProviderRefused),
    (ok({}, 422), ProviderRefused),
    (httpx.Response(302, headers={"location": "https://elsewhere.example"}), ProviderRefused),
], ids=lambda t: str(getattr(t, "status_code", getattr(t, "__name__", type(t).__name__))))
def test_what_is_not_safe_is_sent_once_and_its_answer_known_or_said_to_be_unknown(
    trouble: Any, kind: type[ProviderError]
) -> None:
    script = Script(trouble, ok({"id": "never"}))
    with pytest.raises(ProviderError) as caught:
        call(script, "POST", json={})
    assert type(caught.value) is kind
    assert len(script.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 422])
def test_what_is_refused_is_not_asked_again_even_when_it_is_safe(status: int) -> None:
    script = Script(ok({"title": "No", "status": status, "detail": "no such thing"}, status))
    with pytest.raises(ProviderError, match="no such thing") as caught:
        call(script)
    assert len(script.asked) == 1
    assert status_of(caught.value) == status


def test_the_violations_of_a_request_are_told() -> None:
    answer = ok({"title": "T", "status": 422, "detail": "validation failed", "errors": ["$.name: too short"]}, 422)
    with pytest.raises(ProviderRefused, match=r"422 to POST /v2/pods: validation failed; \$\.name: too short"):
        call(Script(answer), "POST", json={})


def test_the_jobs_planes_words_are_told_too_and_html_is_not() -> None:
    with pytest.raises(ProviderRefused, match="endpoint gone"):
        call(Script(ok({"error": "endpoint gone"}, 404)))
    with pytest.raises(ProviderRefused) as caught:
        call(Script(httpx.Response(404, content=b"<html>nginx</html>")))
    assert "html" not in str(caught.value)


def test_retry_after_is_waited_out_and_never_undercut() -> None:
    clock = Clock()
    assert call(Script(ok({}, 429, retry_after="7"), ok(1)), clock=clock) == 1
    assert 7 <= clock.slept[0] < 8


def test_retry_after_as_a_date_is_read_against_the_answers_own_date() -> None:
    answer = ok({}, 429, retry_after="Fri, 20 Nov 2026 10:00:09 GMT", date="Fri, 20 Nov 2026 10:00:00 GMT")
    clock = Clock()
    call(Script(answer, ok(1)), clock=clock)
    assert 9 <= clock.slept[0] < 10


@pytest.mark.parametrize("text", ["soon", "-5", "", "1e9999", "NaN", "5, 7"])
def test_a_retry_after_that_is_no_time_is_as_none(text: str) -> None:
    clock = Clock()
    call(Script(ok({}, 429, retry_after=text), ok(1)), clock=clock)
    assert clock.slept[0] < 1


def test_a_long_retry_after_is_told_instead_of_waited_out() -> None:
    clock, script = Clock(), Script(ok({}, 429, retry_after="300"))
    with pytest.raises(ProviderBusy) as caught:
        call(script, clock=clock)
    assert retry_after(caught.value) == 300
    assert clock.slept == []


def test_pauses_grow_and_differ() -> None:
    waits = []
    for _ in range(2):
        clock = Clock()
        with pytest.raises(ProviderError):
            call(Script(ok({}, 500)), clock=clock)
        waits.append(clock.slept)
    assert all(later > earlier for earlier, later in zip(waits[0], waits[0][1:], strict=False))
    assert waits[0] != waits[1]


def test_where_nothing_answers_the_address_is_named() -> None:
    with pytest.raises(ProviderUnreached, match=r"nothing answers for RunPod at http.*check the network"):
        call(Script(httpx.ConnectError("refused")), "POST", json={})


@pytest.mark.parametrize("answer", [
    ok({"detail": f"the key {KEY} is bad"}, 401), ok({"error": KEY}, 422), ok(KEY, 500),
    httpx.ReadError(f"Bearer {KEY}"), httpx.ConnectError(KEY),
])
def test_the_key_is_in_no_error(answer: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        call(Script(answer), "POST", json={})
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert KEY not in repr(caught.value.facts)


QUOTED: dict[str, Any] = {
    "env": {"AWS_SECRET_ACCESS_KEY": 'CANARY/aws+"x', "PEM": "-----BEGIN\nCANARY\npem-----", "SHORT": "on"},
    "template": [{"env": {"deeper": {"list": ["CANARY-deep"]}}}],
    "input": {"environment": {"PREFECT_API_KEY": "CANARY-run"}}, "name": "callsheet-x",
}
"""A request of whose values a provider may quote any."""


@pytest.mark.parametrize("told", [
    {"detail": "no", "errors": [f"$.env: {secret!r} does not match"
                                for secret in (QUOTED["env"]["AWS_SECRET_ACCESS_KEY"], QUOTED["env"]["PEM"])]},
    {"detail": json.dumps(QUOTED)},
    {"error": QUOTED},
    {"message": "-----BEGIN CANARY pem-----"},
    QUOTED["env"]["PEM"],
    {"detail": "x" * 290 + "CANARY-deep"},
    {"detail": "x" * 290 + KEY + " and CANARY-run"},
], ids=["violations", "as-json", "as-object", "on-one-line", "bare", "cut-in-half", "the-key-cut-in-half"])
@pytest.mark.parametrize("status", [400, 401, 422, 500])
def test_no_error_repeats_what_stood_in_a_requests_environment(told: Any, status: int) -> None:
    with pytest.raises(ProviderError) as caught:
        call(Script(ok(told, status)), "POST", json=QUOTED)
    words = "".join(traceback.format_exception(caught.value)) + repr(caught.value.facts)
    assert "CANARY" not in words and KEY[:6] not in words


def test_the_rest_of_a_request_may_be_repeated_and_so_may_short_values() -> None:
    told = {"detail": "callsheet-x has no cards, SHORT is on"}
    with pytest.raises(ProviderRefused, match="callsheet-x has no cards, SHORT is on"):
        call(Script(ok(told, 400)), "POST", json=QUOTED)


def test_the_key_is_not_in_the_apis_own_text() -> None:
    assert KEY not in repr(vars(api_of(Script(ok(1)))))


@pytest.mark.parametrize("url", ["http://api.runpod.example", "http://10.0.0.1:80", "ftp://127.0.0.1", "127.0.0.1:80"])
def test_the_key_does_not_travel_unencrypted(url: str) -> None:
    with pytest.raises(AddressRefused):
        Api(url, SecretStr(KEY))


@pytest.mark.parametrize("key", ["", "  ", "schlüssel"])
def test_what_cannot_be_a_key_is_refused_before_anything_is_sent(key: str) -> None:
    with pytest.raises(ProviderDenied, match="RUNPOD_API_KEY"):
        Api("https://api.runpod.example", SecretStr(key))


def test_an_endless_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_BYTES", 1000)
    with pytest.raises(AnswerUnknown, match="TooLong"):
        call(Script(ok("x" * 2000)), "POST", json={})


def test_a_dripping_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            while True:
                yield b" "
                await asyncio.sleep(0.01)

    monkeypatch.setattr(http, "TOTAL_S", 0.1)
    with pytest.raises(AnswerUnknown, match="TimeoutError"):
        call(Script(lambda _: httpx.Response(200, stream=Drip())), "POST", json={})


# ---- over a real socket

class Server:
    """Speaks just enough HTTP. `behave` per request: answer, hang up before it, or in its middle."""

    def __init__(self, *behaviours: str) -> None:
        self.behaviours = list(behaviours)
        self.connections = 0
        self.requests: list[tuple[int, str]] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection, self.connections), daemon=True).start()

    def _talk(self, connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                while data.startswith(b"POST") and not data.endswith(b"{}"):
                    data += connection.recv(65536)
                self.requests.append((number, data.split()[0].decode()))
                behaviour = self.behaviours.pop(0) if self.behaviours else "answer"
                if behaviour == "hang up":
                    return
                if behaviour == "cut":
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")


@contextlib.contextmanager
def serving(*behaviours: str) -> Iterator[Server]:
    server = Server(*behaviours)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.socket.shutdown(socket.SHUT_RDWR)
        server.socket.close()
        thread.join(5)


def real(server: Server) -> Api:
    return Api(server.url, SecretStr(KEY), sleep=Clock().sleep)


@pytest.mark.parametrize("behaviour", ["hang up", "cut"])
def test_a_connection_that_ends_after_the_request_leaves_the_answer_unknown(behaviour: str) -> None:
    with serving(behaviour) as server:
        with pytest.raises(AnswerUnknown):
            asyncio.run(real(server).call("POST", "/x", json={}))
        assert [method for _, method in server.requests] == ["POST"]
        assert asyncio.run(real(server).call("GET", "/x")) == []


def test_nobody_listening_means_that_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    api = Api(f"http://127.0.0.1:{port}", SecretStr(KEY), sleep=Clock().sleep)
    with pytest.raises(ProviderError) as caught:
        asyncio.run(api.call("POST", "/x", json={}))
    assert type(caught.value) is ProviderUnreached


def test_connections_are_kept_for_safe_requests_and_never_for_others() -> None:
    async def talk(api: Api) -> None:
        async with api:
            for method in ("GET", "GET", "POST", "GET"):
                await api.call(method, "/x", json={} if method == "POST" else None)

    with serving() as server:
        asyncio.run(talk(real(server)))
    assert server.requests == [(1, "GET"), (1, "GET"), (2, "POST"), (1, "GET")]


def test_one_api_serves_several_event_loops_and_leaves_nothing_open() -> None:
    with serving() as server:
        api = real(server)
        for _ in range(3):
            assert asyncio.run(api.call("GET", "/x")) == []


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with serving() as server:
        assert asyncio.run(real(server).call("GET", "/x")) == []
