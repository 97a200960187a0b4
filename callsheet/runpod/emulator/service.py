"""The emulator as a process: socket, world, server and signals.

    python -m callsheet.runpod.emulator FOLDER [--port N] [--options JSON] [--while-stdin-is-open]

Prints one line of JSON, {"url": ..., "key": ...}, when it is ready. Bound to loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from callsheet.runpod.emulator.app import application
from callsheet.runpod.emulator.options import Options
from callsheet.runpod.emulator.world import World


class _Server(uvicorn.Server):
    """Leaves signals to `serve`, which ends the processes first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(port: int = 0) -> socket.socket:
    """A socket on loopback; 0 is any free port. Raises OSError."""
    return socket.create_server(("127.0.0.1", port), backlog=256)


async def serve(folder: Path, options: Options, listener: socket.socket, ready: Callable[[str], None],
                stdin: bool = False) -> None:
    """Serve until SIGINT or SIGTERM, or until standard input is closed. No process is left then.

    `ready` is called with the address as soon as requests are answered.
    """
    world = World(folder, options, f"http://127.0.0.1:{listener.getsockname()[1]}")
    server = _Server(uvicorn.Config(application(world), log_level="warning", lifespan="off", access_log=False,
                                    timeout_graceful_shutdown=1, timeout_keep_alive=30))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if stdin:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end, stop)
    beating = loop.create_task(world.live())
    serving = loop.create_task(server.serve(sockets=[listener]))
    stopping = loop.create_task(stop.wait())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    ready(world.url)
    try:
        await asyncio.wait((beating, serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _shut(world, server, beating, serving, stopping)


async def _shut(world: World, server: _Server, beating: asyncio.Task[None], serving: asyncio.Task[None],
                stopping: asyncio.Task[bool]) -> None:
    broken = beating.exception() if beating.done() and not beating.cancelled() else None
    for task in (beating, stopping):
        task.cancel()
    await asyncio.gather(beating, stopping, return_exceptions=True)
    await world.close()
    server.should_exit = True
    await serving
    if broken is not None:
        raise broken


def _stop_at_end(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        stop.set()
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m callsheet.runpod.emulator")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--options", type=Options.model_validate_json, default=Options())
    parser.add_argument("--while-stdin-is-open", action="store_true")
    given = parser.parse_args()

    def ready(url: str) -> None:
        sys.stdout.write(json.dumps({"url": url, "key": given.options.key}) + "\n")
        sys.stdout.flush()

    asyncio.run(serve(given.folder, given.options, listen(given.port), ready, given.while_stdin_is_open))
