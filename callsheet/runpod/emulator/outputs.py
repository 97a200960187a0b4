"""What faults do to a result on its way from the worker to the client. Pure but for the counting of faults."""

from __future__ import annotations

from typing import Any

from callsheet.runpod.emulator.faults import FaultKind, Faults


def spoilt(body: dict[str, Any], faults: Faults, labels: tuple[str, ...]) -> dict[str, Any]:
    """The result as the client will see it."""
    body = dict(body)
    if faults.take(FaultKind.OUTPUT_MISSING, *labels):
        body.pop("output", None)
    if faults.take(FaultKind.OUTPUT_CUT, *labels):
        body["output"] = _cut(body.get("output"))
    if fault := faults.take(FaultKind.OUTPUT_ERRORS, *labels):
        output = body.get("output")
        body["output"] = {**(output if isinstance(output, dict) else {}),
                          "errors": [fault.value or "Workflow execution error: node 9 failed"]}
    if faults.take(FaultKind.OUTPUT_LEGACY, *labels):
        body["output"] = {"message": _first_picture(body.get("output")), "status": "success"}
    if fault := faults.take(FaultKind.OUTPUT_REPLACED, *labels):
        body["output"] = fault.value
    return body


def _cut(output: Any) -> Any:
    """The same with its longest text cut in half."""
    longest = max(_texts(output), key=len, default="")
    return _replaced(output, longest, longest[: len(longest) // 2]) if longest else output


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in _texts(each)]


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(each, old, new) for name, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, old, new) for each in value]
    return new if value == old else value


def _first_picture(output: Any) -> Any:
    images = output.get("images") if isinstance(output, dict) else None
    first = images[0] if images else ""
    return first.get("data", "") if isinstance(first, dict) else first
