"""One attempt is rendered by one job, or by none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from callsheet.errors import StoreCorrupt, StoreDenied, StoreError
from callsheet.store.attempts import close_attempt, holder, take_attempt
from callsheet.store.local import LocalStore
from tests.support.stores import MemoryStore

KEY = "segments/" + "a" * 64


def no_pause(seconds: float) -> None:
    """Time is not what these laws are about."""


def test_the_first_job_has_it_and_others_are_told_which(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert holder(store, KEY, 1) is None
    assert take_attempt(store, KEY, 1, "job-1", "worker-1") is None
    assert take_attempt(store, KEY, 1, "job-2", "worker-2") == "job-1"
    assert holder(store, KEY, 1) == "job-1"


def test_a_job_that_is_delivered_twice_is_told_its_own_id() -> None:
    store = MemoryStore()
    assert take_attempt(store, KEY, 1, "job-1", "worker-1") is None
    assert take_attempt(store, KEY, 1, "job-1", "worker-1") == "job-1"


def test_attempts_and_keys_are_apart() -> None:
    store = MemoryStore()
    for key, attempt in ((KEY, 1), (KEY, 2), ("flow_run/x", 1)):
        assert take_attempt(store, key, attempt, "job", "worker") is None


def test_what_was_closed_no_job_takes() -> None:
    store = MemoryStore()
    assert close_attempt(store, KEY, 1, "owner") is None
    assert take_attempt(store, KEY, 1, "job-1", "worker-1") == ""
    assert holder(store, KEY, 1) == ""
    assert close_attempt(store, KEY, 1, "another") is None, "closing it twice does no harm"


def test_who_closes_too_late_is_told_the_job() -> None:
    store = MemoryStore()
    take_attempt(store, KEY, 1, "job-1", "worker-1")
    assert close_attempt(store, KEY, 1, "owner") == "job-1"


def test_of_workers_and_closers_that_race_one_wins() -> None:
    for _ in range(20):
        store = MemoryStore()
        with ThreadPoolExecutor(8) as threads:
            taken = [threads.submit(take_attempt, store, KEY, 1, f"job-{n}", "w") for n in range(4)]
            closed = [threads.submit(close_attempt, store, KEY, 1, f"owner-{n}") for n in range(4)]
        winners = [n for n, future in enumerate(taken) if future.result() is None]
        found = {future.result() for future in closed}
        assert found == ({f"job-{winners[0]}"} if winners else {None})


class Shaky(MemoryStore):
    def __init__(self, errors: list[StoreError], lands: bool) -> None:
        super().__init__()
        self.errors, self.lands = errors, lands

    def put_if_absent(self, key: str, source: Path | bytes) -> bool:
        if self.errors:
            if self.lands:
                super().put_if_absent(key, source)
            raise self.errors.pop()
        return super().put_if_absent(key, source)


@pytest.mark.parametrize("lands", [False, True], ids=["refused", "answer lost"])
def test_a_store_that_fails_for_a_moment_does_not_cost_the_attempt(lands: bool) -> None:
    store = Shaky([StoreError(url="memory://", detail="503")] * 2, lands)
    assert take_attempt(store, KEY, 1, "job-1", "worker-1", pause=no_pause) is None
    assert take_attempt(store, KEY, 1, "job-1", "worker-1") == "job-1"


def test_a_store_that_fails_on_is_an_error() -> None:
    store = Shaky([StoreError(url="memory://", detail="503")] * 9, lands=False)
    with pytest.raises(StoreError, match="503"):
        take_attempt(store, KEY, 1, "job-1", "worker-1", pause=no_pause)
    store = Shaky([StoreDenied(url="memory://", detail="403")], lands=False)
    with pytest.raises(StoreDenied):
        take_attempt(store, KEY, 1, "job-1", "worker-1", pause=no_pause)


def test_a_claim_that_cannot_be_read_is_named() -> None:
    store = MemoryStore()
    store.put_if_absent(f"claims/{KEY}/1", b"?")
    with pytest.raises(StoreCorrupt, match="claims/"):
        take_attempt(store, KEY, 1, "job-1", "worker-1")
