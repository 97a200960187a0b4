"""RunPod as a script: answers in the order in which they were written down, and a clock that only sleep moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
from pydantic import SecretStr

from callsheet.runpod.http import Api

KEY = "rpa_A1B2C3D4E5F6"

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Clock:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Script(httpx.AsyncBaseTransport):
    """Gives each answer once, the last one for ever. `asked` has every request."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return answer(request)

    @property
    def lines(self) -> list[str]:
        """Requests as `METHOD /path`."""
        return [f"{request.method} {request.url.raw_path.decode().partition('?')[0]}" for request in self.asked]

    def sent(self, number: int = -1) -> Any:
        """The JSON of a request."""
        return json.loads(self.asked[number].content)


class Paths(Script):
    """Answers by path: the value is an answer, or a list of them in order whose last one stays."""

    def __init__(self, **by_word: Answer | list[Answer]) -> None:
        super().__init__(httpx.Response(404, json={"detail": "no such path"}))
        self.by_word = {word: list(given) if isinstance(given, list) else [given] for word, given in by_word.items()}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for word, answers in self.by_word.items():
            if word in request.url.path.split("/"):
                self.answers = [answers.pop(0) if len(answers) > 1 else answers[0]]
                break
        else:
            self.answers = [httpx.Response(404, json={"detail": "no such path"})]
        return await super().handle_async_request(request)


def ok(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers={name.replace("_", "-"): text for name, text in headers.items()})


def api_of(script: Script, clock: Clock | None = None, base_url: str = "https://api.runpod.example") -> Api:
    clock = clock or Clock()
    return Api(base_url, SecretStr(KEY), transport=script, clock=clock, sleep=clock.sleep)
