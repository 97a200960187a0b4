"""One request to OpenAI's Images API: its deadline, its size, its way of being stopped, and what a refusal means.

The key is in the request's header and nowhere else. What is asked and what an answer holds is openai.py's matter.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from callsheet.engines.openai_answers import refusal
from callsheet.errors import AddressRefused, AnswerLost, DownloadFailed

if TYPE_CHECKING:
    import httpx  # at run time where it is needed: it takes 0.15 s

URL = "https://api.openai.com"
MAX_BYTES = 96 << 20
"""Of an answer: the largest picture takes a tenth of it as base64."""

_TELL_S = 1.0
_STOP_S = 0.1


class ImagesApi:
    """The service at an address. `timeout_s` is the total for one picture."""

    def __init__(self, base_url: str = URL, timeout_s: float = 300.0) -> None:
        url = urlsplit(base_url)
        self._local = url.hostname in ("127.0.0.1", "::1", "localhost")
        if url.scheme != "https" and not self._local:
            raise AddressRefused(url=base_url, detail="the key would travel unencrypted")
        self._url, self._timeout_s = f"{base_url.rstrip('/')}/v1/images/generations", timeout_s

    def generate(self, body: dict[str, Any], key: SecretStr, label: str, tell: Callable[[], None]) -> bytes:
        """The answer's body. `tell` is called every second meanwhile; what it raises ends the request.

        Raises what refusal() makes of an answer, DownloadFailed where nothing was sent, AnswerLost where something was
        and no whole answer came.
        """
        return _attended(lambda: self._ask(body, key, label), tell)

    async def _ask(self, body: dict[str, Any], key: SecretStr, label: str) -> bytes:
        """The answer's body. The one deadline covers everything, a dripping answer too."""
        import httpx

        headers = {"Authorization": f"Bearer {key.get_secret_value()}"}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                httpx.AsyncClient(timeout=self._timeout_s, trust_env=not self._local) as client,
                client.stream("POST", self._url, json=body, headers=headers) as response,
            ):
                data = await _received(response)
        except TimeoutError:
            raise AnswerLost(engine="openai", what=label, detail=f"no end after {self._timeout_s:g} s") from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.InvalidURL) as error:
            raise DownloadFailed(url=self._url, detail=type(error).__name__) from None    # nothing was sent
        except httpx.HTTPError as error:              # its words could quote a header: the type says enough
            raise AnswerLost(engine="openai", what=label, detail=type(error).__name__) from None
        data = data.replace(key.get_secret_value().encode(), b"[key]")      # what echoes it must not tell it to a log
        if response.status_code != 200:
            raise refusal(response.status_code, data, response.headers.get("retry-after", ""), body["model"], label)
        return data


async def _received(response: httpx.Response) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > MAX_BYTES:
            raise AnswerLost(engine="openai", what="a picture", detail=f"more than {MAX_BYTES} bytes")
    return bytes(data)


def _attended(work: Callable[[], Coroutine[Any, Any, bytes]], tell: Callable[[], None]) -> bytes:
    """What `work` returns. Meanwhile `tell` is called every second; what that raises ends the work.

    In a thread of its own: the caller may be inside an event loop of its own.
    """
    stop = threading.Event()

    async def attended() -> bytes:
        task = asyncio.ensure_future(work())
        while not task.done():
            await asyncio.wait({task}, timeout=_STOP_S)
            if stop.is_set():
                task.cancel()
        return task.result()

    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(lambda: asyncio.run(attended()))
        try:
            while True:
                try:
                    return future.result(timeout=_TELL_S)
                except TimeoutError:
                    if future.done():                 # its own, or it ended just after the waiting did
                        return future.result()
                    tell()
        finally:
            stop.set()
