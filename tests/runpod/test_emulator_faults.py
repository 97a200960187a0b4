"""The table of faults: where they strike, how often, and which facts they take."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from callsheet.runpod.emulator.faults import Fault, FaultKind, Faults
from callsheet.runpod.emulator.outputs import spoilt


def table(kind: FaultKind, **facts: object) -> Faults:
    faults = Faults()
    faults.add(Fault(kind=kind, **facts))               # type: ignore[arg-type]
    return faults


def test_a_fault_strikes_as_often_as_it_says() -> None:
    faults = table(FaultKind.BUSY, count=2)
    assert [faults.take(FaultKind.BUSY, "x") is not None for _ in range(3)] == [True, True, False]


def test_a_fault_without_end_strikes_always() -> None:
    faults = table(FaultKind.BUSY, count=-1)
    assert all(faults.take(FaultKind.BUSY) for _ in range(10))


def test_a_fault_lets_the_first_occasions_pass() -> None:
    faults = table(FaultKind.ANSWER_LOST, after=2)
    assert [faults.take(FaultKind.ANSWER_LOST, "x") is not None for _ in range(4)] == [False, False, True, False]


def test_a_fault_strikes_where_its_pattern_fits_any_label() -> None:
    faults = table(FaultKind.NO_CAPACITY, where="*A40")
    assert faults.take(FaultKind.NO_CAPACITY, "name", "NVIDIA L40S") is None
    assert faults.take(FaultKind.NO_CAPACITY, "name", "NVIDIA A40")


def test_a_young_thing_is_no_occasion() -> None:
    faults = table(FaultKind.CRASH, seconds=5)
    assert faults.take(FaultKind.CRASH, "x", age=4.9) is None
    assert faults.take(FaultKind.CRASH, "x", age=5.0)


@pytest.mark.parametrize("facts", [
    {"kind": "denied", "seconds": 3}, {"kind": "crash", "after": 1}, {"kind": "busy", "value": 2},
    {"kind": "price_change"}, {"kind": "price_change", "value": -1}, {"kind": "nonsense"},
    {"kind": "busy", "count": -2},
])
def test_a_fact_that_would_be_ignored_is_refused(facts: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Fault.model_validate(facts)


PICTURES = {"output": {"images": [{"filename": "a.png", "type": "base64", "data": "A" * 40}]}}


def test_a_cut_output_has_lost_half_of_its_longest_text() -> None:
    found = spoilt(PICTURES, table(FaultKind.OUTPUT_CUT), ("x",))
    assert found["output"]["images"][0] == {"filename": "a.png", "type": "base64", "data": "A" * 20}


def test_errors_stand_beside_pictures() -> None:
    found = spoilt(PICTURES, table(FaultKind.OUTPUT_ERRORS), ("x",))
    assert "Workflow execution error" in found["output"]["errors"][0] and found["output"]["images"]


def test_the_old_shape_has_the_first_picture_as_message() -> None:
    assert spoilt(PICTURES, table(FaultKind.OUTPUT_LEGACY), ("x",))["output"] == {
        "message": "A" * 40, "status": "success"}


def test_a_missing_output_leaves_nothing() -> None:
    assert spoilt(PICTURES, table(FaultKind.OUTPUT_MISSING), ("x",)) == {}


def test_every_fault_says_what_it_does() -> None:
    import ast
    import inspect
    from itertools import pairwise

    import callsheet.runpod.emulator.faults as module

    body = next(node for node in ast.parse(inspect.getsource(module)).body
                if isinstance(node, ast.ClassDef) and node.name == "FaultKind").body
    described = {
        node.targets[0].id for node, after in pairwise(body)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(after, ast.Expr)
    }
    assert described == {kind.name for kind in FaultKind}
