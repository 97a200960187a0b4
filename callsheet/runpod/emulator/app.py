"""The doors of the emulator: who may come in, what goes wrong on the way, and where to."""

from __future__ import annotations

import asyncio
import hmac
import math
import re
import time
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from callsheet.runpod.emulator import http_catalogue, http_control, http_emulator, http_jobs, http_worker
from callsheet.runpod.emulator.faults import Fault, FaultKind, matches
from callsheet.runpod.emulator.limits import Limits
from callsheet.runpod.emulator.privacy import called_here
from callsheet.runpod.emulator.refusals import Cut, Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from callsheet.runpod.emulator.world import World

_REFUSING = {FaultKind.DENIED: 401, FaultKind.FORBIDDEN: 403, FaultKind.UNPAID: 402, FaultKind.BROKEN: 500,
             FaultKind.BAD_GATEWAY: 502, FaultKind.BUSY: 429}


PLANES = ("/v2/", "/jobs/")


def application(world: World) -> ASGIApp:
    """The ASGI application around a world."""
    routes = [Route("/", _welcome, methods=["GET"]), *http_jobs.ROUTES, *http_worker.ROUTES, *http_control.ROUTES,
              *http_catalogue.ROUTES, *http_emulator.ROUTES]
    app = Starlette(routes=routes, exception_handlers={Refusal: _refused, HTTPException: _unknown})
    app.state.world, app.state.limits = world, Limits()
    return Gate(app, world)


async def _welcome(request: Request) -> Response:
    return PlainTextResponse("an emulator of RunPod: /v2, /jobs, /emulator/state\n")


async def _refused(request: Request, refusal: Any) -> Response:
    return _refusal(request.url.path, refusal)


async def _unknown(request: Request, error: Any) -> Response:
    return _refusal(request.url.path, Refusal(error.status_code, f"the emulator has no {request.url.path}"))


def _refusal(path: str, refusal: Refusal) -> Response:
    headers = {} if refusal.retry_after_s is None else {"Retry-After": str(math.ceil(refusal.retry_after_s))}
    if path.startswith("/jobs/"):
        return JSONResponse({"error": refusal.detail, "status": refusal.status}, refusal.status, headers)
    return JSONResponse(refusal.problem(), refusal.status, headers, media_type="application/problem+json")


class Gate:
    """Checks names and keys and lets injected faults of requests strike, around the application."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app, self._world = app, world
        self._down: list[tuple[str, float]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await self._answer(scope, receive, send)
        except Refusal as refusal:
            await _refusal(scope["path"], refusal)(scope, receive, send)
        except Cut:
            _cut(send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if not called_here([value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]):
            raise Refusal(421, "the emulator answers to 127.0.0.1, [::1] and localhost alone: ask under such a name")
        if path.startswith("/emulator/"):
            self._admit(scope)
            await self._app(scope, receive, send)
            return
        label = f"{method} {path}"
        receive = await self._strike_before(label, path, receive)
        self._admit(scope)
        if self._take(FaultKind.ANSWER_LOST, label, path):
            await self._app(scope, receive, _drop)
            raise Cut
        if self._take(FaultKind.BROKEN_AFTER, label, path):
            await self._app(scope, receive, _drop)
            raise Refusal(500, "a fault was injected")
        if fault := self._take(FaultKind.SLOW, label, path):
            await self._answer_late(scope, receive, send, fault.seconds)
            return
        await self._app(scope, receive, send)

    async def _answer_late(self, scope: Scope, receive: Receive, send: Send, seconds: float) -> None:
        kept: list[Message] = []

        async def keep(message: Message) -> None:
            kept.append(message)

        await self._app(scope, receive, keep)
        await asyncio.sleep(seconds)
        for message in kept:
            await send(message)

    def _take(self, kind: FaultKind, label: str, path: str) -> Fault | None:
        """The fault that strikes a request. A fault without a pattern spares the workers' own plane."""
        faults = self._world.faults
        return faults.take(kind, label, named=not path.startswith(PLANES))

    async def _strike_before(self, label: str, path: str, receive: Receive) -> Receive:
        """Gives what the rest of the request is to be read with."""
        if fault := self._take(FaultKind.DOWN, label, path):
            self._down.append((fault.where, time.monotonic() + fault.seconds))
        self._down = [(where, until) for where, until in self._down if time.monotonic() < until]
        planes = path.startswith(PLANES)
        if any(matches(where, (label,)) and (where or planes) for where, _ in self._down):
            raise Cut
        if self._take(FaultKind.REQUEST_LOST, label, path):
            raise Cut
        if any(self._world.faults.standing(kind) for kind in (FaultKind.REQUEST_LATE, FaultKind.SLOW)):
            receive = await _received(receive)            # before it is told that one struck: its sender may go then
        if fault := self._take(FaultKind.REQUEST_LATE, label, path):
            await asyncio.sleep(fault.seconds)
        for kind, status in _REFUSING.items():
            if fault := self._take(kind, label, path):
                raise Refusal(status, "a fault was injected", retry_after_s=fault.seconds or None)
        return receive

    def _admit(self, scope: Scope) -> None:
        """Raises Refusal 401 or 403. Workers are admitted where they ask."""
        path = scope["path"]
        if path == "/" or path.startswith("/worker/"):
            return
        headers = dict(scope["headers"])
        key = headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ").strip()
        if hmac.compare_digest(key.encode(), self._world.options.key.encode()):
            return
        own = next((pod for pod in self._world.state.pods if hmac.compare_digest(pod.key.encode(), key.encode())), None)
        if own is None:
            raise Refusal(401, "the API key is missing or wrong")
        if not re.fullmatch(rf"/v2/pods/{own.id}", path) or scope["method"] not in ("GET", "DELETE"):
            raise Refusal(403, f"this key may only read and delete pod {own.id}")


async def _received(receive: Receive) -> Receive:
    """The whole request: what has arrived is carried out, though whoever sent it has gone meanwhile."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again


async def _drop(message: Message) -> None:
    """Where answers go that nobody gets."""


def _cut(send: Send) -> None:
    """Close the connection without an answer. uvicorn's `send` is a method of the object that holds it."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("this server cannot cut a connection: serve the emulator with uvicorn")
    transport.abort()
