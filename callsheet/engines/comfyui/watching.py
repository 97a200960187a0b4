"""One job on a ComfyUI server until it is over.

The history is the truth. The websocket is only progress: it may say nothing for ever, so the server is asked too. A
job that is neither in the queue nor in the history is lost: the server was killed and began again with nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from callsheet.engines.comfyui.client import ENGINE, ComfyUI
from callsheet.engines.comfyui.previews import show
from callsheet.engines.graphs.node import Graph
from callsheet.errors import EngineTimedOut, EngineUnreached
from callsheet.store.base import Room

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

_BEFORE, _SAMPLED = 0.05, 0.9
"""Shares of the work: what loads, and what samples after it."""

_SHOW_S = 2.0
"""Between two previews that are shown."""


class Lost(Exception):
    """The server knows nothing of a job that it took. Inside this package only."""


@dataclass(frozen=True)
class Limits:
    """In seconds."""

    poll_s: float = 1.0
    """Between two looks at the history."""
    beat_s: float = 2.0
    """Progress is told at least so often, so that whoever watches knows that somebody is alive."""
    silence_s: float = 180.0
    """Without any answer of the server."""
    longest_s: float = 7200.0
    """At work; the queue before it is not counted."""
    missing: int = 2
    """Looks in a row that find a job nowhere: between two requests one may move from the queue to the history."""


USUAL = Limits()


def watch(
    server: ComfyUI, socket: ClientConnection | None, prompt_id: str, graph: Graph, what: str, room: Room,
    limits: Limits,
) -> Mapping[str, Any]:
    """The job's entry in the history.

    Raises Lost, EngineTimedOut, EngineUnreached after a long silence, and whatever the room's progress raises, at once.
    """
    begun = heard = asked = time.monotonic()
    missing, told = 0, Told(graph, prompt_id, room)
    while True:
        socket, over = _listen(socket, told, limits.poll_s)
        now = time.monotonic()
        if now - told.at > limits.beat_s:
            told.again()
        if now - begun > limits.longest_s:
            raise EngineTimedOut(engine=ENGINE, what=what, seconds=limits.longest_s, detail=told.words)
        if not over and now - asked < limits.poll_s:
            continue
        asked = now
        try:
            if (entry := server.history(prompt_id)) is not None:
                return entry
            queue = server.queue()
        except EngineUnreached:
            told.again()
            if now - heard > limits.silence_s:
                raise
            continue
        heard = time.monotonic()
        if prompt_id in queue.pending:
            begun = heard                                 # others' work is not counted
            told.say(0.0, "in the server's queue")
        missing = 0 if prompt_id in queue.running | queue.pending else missing + 1
        if missing >= limits.missing:
            raise Lost


def _listen(
    socket: ClientConnection | None, told: Told, seconds: float
) -> tuple[ClientConnection | None, bool]:
    """Take what the server says, for so long at most; the socket while it lives, and whether the job seems over."""
    if socket is None:
        time.sleep(seconds)
        return None, True
    from websockets.exceptions import WebSocketException

    try:
        return socket, told.message(socket.recv(timeout=seconds))
    except TimeoutError:
        return socket, True                               # silence: look for yourself
    except (WebSocketException, OSError):
        return None, False


class Told:
    """Progress of one job, as a share that never goes back and words that name the node at work."""

    def __init__(self, graph: Graph, prompt_id: str, room: Room, clock: Callable[[], float] = time.monotonic) -> None:
        self._graph = graph
        self._id = prompt_id
        self._room = room
        self._clock = clock
        self._samplers = [name for name, node in graph.nodes.items()
                          if "Sampler" in node.class_type and "positive" in node.inputs]
        self._share, self.words = 0.0, "sent to the server"
        self.at = clock()
        self._shown = self.at - _SHOW_S

    def message(self, data: str | bytes) -> bool:
        """Read a message of the websocket; whether it says that the job is over. Unknown ones are let be."""
        if isinstance(data, bytes):
            if self.at - self._shown >= _SHOW_S and show(data, self._room, self.words):
                self._shown = self.at
            return False
        try:
            said = json.loads(data)
            kind, facts = said["type"], said["data"]
            if facts.get("prompt_id") not in (self._id, None):
                return False
            if kind == "progress":
                self._step(str(facts["node"]), int(facts["value"]), int(facts["max"]))
            elif kind == "executing" and facts.get("node") is not None:
                self._node(str(facts["node"]))
            return kind in ("execution_success", "execution_error", "execution_interrupted") or (
                kind == "executing" and facts.get("node") is None)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return False

    def say(self, share: float, words: str) -> None:
        self._share, self.words = max(self._share, min(share, 1.0)), words
        self.again()

    def again(self) -> None:
        self.at = self._clock()
        self._room.progress(self._share, self.words)

    def _step(self, node: str, step: int, steps: int) -> None:
        if node in self._samplers and steps > 0:
            part = (self._samplers.index(node) + step / steps) / len(self._samplers)
            self.say(_BEFORE + (_SAMPLED - _BEFORE) * part, f"step {step} of {steps}")

    def _node(self, name: str) -> None:
        node = self._graph.nodes.get(name)
        if node is not None:
            ids = list(self._graph.nodes)
            done = ids.index(name) > max((ids.index(each) for each in self._samplers), default=-1)
            self.say(_SAMPLED if done else self._share, node.title)
