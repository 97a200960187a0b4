"""Whatever dies, lies or comes late: one render a key, one result, no job lost. And the test would notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from callsheet.costs import Outcome
from callsheet.errors import AnswerUnknown
from callsheet.store import payment as payment_module
from callsheet.store.journal import Journal, Turn
from callsheet.store.journal_entries import Entry
from tests.support.paying_laws import check
from tests.support.paying_world import LEASE_S, FakeJobs, Fault, Job, Owner, World

KEYS = ("segments/aa", "lipsync/bb")
SLOTS = st.sampled_from([0, 0, 1, 2, 3])
MOST_STEPS = 4000


class Paying(RuleBasedStateMachine):
    """Owners, workers and faults in any order."""

    claims: ClassVar[bool] = True
    make_journal: ClassVar[Callable[..., Journal]] = Journal
    settles: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.world = World(claims=self.claims, settles=self.settles, make_journal=type(self).make_journal)
        self.slots: dict[int, Owner] = {}

    def _owner(self, slot: int) -> Owner:
        """Who works in a slot: slot 2 wants the second key, slot 3 is on another machine."""
        owner = self.slots.get(slot)
        if owner is None or owner.over:
            owner = self.slots[slot] = self.world.begin(KEYS[slot == 2], near=slot != 3)
        return owner

    def _job(self, number: int) -> Job | None:
        open_jobs = [job for job in self.world.jobs.values() if not job.over]
        return open_jobs[number % len(open_jobs)] if open_jobs else None

    def _run(self, slot: int, steps: int) -> None:
        owner = self._owner(slot)
        for _ in range(steps):
            self.world.now += min(owner.pausing_s, 5.0) if steps > 1 else 0.0
            self.world.step(owner)

    @rule(slot=SLOTS, steps=st.integers(1, 16))
    def go_on(self, slot: int, steps: int) -> None:
        self._run(slot, steps)

    @rule(slot=SLOTS, steps=st.integers(4, 12))
    def go_on_while_workers_work(self, slot: int, steps: int) -> None:
        self._run(slot, steps)
        for job in list(self.world.jobs.values()):
            self.world.work(job)

    @rule(slot=SLOTS, steps=st.integers(1, 8), kind=st.sampled_from(["crash", "500"]), countdown=st.integers(1, 8),
          after=st.booleans())
    def go_on_with_a_fault(self, slot: int, steps: int, kind: str, countdown: int, after: bool) -> None:
        self._owner(slot).fault = Fault(kind, countdown, after)
        self._run(slot, steps)

    @rule(slot=SLOTS, other=SLOTS, countdown=st.integers(1, 6), steps=st.integers(1, 12), late=st.booleans())
    def somebody_else_in_the_middle_of_a_step(
        self, slot: int, other: int, countdown: int, steps: int, late: bool
    ) -> None:
        def meanwhile() -> None:
            self.world.now += 100.0 if late else 0.0
            self._run(other, steps)

        self._owner(slot).interrupt = (countdown, meanwhile)
        self._run(slot, 4)
        self._owner(slot).interrupt = None

    @rule(slot=SLOTS, how=st.sampled_from(["die", "stop", "stop"]))
    def one_ends(self, slot: int, how: str) -> None:
        (self.world.crash if how == "die" else self.world.stop)(self._owner(slot))

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0, 200.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    @precondition(lambda self: self._job(0) is not None)
    @rule(number=st.integers(0, 3), how=st.sampled_from(["well"] * 6 + ["fail", "refuse", "empty", "die", "vanish"]))
    def a_worker_works(self, number: int, how: str) -> None:
        job = self._job(number)
        assert job is not None
        self.world.work(job, how)

    @rule(what=st.sampled_from(["lost", "busy", "failed", "silent", "deaf", "hears"]))
    def the_provider_is_odd(self, what: str) -> None:
        world = self.world
        if what == "lost":
            world.lose_answer = True
        elif what in ("busy", "failed"):
            world.refuse = what
        elif what == "silent":
            world.silent = 2
        else:
            world.deaf = what == "deaf"

    def teardown(self) -> None:
        """From here on nothing goes wrong: everybody comes to an end, and nothing is left open."""
        world = self.world
        world.lose_answer, world.refuse, world.silent, world.deaf = False, "", 0, False
        for owner in world.owners:
            owner.fault = owner.interrupt = None
        self._finish([owner for owner in world.owners if not owner.over])
        reader = Journal(world.store, clock=lambda: world.now)
        left = [key for key in KEYS if world.journal(key) and world.journal(key)[-1].kind != "ended"]
        assert set(left) <= set(reader.open_keys(days=30)), "P6: an open key that nobody would find"
        for _ in range(2):                            # the second time, no stopped owner's lease is live any more
            self._finish([world.begin(key, near=True, adopts=True) for key in reader.open_keys(days=30)])
            world.now += 2 * LEASE_S
        assert reader.open_keys(days=30) == [], "P6: nobody adopted it"
        for key in KEYS:
            check(world, key)

    def _finish(self, owners: list[Owner]) -> None:
        for _ in range(MOST_STEPS):
            going = [owner for owner in owners if not owner.over]
            if not going:
                return
            for owner in going:
                self.world.step(owner)
            self.world.now += max(owner.pausing_s for owner in going)
            for job in list(self.world.jobs.values()):
                self.world.work(job)
        raise AssertionError("P6: somebody never came to an end")


QUICK = settings(
    max_examples=250, stateful_step_count=30, deadline=None, derandomize=True, database=None, print_blob=False,
    suppress_health_check=list(HealthCheck),
)
HUNT = settings(QUICK, max_examples=3000, phases=(Phase.generate,), report_multiple_bugs=False)
LONG = settings(QUICK, max_examples=4000, stateful_step_count=60, derandomize=False)


def test_one_render_a_key_and_no_job_lost_whatever_happens() -> None:
    run_state_machine_as_test(Paying, settings=QUICK)


@pytest.mark.soak
def test_one_render_a_key_and_no_job_lost_in_thousands_of_histories() -> None:
    run_state_machine_as_test(Paying, settings=LONG)


# ---- mutants: what each safeguard is for


class Forgetful(Journal):
    """No adoption: ends what was left open, instead of looking what became of it."""

    def turn(self, key: str) -> Turn | None:
        turn = super().turn(key)
        if turn is not None and turn.is_open:
            turn.end(Outcome.LOST, retryable=True)
        return turn


def unfenced(turn: Turn, entry: Entry) -> Entry:
    """No fencing: writes behind whatever others have written."""
    while not turn._log.put(turn.number + 1, entry.model_dump_json(indent=1).encode()):
        turn.number += 1
    turn.number += 1
    turn.entry = entry
    return entry


async def blind(jobs: FakeJobs, key: str, attempt: int, submit: Any = FakeJobs.submit) -> str:
    """Submits again when an answer is lost."""
    try:
        return str(await submit(jobs, key, attempt))
    except AnswerUnknown:
        return str(await submit(jobs, key, attempt))


def hunted(machine: type[Paying], law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        run_state_machine_as_test(machine, settings=HUNT)


def test_without_adoption_a_job_is_paid_twice() -> None:
    class Mutant(Paying):
        make_journal = Forgetful
        settles = False                               # it does not come to that

    hunted(Mutant, "P1|P2")


def test_without_fencing_somebody_writes_who_was_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turn, "_append", unfenced)
    hunted(Paying, "P5")


def test_without_claims_a_job_renders_that_was_given_up() -> None:
    class Mutant(Paying):
        claims = False

    hunted(Mutant, "P1")


def test_an_attempt_that_is_not_closed_renders_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payment_module, "close_attempt", lambda *_: None)
    hunted(Paying, "P1|P2")


def test_a_submit_that_is_blindly_tried_again_is_paid_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeJobs, "submit", blind)
    hunted(Paying, "P2")


def test_without_an_index_nobody_finds_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turn, "_mark", lambda *_: None)
    hunted(Paying, "P6")
