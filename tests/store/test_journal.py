"""Nothing is forgotten, nothing overwritten, and only one at a time goes on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from callsheet.costs import Outcome
from callsheet.errors import Fenced, StoreCorrupt, StoreError
from callsheet.pricing import Rate
from callsheet.store.journal import Ended, Intent, Journal, Submitted, Turn
from tests.support.stores import MemoryStore

KEY = "segments/" + "a" * 64
RATE = Rate(gpu="NVIDIA A40", usd_per_second=0.00034)
DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(clock: Clock) -> Journal:
    return Journal(MemoryStore(), clock=clock)


def turn_of(journal: Journal, key: str = KEY) -> Turn:
    turn = journal.turn(key)
    assert turn is not None
    return turn


def begun(journal: Journal, key: str = KEY) -> Turn:
    turn = turn_of(journal, key)
    turn.intend(0.5, RATE, {"actor": "maya"})
    return turn


def test_an_attempt_goes_from_intent_over_submitted_to_ended(journal: Journal) -> None:
    turn = turn_of(journal)
    assert (turn.state, turn.attempt, turn.job_id) == ("new", 0, "")
    assert turn.intend(0.5, RATE, {"actor": "maya"}) == 1
    assert (turn.state, turn.attempt, turn.job_id) == ("intent", 1, "")
    turn.submitted("job-1")
    assert (turn.state, turn.job_id) == ("submitted", "job-1")
    turn.end(Outcome.MADE, artifacts={"main": "b" * 64}, seconds=12.5)
    assert (turn.state, turn.is_open) == ("ended", False)
    intent, submitted, ended = journal.history(KEY)
    assert isinstance(intent, Intent)
    assert (intent.worst_usd, intent.rate, intent.facts) == (0.5, RATE, {"actor": "maya"})
    assert isinstance(submitted, Submitted) and submitted.job_id == "job-1"
    assert isinstance(ended, Ended) and (ended.outcome, ended.job_id, ended.seconds) == (Outcome.MADE, "job-1", 12.5)


def test_the_next_attempt_has_the_next_number(journal: Journal) -> None:
    begun(journal).end(Outcome.FAILED, retryable=True)
    turn = turn_of(journal)
    assert turn.state == "ended"
    assert turn.intend(0.5, None, {}) == 2


def test_while_a_lease_is_live_nobody_else_has_a_turn(journal: Journal, clock: Clock) -> None:
    begun(journal)
    clock.now += 59
    assert journal.turn(KEY) is None
    clock.now += 2
    assert turn_of(journal).state == "intent"


def test_a_renewed_lease_lasts_on(journal: Journal, clock: Clock) -> None:
    turn = begun(journal)
    for _ in range(5):
        clock.now += 50
        assert turn.renew()
    assert journal.turn(KEY) is None


def test_a_lease_is_renewed_when_a_third_of_it_is_gone(journal: Journal, clock: Clock) -> None:
    turn = begun(journal)
    clock.now += 15
    assert not turn.renew_if_due()
    clock.now += 10
    assert turn.renew_if_due()
    assert journal.length(KEY) == 2


def test_who_takes_over_knows_the_job_and_what_it_was_for(journal: Journal, clock: Clock) -> None:
    begun(journal).submitted("job-1")
    clock.now += 61
    turn = turn_of(journal)
    assert (turn.state, turn.job_id, turn.attempt) == ("submitted", "job-1", 1)
    assert turn.intent is not None and turn.intent.facts == {"actor": "maya"}
    clock.now += 61
    assert turn_of(journal).job_id == "job-1", "also when it was taken over twice"


@pytest.mark.parametrize("write", [
    lambda turn: turn.submitted("job-2"), lambda turn: turn.renew(), lambda turn: turn.release(),
    lambda turn: turn.end(Outcome.MADE),
], ids=["submitted", "renew", "release", "end"])
def test_who_was_taken_over_cannot_write(journal: Journal, clock: Clock, write: Callable[[Turn], object]) -> None:
    old = begun(journal)
    clock.now += 61
    turn_of(journal)
    for _ in range(2):
        with pytest.raises(Fenced, match=KEY):
            write(old)


def test_an_expired_lease_that_nobody_took_is_still_the_owners(journal: Journal, clock: Clock) -> None:
    turn = begun(journal)
    clock.now += 10 * DAY_S
    turn.submitted("job-1")
    assert journal.turn(KEY) is None


def test_of_sixteen_who_begin_one_does(journal: Journal) -> None:
    turns = [turn_of(journal) for _ in range(16)]

    def intend(turn: Turn) -> bool:
        try:
            return turn.intend(0.5, None, {}) == 1
        except Fenced:
            return False

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(intend, turns)) == 1
    assert journal.length(KEY) == 1


def test_of_sixteen_who_take_over_one_does(journal: Journal, clock: Clock) -> None:
    begun(journal)
    clock.now += 61
    with ThreadPoolExecutor(16) as threads:
        turns = list(threads.map(lambda _: journal.turn(KEY), range(16)))
    assert sum(turn is not None for turn in turns) == 1


def test_a_released_attempt_can_be_taken_over_at_once(journal: Journal) -> None:
    turn = begun(journal)
    turn.submitted("job-1")
    turn.release()
    assert turn_of(journal).job_id == "job-1"


def test_an_owner_of_this_machine_that_died_is_taken_over_at_once() -> None:
    program = "import sys; from callsheet.store.claims import new_owner; sys.stdout.write(new_owner())"
    dead = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    store = MemoryStore()
    begun(Journal(store, owner=lambda: dead))
    assert turn_of(Journal(store)).state == "intent"


def test_only_what_is_open_can_be_renewed_or_ended(journal: Journal) -> None:
    turn = turn_of(journal)
    assert not turn.renew()
    with pytest.raises(AssertionError):
        turn.end(Outcome.FAILED)
    assert journal.length(KEY) == 0


# ---- stores that fail


class Shaky(MemoryStore):
    """Fails the next write whose key says `word`; it may have landed all the same."""

    word = ""
    lands = False

    def put_if_absent(self, key: str, source: Path | bytes) -> bool:
        if self.word and self.word in key:
            self.word = ""
            if self.lands:
                super().put_if_absent(key, source)
            raise StoreError(url=self.url, detail="503")
        return super().put_if_absent(key, source)


@pytest.mark.parametrize("lands", [False, True], ids=["refused", "answer lost"])
def test_a_write_that_failed_can_be_tried_again(clock: Clock, lands: bool) -> None:
    store = Shaky()
    journal = Journal(store, clock=clock)
    turn = turn_of(journal)
    for write in (
        lambda: turn.intend(0.5, None, {}), lambda: turn.submitted("job-1"), turn.renew,
        lambda: turn.end(Outcome.MADE),
    ):
        store.word, store.lands = "journal/", lands
        with pytest.raises(StoreError):
            write()
        clock.now += 1
        write()
    assert [entry.kind for entry in journal.history(KEY) if entry.kind != "lease"] == ["intent", "submitted", "ended"]


def test_a_lost_answer_to_a_renewal_does_not_cost_the_turn(clock: Clock) -> None:
    store = Shaky()
    journal = Journal(store, clock=clock)
    turn = begun(journal)
    store.word, store.lands = "journal/", True
    with pytest.raises(StoreError):
        turn.renew()
    clock.now += 1
    turn.submitted("job-1")
    turn.end(Outcome.MADE)
    assert [entry.kind for entry in journal.history(KEY)] == ["intent", "lease", "submitted", "ended"]


def test_an_entry_that_cannot_be_read_is_named(journal: Journal) -> None:
    journal.store.put_if_absent(f"journal/{KEY}/000001.json", b"{")
    with pytest.raises(StoreCorrupt, match="000001"):
        journal.turn(KEY)


def test_an_entry_of_schema_1_can_be_read_for_ever(journal: Journal) -> None:
    journal.store.put_if_absent(f"journal/{KEY}/000001.json", b"""{
        "kind": "intent", "schema_version": 1, "attempt": 1, "owner": "x/1/1/a", "until": 1.0,
        "at": "2026-01-01T00:00:00Z", "worst_usd": 0.5,
        "rate": {"gpu": "NVIDIA A40", "usd_per_second": 0.00034, "source": "list"}, "facts": {}}""")
    journal.store.put_if_absent(f"journal/{KEY}/000002.json", b"""{
        "kind": "submitted", "schema_version": 1, "attempt": 1, "owner": "x/1/1/a", "until": 1.0,
        "at": "2026-01-01T00:00:00Z", "job_id": "job-1", "began": 1}""")
    journal.store.put_if_absent(f"journal/{KEY}/000003.json", b"""{
        "kind": "lease", "schema_version": 1, "attempt": 1, "owner": "x/1/1/a", "until": 1.0, "job_id": "job-1",
        "began": 1}""")
    assert turn_of(journal).job_id == "job-1"
    journal.store.put_if_absent(f"journal/{KEY}/000005.json", b"""{
        "kind": "ended", "schema_version": 1, "attempt": 1, "owner": "x/1/1/a", "at": "2026-01-01T00:00:00Z",
        "outcome": "made", "job_id": "job-1", "seconds": 1.5, "artifacts": {}, "code": "", "message": "",
        "remedy": "", "retryable": false, "began": 1}""")
    assert turn_of(journal).state == "ended"


# ---- what is open


def test_open_keys_are_those_whose_attempt_has_not_ended(journal: Journal) -> None:
    for key in ("segments/aa", "segments/bb", "flow_run/cc"):
        begun(journal, key)
    turn_of(journal, "segments/new")
    done = begun(journal, "segments/dd")
    done.end(Outcome.MADE)
    assert journal.open_keys() == ["flow_run/cc", "segments/aa", "segments/bb"]
    assert journal.open_keys("flow_run/") == ["flow_run/cc"]


def test_a_second_attempt_is_open_though_the_first_one_ended(journal: Journal) -> None:
    begun(journal).end(Outcome.FAILED, retryable=True)
    assert journal.open_keys() == []
    begun(journal)
    assert journal.open_keys() == [KEY]


def test_what_began_yesterday_is_found_and_ends_in_its_own_day(journal: Journal, clock: Clock) -> None:
    begun(journal)
    clock.now += DAY_S
    assert journal.open_keys() == [KEY]
    turn_of(journal).end(Outcome.LOST)
    assert journal.open_keys() == []
    clock.now += 10 * DAY_S
    assert journal.open_keys() == []


def test_an_end_whose_mark_was_not_written_is_an_end(clock: Clock) -> None:
    store = Shaky()
    journal = Journal(store, clock=clock)
    turn = begun(journal)
    store.word = ".ended"
    turn.end(Outcome.MADE)
    assert journal.open_keys() == []


def test_a_mark_without_an_attempt_is_not_open(clock: Clock) -> None:
    store = Shaky()
    journal = Journal(store, clock=clock)
    store.word = "journal/"
    with pytest.raises(StoreError):
        begun(journal)
    assert journal.open_keys() == []


def test_what_has_ended_is_listed_and_not_read(journal: Journal) -> None:
    for number in range(50):
        begun(journal, f"segments/{number:02d}").end(Outcome.MADE)
    begun(journal, "segments/open")
    reads: list[str] = []
    read = journal.store.read

    def counted(key: str) -> bytes:
        reads.append(key)
        return read(key)

    journal.store.read = counted  # type: ignore[method-assign]
    assert journal.open_keys() == ["segments/open"]
    assert len(reads) == 1
