"""What a worker goes after when it starts, and every while."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from callsheet.runpod.adoption import Found, found, strays
from callsheet.runpod.answers import Pod
from callsheet.runpod.pods import pod_name
from tests.support.pod_account import NOON

A, B, C = (UUID(int=n) for n in (1, 2, 3))
OLD, NEW = NOON - timedelta(seconds=90), NOON - timedelta(seconds=5)


def pod(number: str, run: UUID, status: str = "RUNNING") -> Pod:
    return Pod(id=number, name=pod_name(run), status=status)


def test_a_machine_or_an_open_attempt_is_gone_after_at_once() -> None:
    assert found([pod("p1", A)], [f"flow_run/{B}"], {A: NEW, B: NEW}, (), NOON) == [
        Found(A, ("p1",), False), Found(B, (), True)]


def test_a_run_with_neither_is_given_time_to_get_one() -> None:
    assert found([], [], {A: NEW, B: OLD}, (), NOON) == [Found(B, (), False)]


def test_what_somebody_looks_after_here_is_left_to_them() -> None:
    assert found([pod("p1", A)], [f"flow_run/{A}"], {A: OLD}, {A}, NOON) == []


def test_pods_that_are_over_or_have_other_names_are_no_machines() -> None:
    assert found([pod("p1", A, "EXITED"), Pod(id="p2", name="training", status="RUNNING")], [], {}, (), NOON) == []


def test_of_two_pods_of_one_run_the_one_in_the_journal_stays() -> None:
    assert strays(["p1", "p2"], "p2") == ["p1"]
    assert strays(["p1", "p2"], "p3") == []
