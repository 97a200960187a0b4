"""The worker of the pool and its machines under fault: killed at every point, frozen, at odds with the provider.

A real Prefect server, an emulated account, real worker processes, pods and endpoint workers. What holds each time:
the run's outcome with words, its flow begun once, machines within P2, nothing open or promised, estimate <= bill <=
bound for each machine, and after reconciling the ledger is the bill. One of each kind is in
test_worker_on_emulator.py for `make test`. Recipes and their jobs are elsewhere.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from callsheet.runpod.emulator.faults import Fault, FaultKind
from callsheet.runpod.emulator.serve import running_emulator
from tests.support.pool_studio import Studio, until

pytestmark = pytest.mark.soak

K = FaultKind
LIST, CATALOGUE, CREATE = "GET /v2/pods", "GET /v2/catalog/*", "POST /v2/pods"
LOOK, DELETE = "GET /v2/pods/*", "DELETE /v2/pods/*"
SUBMIT, STATUS, CANCEL = "POST /jobs/*/run", "GET /jobs/*/status/*", "POST /jobs/*/cancel/*"
Seen = Callable[[Studio, UUID], Any]


@pytest.fixture
def studio(tmp_path: Path, prefect_here: str, request: pytest.FixtureRequest) -> Iterator[Studio]:
    with running_emulator(tmp_path / "emulator", **getattr(request, "param", {})) as emulator:
        yield Studio(tmp_path, emulator)


@pytest.fixture(scope="module")
def staffed(tmp_path_factory: pytest.TempPathFactory, prefect_here: str) -> Iterator[Studio]:
    """With a worker that serves test after test."""
    folder = tmp_path_factory.mktemp("staffed")
    with running_emulator(folder / "emulator") as emulator:
        studio = Studio(folder, emulator)
        with studio.worker(sweep=3):
            yield studio


@pytest.fixture(scope="module")
def booting(tmp_path_factory: pytest.TempPathFactory, prefect_here: str) -> Iterator[Studio]:
    """With a worker too; pods take ten minutes to boot."""
    folder = tmp_path_factory.mktemp("booting")
    with running_emulator(folder / "emulator", start_s=600) as emulator:
        studio = Studio(folder, emulator)
        with studio.worker(sweep=3):
            yield studio


@pytest.fixture
def shared(staffed: Studio) -> Iterator[Studio]:
    staffed.emulator.clear_faults()
    yield staffed
    staffed.emulator.clear_faults()


@pytest.fixture
def slow(booting: Studio) -> Iterator[Studio]:
    booting.emulator.clear_faults()
    yield booting
    booting.emulator.clear_faults()


# ---- what is seen


def pod_is(*states: str) -> Seen:
    """The journal knows the pod, and it is in one of these states."""
    def seen(studio: Studio, run: UUID) -> bool:
        return bool(studio.machine_of(run)) and any(pod["state"] in states for pod in studio.pods_of(run))

    return seen


def job_is(*states: str) -> Seen:
    def seen(studio: Studio, run: UUID) -> bool:
        return bool(studio.machine_of(run)) and any(job["state"] in states for job in studio.jobs_of(run))

    return seen


def struck(kind: FaultKind) -> Seen:
    return lambda studio, run: studio.struck(kind.value)


def noted(word: str) -> Seen:
    return lambda studio, run: word in studio.notes(run)


def known(studio: Studio, run: UUID) -> Any:
    """The journal names its machine."""
    return studio.machine_of(run)


def slowly(where: str, seconds: float) -> tuple[Fault, ...]:
    return (Fault(kind=K.REQUEST_LATE, where=where, seconds=seconds),)


@dataclass(frozen=True)
class Death:
    """Where a worker ends, and what comes of its run."""

    name: str
    point: str = ""
    """Of mortal_worker.py; else `reached` tells."""
    reached: Seen | None = None
    faults: tuple[Fault, ...] = ()
    account: dict[str, Any] = field(default_factory=dict)
    seconds: float = 2.0
    cancelled_when: Seen | None = None
    machines: int = 1
    ends: tuple[str, ...] = ("made",)
    young_s: float = 60.0


BOOT = {"provision_s": 10, "start_s": 10}
POD_DEATHS = [
    Death("before the intent", point="before the intent", young_s=3),
    Death("after the intent", point="after the intent", ends=("lost", "made")),
    Death("the request is under way", reached=struck(K.REQUEST_LATE), faults=slowly(CREATE, 4)),
    Death("the request arrives after another one", reached=struck(K.REQUEST_LATE), faults=slowly(CREATE, 25),
          seconds=20, machines=2, ends=("lost", "made")),
    Death("the answer is lost", reached=struck(K.ANSWER_LOST), faults=(Fault(kind=K.ANSWER_LOST, where=CREATE),)),
    Death("created, not noted", point="created, not noted"),
    Death("PROVISIONING", reached=pod_is("PROVISIONING"), account=BOOT),
    Death("STARTING", reached=pod_is("STARTING"), account=BOOT),
    Death("RUNNING", reached=pod_is("RUNNING"), seconds=12),
    Death("the flow is at work", reached=noted("began"), seconds=12),
    Death("as the flow ends", reached=noted("ended")),
    Death("while deleting", reached=struck(K.REQUEST_LATE), faults=slowly(DELETE, 4), account={"start_s": 600},
          cancelled_when=known, ends=("cancelled",)),
    Death("given back, not written down", point="given back, not written down", young_s=3),
    Death("written down, not settled", point="written down, not settled"),
    Death("settled, not closed", point="settled, not closed"),
]
JOB_DEATHS = [
    Death("before the intent", point="before the intent", young_s=3),
    Death("after the intent", point="after the intent", ends=("lost", "made")),
    Death("the submit is under way", reached=struck(K.REQUEST_LATE), faults=slowly(SUBMIT, 4)),
    Death("the submit arrives after another one", reached=struck(K.REQUEST_LATE), faults=slowly(SUBMIT, 40),
          seconds=25, machines=2, ends=("lost", "made")),
    Death("the answer is lost", reached=struck(K.ANSWER_LOST), faults=(Fault(kind=K.ANSWER_LOST, where=SUBMIT),)),
    Death("submitted, not noted", point="submitted, not noted"),
    Death("IN_QUEUE", reached=job_is("IN_QUEUE"), faults=(Fault(kind=K.THROTTLED, seconds=15),)),
    Death("IN_PROGRESS", reached=job_is("IN_PROGRESS"), seconds=12),
    Death("as the flow ends", reached=noted("ended")),
    Death("while cancelling", reached=struck(K.REQUEST_LATE), faults=slowly(CANCEL, 4), seconds=300,
          cancelled_when=noted("began"), ends=("cancelled",)),
    Death("given back, not written down", point="given back, not written down", young_s=3),
    Death("written down, not settled", point="written down, not settled"),
    Death("settled, not closed", point="settled, not closed"),
]


def deaths(every: list[Death]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("death", "studio"), [pytest.param(each, each.account, id=each.name.replace(" ", "-")) for each in every],
        indirect=["studio"])


def die(studio: Studio, run: UUID, death: Death) -> None:
    """A worker takes the run and is killed with -9 there."""
    for fault in death.faults:
        studio.emulator.inject(fault)
    with studio.worker("first", death.point) as first:
        if death.cancelled_when:
            until(lambda: death.cancelled_when and death.cancelled_when(studio, run), "it can be cancelled", 90, 0.05)
            studio.cancel(run)
        if death.reached:
            until(lambda: death.reached and death.reached(studio, run), death.name, 90, 0.05)
            first.send_signal(signal.SIGKILL)
        assert first.wait(90) == -signal.SIGKILL, studio.log().read_text()


def assert_gone_well(studio: Studio, run: UUID, death: Death) -> None:
    """Outcome, machines and money of a run whose worker died once."""
    outcome = "CANCELLED" if death.cancelled_when else "COMPLETED"
    until(lambda: studio.state(run) == outcome, f"the run is {outcome}, not {studio.state(run)}", 150)
    with suppress(AssertionError):                    # one that was asked for before may come later
        until(lambda: len(studio.machines_of(run)) >= death.machines, "all machines are there", 40)
    assert len(studio.machines_of(run)) == death.machines, studio.account(run)
    studio.well_ended()
    if outcome == "COMPLETED":
        assert studio.notes(run) == ["began", "ended"], "the flow's result is there once"
    assert studio.ends(run) == list(death.ends), studio.account(run)
    studio.ledger_is_the_bill()


# ---- killed with -9


@deaths(POD_DEATHS)
def test_a_worker_killed_at_any_point_of_a_pods_life_costs_no_second_run(studio: Studio, death: Death) -> None:
    run = studio.order(death.seconds)
    die(studio, run, death)
    with studio.worker("second", young=death.young_s):
        assert_gone_well(studio, run, death)


@deaths(JOB_DEATHS)
def test_a_worker_killed_at_any_point_of_a_jobs_life_costs_no_second_run(studio: Studio, death: Death) -> None:
    run = studio.order(death.seconds, mode="serverless", endpoint=studio.endpoint())
    die(studio, run, death)
    with studio.worker("second", young=death.young_s, claim=15):
        assert_gone_well(studio, run, death)


@pytest.mark.xfail(strict=True, reason="nobody wrote down which pod it was, and it tells of its seconds only by stages")
def test_a_pod_that_nobody_noted_and_that_ended_by_itself_is_within_the_bound(studio: Studio) -> None:
    """Its worker dies right after the creation, and the next one comes when the run is over and the pod gone."""
    run = studio.order(1)
    with studio.worker("first", "created, not noted") as first:
        assert first.wait(90) == -signal.SIGKILL
    until(lambda: studio.state(run) == "COMPLETED" and not studio.pods(), "it is over", 90)
    with studio.worker("second"):
        assert studio.notes(run) == ["began", "ended"]
        studio.well_ended()


def test_ten_workers_killed_one_after_the_other_over_one_pod(studio: Studio) -> None:
    """Each as soon as it looks after the pod."""
    run = studio.order(60, deadline_s=600)
    for number in range(10):
        with studio.worker(f"number-{number}") as each:
            until(lambda own=each: studio.attended_by(run) == own.pid and known(studio, run), "it has it", 90, 0.05)
            each.send_signal(signal.SIGKILL)
    with studio.worker("last"):
        assert_gone_well(studio, run, Death("ten times"))


# ---- frozen for longer than its lease


FREEZES = [
    (Death("before the request", point="before the request", machines=2, ends=("lost", "made"), seconds=8), "pod"),
    (Death("the request is under way", reached=struck(K.REQUEST_LATE), faults=slowly(CREATE, 4), seconds=8), "pod"),
    (Death("created, not noted", point="created, not noted", seconds=8), "pod"),
    (Death("RUNNING", reached=noted("began"), seconds=20), "pod"),
    (Death("given back, not written down", point="given back, not written down"), "pod"),
    (Death("settled, not closed", point="settled, not closed"), "pod"),
    (Death("before the submit", point="before the submit", machines=2, ends=("lost", "made"), seconds=8), "serverless"),
    (Death("submitted, not noted", point="submitted, not noted", seconds=20), "serverless"),
    (Death("IN_PROGRESS", reached=noted("began"), seconds=20), "serverless"),
    (Death("given back, not written down", point="given back, not written down"), "serverless"),
]


@pytest.mark.parametrize(
    ("death", "mode"), [pytest.param(*each, id=f"{each[1]}-{each[0].name}".replace(" ", "-")) for each in FREEZES])
def test_a_worker_that_wakes_after_its_lease_leaves_the_run_to_its_successor(
    studio: Studio, death: Death, mode: str
) -> None:
    endpoint = {"endpoint": studio.endpoint()} if mode == "serverless" else {}
    run = studio.order(death.seconds, mode=mode, **endpoint)
    for fault in death.faults:
        studio.emulator.inject(fault)
    with studio.worker("first", death.point, signal.SIGSTOP, lease=5) as first:
        if death.reached:
            until(lambda: death.reached and death.reached(studio, run), death.name, 90, 0.05)
            first.send_signal(signal.SIGSTOP)
        until(lambda: _stands(first.pid), "the first stands still", 90)
        with studio.worker("second", lease=5, claim=10) as second:
            until(lambda: studio.attended_by(run) == second.pid and (known(studio, run) or _ended(studio, run, death)),
                  "the second has the run and its machine", 90, 0.05)
            first.send_signal(signal.SIGCONT)
            assert_gone_well(studio, run, death)
            assert first.poll() is None, "it goes on with other runs"


def _ended(studio: Studio, run: UUID, death: Death) -> bool:
    return studio.ends(run) == list(death.ends)


def _stands(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


# ---- requests to the control plane

PASSING: list[tuple[FaultKind, dict[str, float]]] = [
    (K.BUSY, {}), (K.BUSY, {"seconds": 1.0}), (K.BROKEN, {}), (K.BAD_GATEWAY, {}), (K.BROKEN_AFTER, {}),
    (K.ANSWER_LOST, {}), (K.REQUEST_LOST, {}), (K.SLOW, {"seconds": 1.5}),
    (K.REQUEST_LATE, {"seconds": 1.5}), (K.DOWN, {"seconds": 3.0}),
]
passing = pytest.mark.parametrize(("kind", "facts"), PASSING, ids=[f"{kind}-{len(facts)}" for kind, facts in PASSING])
REFUSED = [(K.DENIED, "refused the key (401 to ", "check RUNPOD_API_KEY"),
           (K.FORBIDDEN, "refused the key (403 to ", "check RUNPOD_API_KEY"),
           (K.UNPAID, "wants money first (402 to ", "add credit to the account")]
refused = pytest.mark.parametrize(("kind", "words", "remedy"), REFUSED, ids=[str(each[0]) for each in REFUSED])


def completed(studio: Studio, run: UUID, pods: int = 1, seconds: bool = True) -> None:
    until(lambda: studio.run(run).state.is_final(), "the run is over", 120)
    assert studio.state(run) == "COMPLETED", studio.words(run)
    studio.well_ended()
    assert studio.notes(run) == ["began", "ended"]
    assert len(studio.pods_of(run)) == pods
    studio.ledger_is_the_bill(seconds)


def ended_without_a_pod(studio: Studio, run: UUID, state: str) -> str:
    until(lambda: studio.run(run).state.is_final(), "the run is over", 60)
    assert studio.state(run) == state, studio.words(run)
    assert studio.pods_of(run) == [] and studio.notes(run) == []
    studio.emulator.clear_faults()
    studio.well_ended()
    studio.ledger_is_the_bill()
    return studio.words(run)


@passing
def test_what_passes_on_every_request_costs_time_alone(
    shared: Studio, kind: FaultKind, facts: dict[str, float]
) -> None:
    for where in (LIST, CATALOGUE, CREATE, LOOK, DELETE):
        shared.emulator.inject(kind, where=where, count=2 if kind is not K.DOWN else 1, **facts)
    completed(shared, shared.order(1))


@passing
def test_a_cancelled_pod_is_deleted_through_what_passes(
    slow: Studio, kind: FaultKind, facts: dict[str, float]
) -> None:
    run = slow.order(1)
    until(lambda: known(slow, run), "a pod boots", 60)
    slow.emulator.inject(kind, where=DELETE, count=3 if kind is not K.DOWN else 1, **facts)
    slow.cancel(run)
    until(lambda: slow.state(run) == "CANCELLED", "the run is cancelled", 60)
    slow.well_ended()
    assert (len(slow.pods_of(run)), slow.ends(run), slow.notes(run)) == (1, ["cancelled"], [])
    slow.ledger_is_the_bill()


@refused
@pytest.mark.parametrize("where", [LIST, CATALOGUE, CREATE])
def test_a_refused_request_fails_the_run_with_the_words_and_rents_nothing(
    shared: Studio, kind: FaultKind, words: str, remedy: str, where: str
) -> None:
    shared.emulator.inject(kind, where=where, count=-1)
    told = ended_without_a_pod(shared, shared.order(1), "FAILED")
    assert words in told and remedy in told


def test_a_card_that_this_account_may_not_rent_is_passed_over(shared: Studio) -> None:
    shared.emulator.inject(K.FORBIDDEN, where=CREATE, count=2)
    completed(shared, shared.order(1))


@refused
def test_a_pod_that_may_not_be_looked_at_is_worked_on_all_the_same(
    shared: Studio, kind: FaultKind, words: str, remedy: str
) -> None:
    shared.emulator.inject(kind, where=LOOK, count=-1)
    run = shared.order(1)
    until(lambda: shared.state(run) == "COMPLETED", "the run is completed", 90)
    shared.emulator.clear_faults()
    completed(shared, run)


@refused
def test_a_pod_that_may_not_be_deleted_is_told_of_and_deleted_as_soon_as_it_may(
    slow: Studio, kind: FaultKind, words: str, remedy: str
) -> None:
    run = slow.order(1)
    until(lambda: known(slow, run), "a pod boots", 60)
    slow.emulator.inject(kind, where=DELETE, count=-1)
    before = slow.log().stat().st_size
    slow.cancel(run)
    pod = slow.machine_of(run)
    warning = f"{pod} may still cost money, and is tried again"
    until(lambda: warning in slow.log().read_text()[before:], "it says so", 40)
    told = slow.log().read_text()[before:]
    assert words in told and remedy in told
    assert [each["id"] for each in slow.pods_of(run)] == [pod] and slow.ends(run) == []
    slow.emulator.clear_faults()
    until(lambda: slow.state(run) == "CANCELLED", "the run is cancelled", 60)
    slow.well_ended()
    assert slow.ends(run) == ["cancelled"]
    slow.ledger_is_the_bill()


def test_a_provider_that_is_away_while_the_flow_works_changes_nothing(shared: Studio) -> None:
    run = shared.order(12)
    until(lambda: noted("began")(shared, run), "the flow is at work", 90)
    shared.emulator.inject(K.DOWN, seconds=20)
    time.sleep(21)
    completed(shared, run)


@pytest.mark.parametrize("kind", [K.BROKEN, K.BUSY, K.REQUEST_LOST])
def test_a_provider_that_stays_ill_crashes_the_run_with_the_words(shared: Studio, kind: FaultKind) -> None:
    shared.emulator.inject(kind, where=CREATE, count=-1)
    run = shared.order(1)
    until(lambda: shared.run(run).state.is_final(), "the run is over", 240)
    told = ended_without_a_pod(shared, run, "CRASHED")
    assert "POST /v2/pods" in told


# ---- pods


def test_no_capacity_several_times_is_asked_elsewhere(shared: Studio) -> None:
    shared.emulator.inject(K.NO_CAPACITY, count=5)
    completed(shared, shared.order(1))


def test_no_capacity_anywhere_is_waited_for(shared: Studio) -> None:
    shared.emulator.inject(K.NO_CAPACITY, count=30)
    completed(shared, shared.order(1))
    assert "asking again" in shared.log().read_text()


def test_patience_that_is_over_crashes_the_run_with_the_words(shared: Studio) -> None:
    shared.emulator.inject(K.NO_CAPACITY, count=-1)
    told = ended_without_a_pod(shared, shared.order(1, capacity_s=3), "CRASHED")
    assert "no GPU is free at RunPod" in told and "CALLSHEET_RUNPOD_GPUS" in told


def test_pods_that_are_provisioned_for_ever_are_replaced_until_it_is_enough(shared: Studio) -> None:
    shared.emulator.inject(K.PROVISIONING_FOREVER, count=-1)
    run = shared.order(1, boot_s=5)
    until(lambda: shared.state(run) == "CRASHED", "the run is crashed", 120)
    shared.well_ended()
    assert "6 machines did not come up" in shared.words(run)
    assert len(shared.pods_of(run)) == 6 and shared.ends(run) == ["lost"] * 6
    shared.ledger_is_the_bill()


@pytest.mark.parametrize("seconds", [0, 10])
def test_a_pod_that_vanishes_crashes_its_run_with_the_reason(studio: Studio, seconds: float) -> None:
    with studio.worker():
        run = studio.order(60)
        if seconds:
            until(lambda: noted("began")(studio, run), "the flow is at work", 90)
        studio.emulator.inject(K.POD_VANISHED, seconds=0)
        until(lambda: studio.state(run) == "CRASHED", "the run is crashed", 60)
        studio.well_ended()
    by_the_worker = "is gone: deleted, or its machine failed" in studio.words(run), ["lost"]
    from_inside = "the pod was stopped by SIGTERM" in studio.words(run), ["failed"]
    assert (True, studio.ends(run)) in (by_the_worker, from_inside), studio.words(run)
    assert len(studio.pods_of(run)) == 1
    studio.ledger_is_the_bill()


def test_a_pod_that_freezes_before_its_flow_begins_is_given_up(shared: Studio) -> None:
    shared.emulator.inject(K.POD_FROZEN)
    run = shared.order(1, quiet_s=30)
    until(lambda: shared.state(run) == "CRASHED", "the run is crashed", 90)
    shared.well_ended()
    assert "up for 30 s and the run did not begin" in shared.words(run)
    assert "CALLSHEET_PREFECT_PUBLIC_URL" in shared.words(run)
    assert shared.ends(run) == ["lost"]
    shared.ledger_is_the_bill()


def test_a_pod_that_freezes_at_work_is_deleted_at_its_deadline(shared: Studio) -> None:
    run = shared.order(300, deadline_s=60)
    until(lambda: noted("began")(shared, run), "the flow is at work", 50)
    shared.emulator.inject(K.POD_FROZEN)
    until(lambda: shared.state(run) == "CRASHED", "the run is crashed", 90)
    shared.well_ended()
    assert "its deadline of 60 s is over" in shared.words(run)
    assert shared.ends(run) == ["timed_out"]
    life = shared.billed()[shared.pods_of(run)[0]["id"]]
    assert 55 <= life[0] <= 75, "it was paid for its deadline"
    shared.ledger_is_the_bill()


@pytest.mark.parametrize("times", [2.0, 0.5])
def test_a_price_that_changes_under_a_pod_stays_within_the_bounds(studio: Studio, times: float) -> None:
    with studio.worker():
        run = studio.order(8)
        until(lambda: noted("began")(studio, run), "the flow is at work", 90)
        studio.emulator.inject(K.PRICE_CHANGE, value=times)
        completed(studio, run, seconds=False)


@pytest.mark.parametrize("seconds", [-600, 600])
def test_a_provider_whose_clock_is_wrong_is_paid_right(studio: Studio, seconds: float) -> None:
    """For its own pod, and for one that a successor adopts."""
    studio.emulator.inject(K.CLOCK_SKEW, seconds=seconds, count=-1)
    with studio.worker():
        completed(studio, studio.order(1))
    run = studio.order(12)
    with studio.worker("second") as second:
        until(lambda: noted("began")(studio, run), "the flow is at work", 90)
        second.send_signal(signal.SIGKILL)
    with studio.worker("third"):
        completed(studio, run)


def test_an_adopted_pod_whose_provider_is_slow_by_less_than_its_patience_is_paid_right(studio: Studio) -> None:
    """It was asked for long before it was had, and the provider's clock says that it was had earlier."""
    studio.emulator.inject(K.CLOCK_SKEW, seconds=-600, count=-1)
    studio.emulator.inject(K.NO_CAPACITY, count=60)
    run = studio.order(12)
    with studio.worker() as first:
        until(lambda: noted("began")(studio, run), "the flow is at work", 120)
        first.send_signal(signal.SIGKILL)
    with studio.worker("second"):
        completed(studio, run)


# ---- the provider starts anew


@pytest.mark.parametrize(
    "when", [pod_is("PROVISIONING"), noted("began"), noted("ended")], ids=["boots", "works", "ends"])
@pytest.mark.parametrize("studio", [{"provision_s": 5}], indirect=True)
def test_a_provider_that_restarts_under_a_pod_runs_no_flow_twice(studio: Studio, when: Seen) -> None:
    run = studio.order(10)
    with studio.worker():
        until(lambda: when(studio, run), "now", 90, 0.05)
        studio.emulator.restart()
        until(lambda: studio.run(run).state.is_final(), "the run is over", 120)
        studio.well_ended()
    begun, ended = studio.notes(run).count("began"), studio.notes(run).count("ended")
    assert begun == 1 and len(studio.pods_of(run)) == 1
    if not ended:
        assert studio.state(run) == "CRASHED" and "started a second time" in studio.words(run)
    studio.ledger_is_the_bill()


# ---- requests to the jobs plane


@passing
def test_a_flow_run_at_an_endpoint_goes_through_what_passes(
    shared: Studio, kind: FaultKind, facts: dict[str, float]
) -> None:
    endpoint = shared.endpoint(name=f"{kind}-{len(facts)}")
    for where in (SUBMIT, STATUS):
        shared.emulator.inject(kind, where=where, count=1, **facts)
    run = shared.order(1, mode="serverless", endpoint=endpoint)
    until(lambda: shared.run(run).state.is_final(), "the run is over", 180)
    assert shared.state(run) == "COMPLETED", shared.words(run)
    shared.well_ended()
    assert shared.notes(run) == ["began", "ended"] and len(shared.jobs_of(run)) == 1
    shared.ledger_is_the_bill()


@refused
def test_a_refused_submit_fails_the_run_with_the_words(
    shared: Studio, kind: FaultKind, words: str, remedy: str
) -> None:
    shared.emulator.inject(kind, where=SUBMIT, count=-1)
    told = ended_without_a_pod(shared, shared.order(1, mode="serverless", endpoint=shared.endpoint()), "FAILED")
    assert words in told and remedy in told


@pytest.mark.parametrize("kind", [K.CRASH, K.VANISHED, K.TIMED_OUT])
def test_a_job_that_dies_crashes_its_run_with_the_reason(studio: Studio, kind: FaultKind) -> None:
    run = studio.order(60, mode="serverless", endpoint=studio.endpoint())
    with studio.worker():
        until(lambda: noted("began")(studio, run), "the flow is at work", 90)
        studio.emulator.inject(kind)
        until(lambda: studio.run(run).state.is_final(), "the run is over", 120)
        assert studio.state(run) == "CRASHED" and studio.machine_of(run) in studio.words(run)
        # A worker goes on with a job that vanished, and its flow may yet complete: nobody can tell it.
        until(lambda: not studio.emulator.state()["processes"], "no worker is alive", 120)
        studio.well_ended()
    assert studio.notes(run).count("began") == 1 and len(studio.jobs_of(run)) == 1
    studio.ledger_is_the_bill()
