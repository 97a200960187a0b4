"""Nodes, links and graphs. A graph is the nodes that save something and all that leads to them.

    load = Node("LoadImage", "first frame", {"image": "first.png"})
    save = Node("SaveImage", "poster", {"images": load.out(0), "filename_prefix": "a/poster"})
    Graph({"main": save}).as_json()

Links are references, so a graph cannot have a node that leads nowhere or a link to a node that is not there. Node ids
follow from the order in which inputs are written: the same graph is always printed the same. Loops cannot be built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Link:
    """One output of a node."""

    node: Node
    output: int = 0


Value = str | int | float | bool | Link
Inputs = Mapping[str, Value]


@dataclass(frozen=True, eq=False)
class Node:
    """A node of the server. Two nodes are the same only if they are one object."""

    class_type: str
    title: str
    """What people call it, in the editor and in errors: it names the actor where it has to do with one."""
    inputs: Inputs

    def out(self, output: int = 0) -> Link:
        return Link(self, output)


@dataclass(frozen=True, eq=False)
class Graph:
    """What is posted as one prompt."""

    outputs: Mapping[str, Node]
    """The nodes that save something, by what it is for us: main, last_frame."""

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """By id, "1" first; each after all nodes that it takes something from."""
        found: dict[Node, None] = {}

        def visit(node: Node) -> None:
            if node in found:
                return
            for value in node.inputs.values():
                if isinstance(value, Link):
                    visit(value.node)
            found[node] = None

        for node in self.outputs.values():
            visit(node)
        return {str(number): node for number, node in enumerate(found, start=1)}

    @cached_property
    def ids(self) -> Mapping[str, str]:
        """Ids of the saving nodes, by the names in `outputs`: the server's history files results under them."""
        numbers = self._numbers
        return {name: numbers[node] for name, node in self.outputs.items()}

    def as_json(self) -> dict[str, Any]:
        """ComfyUI's API format: {id: {class_type, inputs, _meta}}; a link is [id, output]."""
        numbers = self._numbers
        return {
            number: {
                "class_type": node.class_type,
                "inputs": {name: [numbers[value.node], value.output] if isinstance(value, Link) else value
                           for name, value in node.inputs.items()},
                "_meta": {"title": node.title},
            }
            for number, node in self.nodes.items()
        }

    def text(self) -> str:
        """The API JSON as people read it."""
        return json.dumps(self.as_json(), indent=2, ensure_ascii=False)

    @property
    def _numbers(self) -> Mapping[Node, str]:
        return {node: number for number, node in self.nodes.items()}
