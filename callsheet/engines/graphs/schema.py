"""Whether a server would make what a graph says: checked against its `/object_info` before anything is sent.

    for problem in check(graph, info):
        print(problem)      "character LoRA of Ava" (node 3, LoraLoader): lora_name 'ava2.safetensors' is not there ...

The server itself drops what it does not know without a word: inputs, nodes that lead nowhere, outputs with a mistake;
and it rounds sizes and lengths. Here all of that is a problem. Not looked at: whether files are whole and of the right
family, and nodes whose inputs grow by need.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from callsheet.engines.graphs.fields import COMBO, Field, fields, grows, outputs
from callsheet.engines.graphs.names import is_file, near
from callsheet.engines.graphs.node import Graph
from callsheet.errors import GraphRefused

Info = Mapping[str, Any]
"""What a server answers to /object_info: node class -> its inputs and outputs."""


class Fault(StrEnum):
    """What is wrong at a place of a graph."""

    FORMAT = "format"
    UNKNOWN_NODE = "unknown node"
    UNKNOWN_INPUT = "unknown input"
    MISSING_INPUT = "missing input"
    BAD_LINK = "bad link"
    UNCONNECTED = "unconnected"
    NO_CHOICE = "no choice"
    BAD_VALUE = "bad value"
    OUT_OF_RANGE = "out of range"


@dataclass(frozen=True)
class Problem:
    """One thing that the server would refuse, ignore or change."""

    fault: Fault
    node: str
    """Id; empty where the whole graph is meant."""
    title: str
    class_type: str
    field: str
    """Name of the input; empty where the whole node is meant."""
    detail: str
    near: tuple[str, ...] = ()
    """What may have been meant."""

    def __str__(self) -> str:
        place = f'"{self.title}" (node {self.node}, {self.class_type}): ' if self.node else ""
        meant = f"; near are {', '.join(self.near)}" if self.near else ""
        return f"{place}{self.field}{' ' if self.field else ''}{self.detail}{meant}"


def check(graph: Graph, info: Info, saved: bool = False) -> list[Problem]:
    """What a server with this `info` would not do as the graph says, in the order of its nodes.

    Args:
        saved: Whether `info` comes from a server without model files: where it lists none, any name will do.
    """
    return check_json(graph.as_json(), info, saved)


def check_json(prompt: Mapping[str, Any], info: Info, saved: bool = False) -> list[Problem]:
    """The same for a graph in API JSON that comes from elsewhere."""
    if not all(isinstance(node, Mapping) and "class_type" in node for node in prompt.values()):
        return [Problem(Fault.FORMAT, "", "", "", "", "this is not ComfyUI's API format; export it again as API")]
    checks = _Checks(prompt, info, saved)
    return [problem for number in prompt for problem in checks.node(number)] + list(checks.saving())


def require(graph: Graph, info: Info, engine: str, what: str, saved: bool = False) -> None:
    """Raises GraphRefused with all problems there are."""
    problems = check(graph, info, saved)
    if problems:
        raise GraphRefused(engine=engine, what=what, detail="; ".join(map(str, problems)), problems=tuple(problems))


@dataclass(frozen=True)
class _Checks:
    prompt: Mapping[str, Any]
    info: Info
    saved: bool

    def node(self, number: str) -> Iterator[Problem]:
        """Everything about one node but whether it leads anywhere."""
        class_type, given = self.prompt[number]["class_type"], self.prompt[number].get("inputs", {})
        if class_type not in self.info:
            yield self._problem(Fault.UNKNOWN_NODE, number, "", "the server has no such node",
                                near(class_type, self.info))
            return
        try:
            known = fields(self.info[class_type], given)
        except ValueError as error:
            yield self._problem(Fault.FORMAT, number, "", str(error))
            return
        for name, field in known.items():
            if name not in given and field.required:
                yield self._problem(Fault.MISSING_INPUT, number, name, "is missing")
        for name, value in given.items():
            if name in known:
                yield from self._value(number, name, known[name], value)
            elif not self._meant_elsewhere(name, value, given, known):
                yield self._problem(Fault.UNKNOWN_INPUT, number, name, "would be ignored: the node has no such input",
                                    near(name, known))

    def saving(self) -> Iterator[Problem]:
        """Nodes that lead to nothing that is saved."""
        ends = [number for number, node in self.prompt.items()
                if self.info.get(node["class_type"], {}).get("output_node")]
        if not ends:
            yield Problem(Fault.UNCONNECTED, "", "", "", "", "nothing is saved: the graph has no output node")
            return
        reached: set[str] = set()
        while ends:
            number = ends.pop()
            if number not in reached and number in self.prompt:
                reached.add(number)
                ends += [value[0] for value in self.prompt[number].get("inputs", {}).values() if _is_link(value)]
        for number in self.prompt:
            if number not in reached:
                yield self._problem(Fault.UNCONNECTED, number, "", "leads to nothing that is saved")

    def _meant_elsewhere(self, name: str, value: Any, given: Mapping[str, Any], known: Mapping[str, Field]) -> bool:
        """An input of an input that grows, or the newer name of one that an older server has under its last word."""
        head, dot, last = name.rpartition(".")
        grown = any(grows(field) and name.startswith(f"{each}.") for each, field in known.items())
        return grown or bool(dot and head in known and last in known and given.get(last) == value)

    def _value(self, number: str, name: str, field: Field, value: Any) -> Iterator[Problem]:
        if _is_link(value):
            yield from self._link(number, name, field, value)
        elif field.kind == COMBO:
            yield from self._choice(number, name, field, value)
        elif field.kind in ("INT", "FLOAT"):
            yield from self._number(number, name, field, value)
        else:
            wanted = {"STRING": str, "BOOLEAN": bool}.get(field.kind)
            if wanted and not isinstance(value, wanted):
                yield self._problem(Fault.BAD_VALUE, number, name, f"{value!r} is no {field.kind}")
            elif not wanted and field.kind in self._linked:
                yield self._problem(Fault.BAD_LINK, number, name, f"{value!r} is no link; it needs a {field.kind}")

    @cached_property
    def _linked(self) -> frozenset[str]:
        """Types that nodes give to each other."""
        return frozenset(kind for node in self.info.values() for kind in outputs(node))

    def _link(self, number: str, name: str, field: Field, link: Any) -> Iterator[Problem]:
        source = self.prompt.get(link[0])
        if source is None:
            yield self._problem(Fault.BAD_LINK, number, name, f"is linked to node {link[0]}, which is not there")
            return
        there = self.info.get(source["class_type"])
        if there is None:
            return                                     # told at that node
        kinds = outputs(there)
        if not 0 <= link[1] < len(kinds):
            yield self._problem(Fault.BAD_LINK, number, name,
                                f"is linked to output {link[1]} of {source['class_type']}, which has {len(kinds)}")
        elif not _fits(kinds[link[1]], field.kind):
            yield self._problem(Fault.BAD_LINK, number, name,
                                f"needs a {field.kind}, but {source['class_type']} gives a {kinds[link[1]]}")

    def _choice(self, number: str, name: str, field: Field, value: Any) -> Iterator[Problem]:
        if value in ("", None):
            yield self._problem(Fault.NO_CHOICE, number, name, "is empty")
            return
        stocked = any(is_file(choice) for choice in field.choices)
        anything = self.saved and not stocked and (is_file(value) or not field.choices)
        if not (value in field.choices or field.uploaded or anything):
            among = f"is none of the {len(field.choices)} that the server has" if field.choices else (
                "is not there: the server has none")
            yield self._problem(Fault.NO_CHOICE, number, name, f"{value!r} {among}",
                                near(str(value), map(str, field.choices)))

    def _number(self, number: str, name: str, field: Field, value: Any) -> Iterator[Problem]:
        whole = field.kind == "INT"
        right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not right or not math.isfinite(value):
            yield self._problem(Fault.BAD_VALUE, number, name, f"{value!r} is no {field.kind}")
        elif (field.low is not None and value < field.low) or (field.high is not None and value > field.high):
            yield self._problem(Fault.OUT_OF_RANGE, number, name,
                                f"{value} is not between {field.low} and {field.high}")
        elif field.step > 1 and (value - int(field.low or 0)) % field.step:
            yield self._problem(Fault.OUT_OF_RANGE, number, name,
                                f"{value} would be rounded: it goes in steps of {field.step} from {field.low or 0}")

    def _problem(self, fault: Fault, number: str, field: str, detail: str, close: Iterable[str] = ()) -> Problem:
        node = self.prompt[number]
        title = node.get("_meta", {}).get("title", "") or node["class_type"]
        return Problem(fault, number, title, node["class_type"], field, detail, tuple(close))


def _is_link(value: Any) -> bool:
    return (isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str)
            and isinstance(value[1], int))


def _fits(given: str, wanted: str) -> bool:
    """Whether one type goes into another: `*` and types that match each other take anything, `A,B` takes both."""
    loose = ("*", "COMFY_MATCHTYPE_V3")
    return given in loose or wanted in loose or bool(set(given.split(",")) & set(wanted.split(",")))
