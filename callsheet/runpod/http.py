"""One request to RunPod, over JSON: the key, what may be asked again, and what each answer means.

Covers both planes. Only requests that are safe to repeat are repeated: after a request that creates or submits
something, a lost answer is said to be unknown, and whoever sent it looks before sending another. Which paths
exist is the matter of control.py and client.py.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx
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
from callsheet.redact import redact

PROVIDER = "RunPod"

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
TOTAL_S = 60.0
"""For one try: a dripping answer ends too."""

MAX_BYTES = 64 * 1024 * 1024
"""Of an answer: RunPod's own limit for a job's output is 20 MB."""

TRIES = 5
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
"""Between tries; a longer Retry-After is not waited out here but told to the caller."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_WORDS = 300
"""Characters of the provider's own words that are repeated."""
_ENVIRONMENTS = ("env", "environment")
"""Fields whose values are not repeated: of pods, endpoints and templates, and of a flow run's job."""
_SECRET = 6
"""Characters, at the least, of such a value."""

_NOT_SENT = (
    httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol,
    httpx.LocalProtocolError, httpx.InvalidURL,
)
"""Raised before any byte of the request can have arrived."""


class Api:
    """One plane of RunPod. Works in any event loop; `async with` keeps its connections between calls.

    `clock` counts seconds for whoever measures durations with it; `sleep` waits. Both are for tests.
    """

    def __init__(
        self,
        base_url: str,
        key: SecretStr,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Raises AddressRefused when the key would travel unencrypted, ProviderDenied when it is no key."""
        url = urlsplit(base_url)
        self._plain = url.scheme == "http" and url.hostname in _LOOPBACK
        if url.scheme != "https" and not self._plain:
            raise AddressRefused(url=base_url, detail="the key would travel unencrypted")
        self._key = SecretStr(key.get_secret_value().strip())
        if not self._key.get_secret_value() or not self._key.get_secret_value().isascii():
            raise ProviderDenied(provider=PROVIDER, detail="the key is empty or has characters that no key has")
        self.base_url = base_url.rstrip("/")
        self.clock = clock
        self.sleep = sleep
        self._transport = transport
        self._tls: ssl.SSLContext | None = None
        self._kept: httpx.AsyncClient | None = None
        self._kept_loop: asyncio.AbstractEventLoop | None = None
        self._users = 0

    async def __aenter__(self) -> Api:
        if self._users == 0:
            self._kept, self._kept_loop = self._client(), asyncio.get_running_loop()
        self._users += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._users -= 1
        if self._users == 0 and self._kept is not None:
            kept, self._kept, self._kept_loop = self._kept, None, None
            await kept.aclose()

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        params: Mapping[str, str | int | float | bool] | None = None,
        safe: bool = False,
        *,
        tries: int = TRIES,
    ) -> Any:
        """The answer's JSON; None for an empty one.

        GET and DELETE are always safe; `safe` says it of another request. Safe ones are tried up to `tries` times
        on 429, 5xx and lost connections. Raises ProviderBusy, ProviderDenied, ProviderUnpaid, ProviderRefused
        (each with its `status` among the facts), ProviderError when the request surely was not carried out or is
        safe, and AnswerUnknown when it may have been.
        """
        safe = safe or method in ("GET", "DELETE")
        for number in range(1, tries + 1):
            try:
                return await self._once(method, path, json, params, safe)
            except ProviderError as error:
                pause = _pause(error, number)
                if not safe or not error.retryable or number == tries or pause > LONGEST_PAUSE_S:
                    raise
            await self.sleep(pause)
        raise ValueError(f"tries is {tries}")

    async def _once(
        self, method: str, path: str, json: Any, params: Mapping[str, str | int | float | bool] | None, safe: bool
    ) -> Any:
        lost: type[ProviderError] = ProviderError if safe else AnswerUnknown
        where = f"{method} {path}"
        try:
            async with asyncio.timeout(TOTAL_S):
                response, body = await self._exchange(method, path, json, params, safe)
        except _NOT_SENT as error:                        # their words could quote a header: the type says enough
            raise ProviderUnreached(
                provider=PROVIDER, address=self.base_url, detail=f"{where}: {type(error).__name__}"
            ) from None
        except (httpx.HTTPError, TimeoutError, _TooLong) as error:
            raise lost(provider=PROVIDER, detail=f"{where}: {type(error).__name__.strip('_')}") from None
        if response.status_code >= 300:
            raise self._failure(response, body, where, safe, {self._key.get_secret_value(), *_secrets(json)})
        try:
            return jsonlib.loads(body) if body.strip() else None
        except (ValueError, RecursionError):
            raise lost(provider=PROVIDER, detail=f"{where}: something that is not JSON") from None

    async def _exchange(
        self, method: str, path: str, json: Any, params: Mapping[str, str | int | float | bool] | None, safe: bool
    ) -> tuple[httpx.Response, bytes]:
        headers = {"Authorization": f"Bearer {self._key.get_secret_value()}", "Accept": "application/json"}
        # A connection kept from before may be dead, which only shows after sending: unsafe requests get a new one.
        kept = self._kept if safe and self._kept_loop is asyncio.get_running_loop() else None
        client = kept or self._client()
        try:
            async with client.stream(
                method, self.base_url + path, json=json, params=dict(params) if params else None, headers=headers
            ) as response:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise _TooLong
                return response, bytes(body)
        finally:
            if client is not kept:
                await client.aclose()

    def _client(self) -> httpx.AsyncClient:
        if self._tls is None and not self._plain:
            self._tls = httpx.create_ssl_context()        # reads every certificate: once is enough
        return httpx.AsyncClient(
            transport=self._transport,
            timeout=TIMEOUT,
            verify=self._tls or False,                    # False only for plain HTTP on this machine
            trust_env=not self._plain,                    # a proxy would look for us on its own machine
            follow_redirects=False,                       # the key stays with the host it was given for
        )

    def _failure(
        self, response: httpx.Response, body: bytes, where: str, safe: bool, secrets: Collection[str]
    ) -> ProviderError:
        status = response.status_code
        words = _words(body, secrets)
        facts: dict[str, Any] = {
            "provider": PROVIDER, "status": status, "detail": f"{status} to {where}" + (f": {words}" if words else ""),
        }
        if status == 429:
            return ProviderBusy(retry_after_s=_retry_after(response.headers), **facts)
        if status in (401, 403):
            return ProviderDenied(**facts)
        if status == 402:
            return ProviderUnpaid(**facts)
        if status < 500 and status != 408:
            return ProviderRefused(**facts)
        return (ProviderError if safe else AnswerUnknown)(retry_after_s=_retry_after(response.headers), **facts)


class _TooLong(Exception):
    pass


def status_of(error: ProviderError) -> int | None:
    """The HTTP status that the error was made of."""
    status = error.facts.get("status")
    return status if isinstance(status, int) else None


def retry_after(error: ProviderError) -> float | None:
    """Seconds that the provider asked to wait, where it did."""
    asked = error.facts.get("retry_after_s")
    return float(asked) if isinstance(asked, (int, float)) else None


def jittered(seconds: float) -> float:
    """About as long, so that many waiters do not ask in one moment."""
    return seconds * random.uniform(0.7, 1.3)


def _pause(error: ProviderError, number: int) -> float:
    asked = retry_after(error)
    if asked is not None:
        return asked + random.uniform(0, 0.5)             # never earlier than asked
    return min(jittered(FIRST_PAUSE_S * 2 ** (number - 1)), LONGEST_PAUSE_S)


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds; a date is read against the answer's own Date, so that a skewed clock does no harm."""
    text = headers.get("retry-after", "").strip()
    try:
        if text.replace(".", "", 1).isdigit():
            return float(text)
        then = parsedate_to_datetime(text)
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _secrets(sent: Any, inside: bool = False) -> Iterator[str]:
    """What a request gave an environment: the provider's words may quote it. Shorter texts are no secrets."""
    if isinstance(sent, Mapping):
        for name, value in sent.items():
            yield from _secrets(value, inside or name in _ENVIRONMENTS)
    elif isinstance(sent, (list, tuple)):
        for value in sent:
            yield from _secrets(value, inside)
    elif inside and isinstance(sent, str) and len(sent) >= _SECRET:
        yield from {sent, " ".join(sent.split())}         # our own words are on one line, as the provider's may be


def _words(body: bytes, secrets: Collection[str]) -> str:
    """What the answer says, on one line: its problem's detail and violations, or its error. Without the secrets."""
    try:
        told = jsonlib.loads(body)
    except (ValueError, RecursionError):
        return ""                                         # a proxy's page of HTML helps nobody
    if not isinstance(told, dict):
        return _line([str(told)], secrets)
    main = next((told[k] for k in ("detail", "error", "message", "title") if told.get(k)), "")
    errors = told.get("errors")
    parts = [str(main), *(str(each) for each in errors[:5])] if isinstance(errors, list) else [str(main)]
    return _line(parts, secrets)


def _line(parts: Iterable[str], secrets: Collection[str]) -> str:
    """Cut last: half a secret would not be recognised."""
    line = " ".join(redact("; ".join(filter(None, parts)), secrets).split())
    return redact(line, secrets)[:_WORDS]
