"""How many workers an endpoint wants."""

from __future__ import annotations

from callsheet.runpod.emulator.scaling import wanted

DELAY = {"type": "QUEUE_DELAY", "queueDelay": 4.0}
LIMITS = {"min": 0, "max": 3}


def test_the_first_job_wakes_an_endpoint_at_once() -> None:
    assert wanted(DELAY, LIMITS, [0.0], busy=0, free=0) == 1


def test_a_young_queue_waits_for_the_workers_that_are_there() -> None:
    assert wanted(DELAY, LIMITS, [3.9, 1.0], busy=1, free=0) == 1


def test_jobs_that_waited_too_long_get_workers_of_their_own() -> None:
    assert wanted(DELAY, LIMITS, [5.0, 4.0, 1.0], busy=1, free=0) == 3


def test_workers_on_their_way_are_counted_on() -> None:
    assert wanted(DELAY, LIMITS, [5.0, 4.0], busy=1, free=1) == 3
    assert wanted(DELAY, LIMITS, [5.0], busy=1, free=1) == 2


def test_the_maximum_holds_and_zero_means_none() -> None:
    assert wanted(DELAY, LIMITS, [9.0] * 20, busy=2, free=0) == 3
    assert wanted(DELAY, {"min": 0, "max": 0}, [9.0] * 20, busy=0, free=0) == 0


def test_the_minimum_is_kept_without_jobs() -> None:
    assert wanted(DELAY, {"min": 2, "max": 3}, [], busy=0, free=0) == 2


def test_request_counts_divide_the_load() -> None:
    assert wanted({"type": "REQUEST_COUNT", "requestCount": 4}, LIMITS, [0.0] * 7, busy=1, free=0) == 2
