"""What a ComfyUI server's history says of a job: the files it made, or why it made none.

    files(entry)["9"]           what node 9 saved, in order
    failure(entry, graph)       None, Cancelled, OutOfMemory, or what the input did wrong

Names come from the history alone, never from a guess or from what is newest on a disk. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from callsheet.engines.comfyui.client import ENGINE, Refusal, ServerFile, listed
from callsheet.engines.graphs.node import Graph
from callsheet.errors import (
    CallsheetError,
    Cancelled,
    EngineError,
    EngineUnable,
    LoraUnreadable,
    OutOfMemory,
)

KEYS = ("images", "gifs", "videos", "audio")
"""Under which nodes file what they saved: core nodes put clips under `images` too, others put them elsewhere."""

_WORDS = 300
_NO_MEMORY = ("outofmemory", "out of memory", "allocation on device")
_TORN = ("safetensor", "header", "deserializ", "metadataincomplete", "unpickling")


def files(entry: Mapping[str, Any]) -> Mapping[str, Sequence[ServerFile]]:
    """By node id; without temporary previews and what is no file."""
    outputs = entry.get("outputs")
    outputs = outputs if isinstance(outputs, Mapping) else {}
    found = {str(node): tuple(_files(told)) for node, told in outputs.items() if isinstance(told, Mapping)}
    return {node: kept for node, kept in found.items() if kept}


def _files(told: Mapping[str, Any]) -> Iterator[ServerFile]:
    for key in KEYS:
        for item in listed(told.get(key)):
            if isinstance(item, Mapping) and item.get("filename") and item.get("type") != "temp":
                yield ServerFile(str(item["filename"]), str(item.get("subfolder") or ""),
                                 str(item.get("type") or "output"))


def failure(entry: Mapping[str, Any], graph: Graph, what: str) -> CallsheetError | None:
    """Why a job that is over made nothing; None when it succeeded. `what` is what it should have made."""
    status = entry.get("status")
    if not isinstance(status, Mapping):
        return None                                       # servers of old say nothing of it
    told = {str(word): facts for word, facts in _messages(status)}
    if "execution_interrupted" in told:
        return Cancelled(what=f"{what}, on the ComfyUI server,")
    if error := told.get("execution_error"):
        return _error(error, graph, what)
    if status.get("status_str") == "error":
        return EngineError(engine=ENGINE, what=what, detail="the server gives no reason",
                           remedy="see the server's log, then run again")
    return None


def _messages(status: Mapping[str, Any]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    for message in listed(status.get("messages")):
        if isinstance(message, Sequence) and len(message) == 2 and isinstance(message[1], Mapping):
            yield message[0], message[1]


def _error(told: Mapping[str, Any], graph: Graph, what: str) -> CallsheetError:
    kind = str(told.get("exception_type") or "")
    words = _line(told.get("exception_message") or kind or "no reason given")
    title, lora = _place(graph, str(told.get("node_id")))
    if is_memory(f"{kind} {words}"):
        return OutOfMemory(engine=ENGINE, what=what, detail=f"{title}: {words}")
    if lora and any(sign in f"{kind} {words}".lower() for sign in _TORN):
        return LoraUnreadable(path=lora, detail=f"{title}: {words}",
                              remedy="copy the LoRA to the ComfyUI server again, whole")
    return EngineUnable(engine=ENGINE, what=what, detail=f"{title}: {words}",
                        remedy="see the server's log; the same graph fails the same way")


def is_memory(words: str) -> bool:
    """Whether an error's words are those of too little GPU memory."""
    return any(sign in words.lower() for sign in _NO_MEMORY)


def refused(refusal: Refusal, graph: Graph, what: str) -> CallsheetError:
    """What was wrong with a graph that the server did not take, or took without some of its outputs."""
    told = refusal.told
    wrong = list(_node_errors(told.get("node_errors"), graph))
    error = told.get("error")
    if not wrong and isinstance(error, Mapping):
        wrong = [_line(": ".join(str(error[key]) for key in ("message", "details") if error.get(key)))]
    if not wrong:
        wrong = [f"it answered {refusal.status} to the graph and gives no reason"]
    kind = EngineUnable if refusal.status < 500 else EngineError
    return kind(engine=ENGINE, what=what, detail="; ".join(wrong)[: 3 * _WORDS],
                remedy="compare it with `callsheet graph`; a node or file that it names may be missing on the server")


def _node_errors(told: Any, graph: Graph) -> Iterator[str]:
    for node, facts in (told.items() if isinstance(told, Mapping) else ()):
        title, _ = _place(graph, str(node))
        errors = listed(facts.get("errors")) if isinstance(facts, Mapping) else ()
        for error in [each for each in errors if isinstance(each, Mapping)] or [{}]:
            words = ": ".join(str(error[key]) for key in ("message", "details") if error.get(key))
            yield _line(f"{title}: {words or 'invalid'}")


def _place(graph: Graph, node_id: str) -> tuple[str, str]:
    """What people call a node, which names the actor of a LoRA; and the LoRA's file, where it loads one."""
    node = graph.nodes.get(node_id)
    if node is None:
        return f"node {node_id}", ""
    return f"{node.title} ({node.class_type})", str(node.inputs.get("lora_name") or "")


def _line(text: Any) -> str:
    return " ".join(str(text).split())[:_WORDS]
