"""How the pretended ComfyUI looks at a graph before it takes it: as loosely as the real one.

Unknown inputs and unconnected nodes are let be, outputs with a mistake are dropped, and a job with any good one is
taken all the same.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.comfyui_drawing import Graph, above, links

OUTPUTS = ("SaveImage", "SaveVideo", "PreviewImage")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Intake:
    """Graphs that were posted, and those that wait."""

    schema: dict[str, Any]
    posted: list[Graph]
    """Every graph that was taken."""
    own_ids = False
    """As servers of old: the id that a client gives is not heard."""
    _lock: threading.RLock
    _pending: list[dict[str, Any]]

    def object_info(self) -> dict[str, Any]:
        raise NotImplementedError

    def take(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        """POST /prompt."""
        graph = body.get("prompt")
        if not isinstance(graph, dict):
            return 400, {"error": {"type": "no_prompt", "message": "No prompt provided", "details": ""}}
        prompt_id = str(body.get("prompt_id") or "")
        if self.own_ids:
            prompt_id = "00000000-0000-0000-0000-000000000000"
        if prompt_id and not _UUID.fullmatch(prompt_id):
            return 400, {"error": {"type": "invalid_prompt_id", "message": "prompt_id must be a lowercase UUID"}}
        if isinstance(graph.get("nodes"), list):
            return 500, None                              # the format of its own page, not of its API
        for name, node in graph.items():
            if node.get("class_type") not in self.schema:
                return 400, {"error": {
                    "type": "missing_node_type", "message": f"Node '{node.get('class_type')}' not found.",
                    "details": f"Node ID '#{name}'", "extra_info": {}}, "node_errors": {}}
        outputs = [name for name, node in graph.items() if node["class_type"] in OUTPUTS]
        if not outputs:
            return 400, {"error": {"type": "prompt_no_outputs", "message": "Prompt has no outputs", "details": ""},
                         "node_errors": {}}
        good, wrong = [], {}
        for name in outputs:
            found = dict(self._wrong(graph, name))
            wrong.update(found)
            good += [] if found else [name]
        if not good:
            return 400, {"error": {"type": "prompt_outputs_failed_validation",
                                   "message": "Prompt outputs failed validation", "details": ""}, "node_errors": wrong}
        with self._lock:
            self.posted.append(graph)
            self._pending.append(
                {"id": prompt_id, "graph": graph, "client": str(body.get("client_id")), "outputs": good})
        return 200, {"prompt_id": prompt_id, "number": len(self.posted), "node_errors": wrong}

    def _wrong(self, graph: Graph, output: str) -> Iterator[tuple[str, Any]]:
        info = self.object_info()
        for name in above_or_fail(graph, output):
            node = graph[name]
            groups = info[node["class_type"]]["input"]
            errors = []
            for key, spec in {**groups.get("required", {}), **groups.get("optional", {})}.items():
                value = node["inputs"].get(key)
                if value is None:
                    if key in groups.get("required", {}):
                        errors.append({"type": "required_input_missing", "message": "Required input is missing",
                                       "details": key, "extra_info": {"input_name": key}})
                elif isinstance(spec[0], list) and not isinstance(value, list) and value not in spec[0]:
                    listed = f"(list of length {len(spec[0])})" if len(spec[0]) > 20 else str(spec[0])
                    errors.append({"type": "value_not_in_list", "message": "Value not in list",
                                   "details": f"{key}: '{value}' not in {listed}", "extra_info": {"input_name": key}})
            if errors:
                yield name, {"errors": errors, "dependent_outputs": [output], "class_type": node["class_type"]}


def above_or_fail(graph: Graph, name: str) -> list[str]:
    """Raises KeyError for a link that leads nowhere."""
    for each, node in graph.items():
        for link in links(node):
            if link not in graph:
                raise KeyError(link, each)
    return list(above(graph, name))
