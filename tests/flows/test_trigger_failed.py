"""What stands in for a run that an automation could not start."""

from __future__ import annotations

from prefect.logging import disable_run_logger

from flows.trigger_failed import trigger_failed


def test_a_run_that_ended_before_it_could_be_marked_crashed_is_nobodys_failure() -> None:
    happened = {"reason": "Run is already in terminal state COMPLETED.", "action": {"type": "change-flow-run-state"}}
    with disable_run_logger():
        assert trigger_failed.fn(happened) is None
