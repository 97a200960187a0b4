"""A graph on a ComfyUI server until its files are here.

Every attempt has a prompt id that follows from the graph itself, so that whoever comes after a crash finds the job
that is at work, or what it made, instead of posting it again. A job that the server lost is posted again; one whose
files were deleted, or that found too little memory, is made anew under another name. What the input did wrong is
never tried twice.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callsheet.engines.comfyui.client import ENGINE, ComfyUI, OutputGone, Refusal
from callsheet.engines.comfyui.graphs import Build
from callsheet.engines.comfyui.outputs import failure, files, refused
from callsheet.engines.comfyui.watching import Limits, Lost, watch
from callsheet.engines.graphs.node import Graph
from callsheet.errors import EngineError, EngineUnreached, Fenced, OutOfMemory
from callsheet.recipe import digest
from callsheet.store.base import Room

ATTEMPTS = 3
"""That this run begins, for whichever reason."""
EARLIER = 200
"""Attempts of earlier runs that are passed over."""

_FETCHING = 0.95
"""Share of the work, while files come."""

_SPACE = uuid.UUID("2f0a4b52-7a3a-5f0e-9f2c-c0a11e5e7001")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What is to be made."""

    build: Build
    folder: str
    """Of the server's outputs, such as poster/0001_european_20_female/3f2a...: attempts are numbered below it."""
    what: str

    def graph(self, attempt: int) -> Graph:
        return self.build(f"{self.folder}-{attempt}")


def prompt_id(graph: Graph) -> str:
    """Lowercase, which is the only kind that servers take."""
    return str(uuid.uuid5(_SPACE, digest(graph.text())))


def made(server: ComfyUI, job: Job, room: Room, limits: Limits) -> Mapping[str, Path]:
    """The files of a graph by the names of its outputs.

    Raises Cancelled, GraphRefused and EngineUnable for what the server will not do, OutOfMemory after it was freed
    once, EngineTimedOut, EngineUnreached, EngineError, and whatever the room's progress raises.
    """
    number, freed, reason = _first_free(server, job), False, ""
    for _ in range(ATTEMPTS):
        graph = job.graph(number)
        try:
            entry = _through(server, graph, job.what, room, limits)
            if error := failure(entry, graph, job.what):
                raise error
            return _fetched(server, graph, entry, job.what, room)
        except Lost:
            reason = "the server was started anew and had forgotten it"
        except OutputGone as gone:
            reason, number = f"the server no longer has {gone}", _first_free(server, job, number + 1)
        except OutOfMemory:
            if freed:
                raise
            server.free()
            reason, number, freed = "its memory was full, and is freed", _first_free(server, job, number + 1), True
        _LOG.info("%s is made again: %s", job.what, reason)
    raise EngineError(engine=ENGINE, what=job.what, detail=f"{ATTEMPTS} attempts; at last {reason}")


def _first_free(server: ComfyUI, job: Job, start: int = 0) -> int:
    """The first attempt from `start` on that did not fail already: it may be there, at work, or not begun."""
    for number in range(start, start + EARLIER):
        graph = job.graph(number)
        entry = server.history(prompt_id(graph))
        if entry is None or failure(entry, graph, job.what) is None:
            return number
    raise EngineError(engine=ENGINE, what=job.what, detail=f"it failed {EARLIER} times on this server",
                      remedy="see the server's log; starting it anew forgets them")


def _through(server: ComfyUI, graph: Graph, what: str, room: Room, limits: Limits) -> Mapping[str, Any]:
    """The entry of a job in the history, which is posted unless the server has it. Cancelling us cancels it."""
    name = prompt_id(graph)
    if (entry := server.history(name)) is not None:
        return entry
    with server.socket(name) as socket:                   # before the post: what is said before nobody hears
        try:
            _post(server, graph, name, what)
            return watch(server, socket, name, graph, what, room, limits)
        except (Lost, Fenced):                            # who took the work over waits for the same job
            raise
        except BaseException:
            with contextlib.suppress(EngineError):
                server.cancel(name)
            raise


def _post(server: ComfyUI, graph: Graph, name: str, what: str) -> None:
    """Once: after a lost answer it is looked for first."""
    for _ in range(ATTEMPTS):
        queue = server.queue()
        if name in queue.running | queue.pending or server.history(name) is not None:
            return
        try:
            server.post(graph.as_json(), name, client_id=name)
            return
        except Refusal as refusal:
            raise refused(refusal, graph, what) from None
        except EngineUnreached as error:
            lost = error
        time.sleep(0.5)
    raise lost


def _fetched(
    server: ComfyUI, graph: Graph, entry: Mapping[str, Any], what: str, room: Room
) -> Mapping[str, Path]:
    saved, here = files(entry), {}
    for name, node in graph.ids.items():
        if not saved.get(node):
            raise EngineError(engine=ENGINE, what=what, detail=f"{graph.outputs[name].title} saved nothing")
        here[name] = room.path(f"from_server_{name}")
        server.fetch(                                     # nodes that save a clip may save a picture of it before
            saved[node][-1], here[name], lambda had: room.progress(_FETCHING, f"fetching: {had >> 20} MB"))
    room.progress(1.0, "fetched")
    return here

