"""What is made once is not made again; what changed below is; and only one of many makes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from callsheet.errors import EngineError, Fenced, StoreError
from callsheet.recipe import Recipe, Ref, Stage
from callsheet.store.base import Outcome, Room
from callsheet.store.make import make
from callsheet.store.records import Claim, Claimed, Failure, Record, Records
from tests.support.stores import MemoryStore


class Paint(Recipe):
    stage: ClassVar[Stage] = Stage.POSTER
    colour: str


class Frame(Recipe):
    stage: ClassVar[Stage] = Stage.TAKES
    picture: Ref


def writes(text: str, times: list[str] | None = None) -> Callable[[Room], Outcome]:
    def work(room: Room) -> Outcome:
        if times is not None:
            times.append(text)
        path = room.path("out.txt")
        path.write_text(text)
        return Outcome(files={"main": path}, facts={"text": text}, made_by="test")

    return work


RED = Paint(colour="red")


@pytest.fixture
def records() -> Records:
    return Records(MemoryStore(), lease_s=0.6)


def test_the_second_time_it_is_there_already(records: Records) -> None:
    times: list[str] = []
    first, cached_first = make(RED, writes("a", times), records)
    again, cached_again = make(RED, writes("a", times), records)
    assert (cached_first, cached_again, times) == (False, True, ["a"])
    assert again == first


def test_a_label_is_not_part_of_what_a_recipe_is(records: Records) -> None:
    assert Paint(colour="red", label="x").fingerprint == RED.fingerprint
    assert Paint(colour="blue").fingerprint != RED.fingerprint


def test_a_lost_file_is_made_again(records: Records) -> None:
    record, _ = make(RED, writes("a"), records)
    store = records.store
    assert isinstance(store, MemoryStore)
    store.lose(record.artifact().key)
    assert records.why_to_make(RED) == "its file main is gone"
    assert make(RED, writes("a"), records)[1] is False
    assert records.why_to_make(RED) == ""


def test_a_changed_input_makes_its_followers_stale_and_an_equal_one_does_not(records: Records) -> None:
    frame = Frame(picture=RED.ref())
    make(RED, writes("a"), records)
    make(frame, writes("f"), records)
    later = datetime.now(UTC) + timedelta(milliseconds=1)
    make(RED, writes("a"), records, since=later)
    assert records.why_to_make(frame) == "", "the same bytes again"
    make(RED, writes("b"), records, since=datetime.now(UTC) + timedelta(seconds=1))
    assert records.why_to_make(frame) == "an input was made anew"


def test_refresh_makes_anew_once_not_each_time_it_is_asked_for(records: Records) -> None:
    times: list[str] = []
    make(RED, writes("a", times), records)
    started = datetime.now(UTC)
    for _ in range(3):
        make(RED, writes("a", times), records, since=started)
    assert times == ["a", "a"]


def test_of_sixteen_runs_that_want_it_one_makes_it(records: Records) -> None:
    times: list[str] = []
    with ThreadPoolExecutor(16) as threads:
        made = list(threads.map(lambda _: make(RED, writes("a", times), records), range(16)))
    assert times == ["a"]
    assert sum(not cached for _, cached in made) == 1
    assert len({record.made_at for record, _ in made}) == 1


def test_a_failure_is_written_down_and_the_next_one_may_try(records: Records) -> None:
    def fails(room: Room) -> Outcome:
        raise EngineError(engine="e", what="a poster", detail="out of memory")

    with pytest.raises(EngineError):
        make(RED, fails, records)
    failure = records.failure(RED)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.retryable) == ("engine.failed", True)
    assert "out of memory" in failure.message
    assert make(RED, writes("a"), records)[1] is False
    assert records.failure(RED) is None


def test_a_running_claim_is_renewed_for_as_long_as_the_work_takes(records: Records) -> None:
    started, go_on = threading.Event(), threading.Event()
    times: list[str] = []

    def slow(room: Room) -> Outcome:
        started.set()
        go_on.wait(10)
        return writes("slow", times)(room)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(make, RED, slow, records)
        started.wait(10)
        second = threads.submit(make, RED, writes("fast", times), records)
        threading.Event().wait(1.5)                  # more than two leases
        go_on.set()
        assert first.result()[1] is False
        assert second.result()[1] is True
    assert times == ["slow"]


def test_an_owner_whose_lease_ran_out_cannot_publish_over_the_new_one(records: Records) -> None:
    clock = [1000.0]
    mine = Records(records.store, clock=lambda: clock[0], lease_s=1e9)
    theirs = Records(records.store, clock=lambda: clock[0], lease_s=1e9)
    with pytest.raises(Fenced), mine.claimed(RED) as right:
        assert isinstance(right, Claimed)
        clock[0] += 2e9                               # a pause so long that the lease is over
        record, _ = make(RED, writes("theirs"), theirs)
        right.publish(Outcome())
    found = records.current(RED)
    assert found is not None and found.facts == record.facts == {"text": "theirs"}


def test_a_holder_of_this_machine_that_died_is_taken_over_at_once() -> None:
    store = MemoryStore()
    program = (
        "import os, socket, sys; from callsheet.store.claims import new_owner; sys.stdout.write(new_owner())"
    )
    owner = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    claim = Claim(owner=owner, until=9e9)
    store.put_if_absent(f"poster/records/{RED.fingerprint}/000001.json", claim.model_dump_json().encode())
    assert make(RED, writes("a"), Records(store))[1] is False


def test_a_holder_that_lives_is_waited_for_until_its_lease_ends() -> None:
    store, clock = MemoryStore(), [1000.0]
    claim = Claim(owner=f"elsewhere/{os.getpid()}/1/abc", until=1001.0)
    store.put_if_absent(f"poster/records/{RED.fingerprint}/000001.json", claim.model_dump_json().encode())
    records = Records(store, clock=lambda: clock[0])
    assert records._try_claim(RED) is None
    clock[0] = 1002.0
    assert make(RED, writes("a"), records)[1] is False


def test_an_entry_of_schema_1_can_be_read_for_ever() -> None:
    store = MemoryStore()
    entry = {
        "kind": "record", "schema_version": 1, "stage": "poster", "fingerprint": RED.fingerprint,
        "recipe": {"colour": "red", "label": ""}, "artifacts": {}, "facts": {"text": "old"}, "inputs": {},
        "made_by": "placeholder 1", "warnings": [], "seconds": 1.5, "made_at": "2026-01-01T00:00:00Z", "owner": "x",
    }
    store.put_if_absent(f"poster/records/{RED.fingerprint}/000001.json", json.dumps(entry).encode())
    found = Records(store).current(RED)
    assert isinstance(found, Record) and found.facts == {"text": "old"}


def test_a_stage_may_have_a_check_of_its_own() -> None:
    store, words = MemoryStore(), [""]
    records = Records(store, checks={Stage.POSTER: lambda record: words[0]})
    make(RED, writes("a"), records)
    assert records.why_to_make(RED) == ""
    words[0] = "not delivered any more"
    assert records.why_to_make(RED) == "not delivered any more"


def test_an_input_that_is_made_anew_while_its_follower_is_made_leaves_the_follower_stale(records: Records) -> None:
    frame = Frame(picture=RED.ref())
    make(RED, writes("a"), records)

    def work(room: Room) -> Outcome:
        seen = room.fetch(RED.ref()).read_text()
        make(RED, writes("b"), records, since=datetime.now(UTC) + timedelta(seconds=1))
        return writes(f"from {seen}")(room)

    make(frame, work, records)
    assert records.why_to_make(frame) == "an input was made anew"


class Shaky(MemoryStore):
    """Fails the next writes whose key says `word`; `lands` writes first, as when only the answer was lost."""

    def __init__(self, word: str, times: int, lands: bool = False) -> None:
        super().__init__()
        self.word, self.times, self.lands = word, times, lands
        self.armed = False

    def put_if_absent(self, key: str, source: Path | bytes) -> bool:
        if self.armed and self.times and self.word in key:
            self.times -= 1
            if self.lands:
                super().put_if_absent(key, source)
            raise StoreError(url=self.url, detail="503")
        return super().put_if_absent(key, source)


@pytest.mark.parametrize("lands", [False, True], ids=["refused", "answer lost"])
@pytest.mark.parametrize("word", ["files", "records"])
def test_a_store_that_fails_when_the_work_is_done_does_not_cost_the_work(word: str, lands: bool) -> None:
    store, times = Shaky(word, times=3, lands=lands), []
    records = Records(store, lease_s=30)

    def work(room: Room) -> Outcome:
        store.armed = True
        return writes("a", times)(room)

    record, cached = make(RED, work, records)
    assert (times, cached) == (["a"], False)
    assert records.current(RED) == record
    assert make(RED, work, records) == (record, True)


def test_a_store_that_fails_for_long_ends_in_a_store_error() -> None:
    store = Shaky("records", times=10**9)

    def work(room: Room) -> Outcome:
        store.armed = True
        return writes("a")(room)

    with pytest.raises(StoreError, match="503"):
        make(RED, work, Records(store, lease_s=30, patience_s=0.2))


def test_one_failed_renewal_does_not_lose_the_claim() -> None:
    store, times = Shaky("records", times=1), []
    mine, theirs = Records(store, lease_s=1.2), Records(store, lease_s=1.2)
    working, go_on = threading.Event(), threading.Event()

    def slow(room: Room) -> Outcome:
        store.armed = True
        working.set()
        go_on.wait(10)
        return writes("mine", times)(room)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(make, RED, slow, mine)
        working.wait(10)
        second = threads.submit(make, RED, writes("theirs", times), theirs)
        threading.Event().wait(2.0)
        go_on.set()
        assert (first.result()[1], second.result()[1]) == (False, True)
    assert times == ["mine"]
