"""A run and its pod: whatever happens, the machine is given back, the run knows, and the ledger encloses the bill."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from callsheet.costs import CostRow, Kind, Outcome
from callsheet.errors import StoreError
from callsheet.pricing import Rate, card
from callsheet.runpod.answers import Pod
from callsheet.runpod.attend import ELSEWHERE, Attendance, End
from callsheet.runpod.books import Books
from callsheet.runpod.orders import PodOrder
from callsheet.runpod.pod_hire import PodHire, PodWish
from callsheet.runpod.pods import pod_name
from callsheet.runpod.tending import Limits, Phase
from callsheet.store.budgets import Budgets
from callsheet.store.journal import Journal
from callsheet.store.ledger import Ledger
from callsheet.store.local import LocalStore
from tests.support.pod_account import A40, L40S, Account, FakeDesk, Time, answer

RUN = "0c3a1f5e-8f4a-4d55-9a53-6a4f0a0f0001"
KEY = f"flow_run/{RUN}"


@dataclass
class World:
    """One run, one account, one store; workers come and go."""

    folder: Path
    time: Time = field(default_factory=Time)
    day_usd: float | None = None
    deadline_s: float = 600.0
    boot_s: float = 120.0
    capacity_s: float = 300.0
    volume: str | None = None
    gone: bool = True

    def __post_init__(self) -> None:
        self.account = Account(self.time)
        self.desk = FakeDesk(self.time)
        self.store = LocalStore(self.folder)
        self.budgets = Budgets(self.store, self.time.epoch)
        self.ledger = Ledger(self.store)

    def journal(self) -> Journal:
        return Journal(self.store, self.time.epoch, gone=lambda owner: self.gone)

    def attendance(self) -> Attendance:
        books = Books(RUN, self.journal(), self.budgets, self.ledger, day_usd=self.day_usd)
        wish = PodWish(name=pod_name(RUN), image="studio", cards=(card("A40"), card("L40S")), volume=self.volume)
        limits = Limits(deadline_s=self.deadline_s, boot_s=self.boot_s, quiet_s=200, cancel_grace_s=8)
        hire = PodHire(
            self.account, wish, limits, self.capacity_s,  # type: ignore[arg-type]
            lambda rate: {"CALLSHEET_PAID_GPU": rate.gpu}, key=books.key, paid=books.paid, now=self.time.now,
            sleep=self.time.sleep)
        return Attendance(hire, books, self.desk, "flow run 'hello'", clock=self.time, sleep=self.time.sleep)

    def attend(self) -> End:
        return asyncio.run(self.attendance().run())

    def rows(self) -> list[CostRow]:
        return Ledger(self.store).rows()

    def well_ended(self) -> None:
        """Nothing lives, nothing is open, nothing is promised, and the bill lies between estimate and bound."""
        assert not self.account.alive, f"alive: {list(self.account.alive)}"
        assert self.journal().open_keys() == []
        for scope in {"day/2026-11-20"}:
            assert self.budgets.standing(scope).promised == 0
        rate = 0.79 / 3600
        bill = sum(math.ceil(seconds) for seconds in self.account.paid_s.values()) * rate
        rows = self.rows()
        assert sum(row.usd for row in rows) <= bill + 1e-9
        assert sum(row.upper_usd for row in rows) >= bill - 1e-9


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def work(world: World, seconds: float, pod: str = "pod1") -> None:
    """What a task writes down from inside the pod."""
    row = CostRow(
        kind=Kind.WORK, plane="pod", provider_id=pod, resource=pod, gpu=A40, usd_per_second=0.79 / 3600,
        started=world.time.now(), seconds=seconds, usd=seconds * 0.79 / 3600, upper_usd=seconds * 0.79 / 3600,
        key="poster/abc")
    world.ledger.record(row, f"work-{world.time.seconds}")


def test_a_run_that_ends_by_itself_keeps_its_state_and_its_pod_is_gone(world: World) -> None:
    world.desk.will(40, Phase.RUNNING)
    world.desk.will(100, Phase.FINAL, Outcome.MADE)
    world.time.when(105, lambda: world.account.vanish("pod1"))    # the entrypoint deletes its own pod
    end = world.attend()
    assert (end.verdict.outcome, end.machine_id) == (Outcome.MADE, "pod1")
    assert world.desk.became is None
    assert world.desk.machines == [("pod:pod1", False)]
    world.well_ended()


def test_a_pod_that_does_not_delete_itself_is_deleted_after_its_run(world: World) -> None:
    world.desk.will(40, Phase.RUNNING)
    world.desk.will(100, Phase.FINAL, Outcome.MADE)
    world.attend()
    assert world.account.paid_s["pod1"] < 100 + 35
    world.well_ended()


@pytest.mark.parametrize("at", [1.0, 10.0, 19.0])
def test_cancelling_a_pod_that_boots_ends_its_bill_in_seconds(world: World, at: float) -> None:
    world.desk.will(at, Phase.CANCELLING)
    world.attend()
    assert world.desk.became is not None and world.desk.became[0] == "cancelled"
    assert world.account.paid_s["pod1"] <= at + 5
    world.well_ended()


def test_cancelling_a_run_at_work_leaves_it_its_grace_and_no_more_than_15_s(world: World) -> None:
    world.desk.will(30, Phase.RUNNING)
    world.desk.will(60, Phase.CANCELLING)
    world.attend()
    assert 66 <= world.account.paid_s["pod1"] <= 75
    assert world.desk.became == ("cancelled", "flow run 'hello': it was cancelled")
    world.well_ended()


def test_a_run_that_obeys_its_cancellation_is_not_told_twice(world: World) -> None:
    world.desk.will(30, Phase.RUNNING)
    world.desk.will(60, Phase.CANCELLING)
    world.desk.will(63, Phase.FINAL, Outcome.CANCELLED)
    world.time.when(65, lambda: world.account.vanish("pod1"))
    end = world.attend()
    assert (end.verdict.outcome, world.desk.became) == (Outcome.CANCELLED, None)
    world.well_ended()


def test_a_deleted_run_needs_no_machine(world: World) -> None:
    world.desk.will(30, Phase.DELETED)
    world.attend()
    assert world.account.paid_s["pod1"] < 35
    world.well_ended()


def test_a_pod_that_dies_makes_its_run_crashed_and_says_why(world: World) -> None:
    world.desk.will(30, Phase.RUNNING)
    world.time.when(80, lambda: world.account.vanish("pod1"))
    end = world.attend()
    assert end.verdict.outcome is Outcome.LOST
    assert world.desk.became is not None
    assert world.desk.became[0] == "crashed" and "pod1 is gone" in world.desk.became[1]
    world.well_ended()


def test_a_pod_that_exited_is_deleted_and_its_run_crashed(world: World) -> None:
    def exits() -> None:
        world.account.alive["pod1"] = world.account.alive["pod1"].model_copy(update={"status": "EXITED"})

    world.desk.will(30, Phase.RUNNING)
    world.time.when(80, exits)
    world.attend()
    assert world.desk.became is not None and "EXITED" in world.desk.became[1]
    world.well_ended()


def test_a_hung_pod_is_deleted_when_its_deadline_is_over(world: World) -> None:
    world.desk.will(30, Phase.RUNNING)
    world.attend()
    assert 600 <= world.account.paid_s["pod1"] <= 606
    assert world.desk.became is not None and "deadline of 600 s" in world.desk.became[1]
    world.well_ended()


def test_a_pod_whose_run_never_begins_is_given_up_with_the_likely_reason(world: World) -> None:
    world.attend()
    assert world.account.paid_s["pod1"] < 20 + 200 + 10
    assert world.desk.became is not None and "CALLSHEET_PREFECT_PUBLIC_URL" in world.desk.became[1]
    world.well_ended()


def test_a_pod_that_never_comes_up_is_replaced_by_one_elsewhere(world: World) -> None:
    world.account.boot_s = 10_000
    world.time.when(125, lambda: setattr(world.account, "boot_s", 20))
    world.desk.will(200, Phase.RUNNING)
    world.desk.will(300, Phase.FINAL, Outcome.MADE)
    end = world.attend()
    assert end.machine_id == "pod2"
    first, second = world.account.orders
    assert (first.gpu, first.data_centers) != (second.gpu, second.data_centers)
    assert world.account.paid_s["pod1"] < 130
    assert world.desk.became is None
    world.well_ended()


def test_machines_that_never_come_up_end_at_the_deadline_whatever_their_number(world: World) -> None:
    world.account.boot_s = 10_000
    world.attend()
    assert sum(world.account.paid_s.values()) <= world.deadline_s + 6
    assert world.desk.became is not None and world.desk.became[0] == "crashed"
    assert not world.account.alive


def test_nothing_free_is_waited_for_and_then_told(world: World) -> None:
    world.account.refusals = [answer(400)] * 1000
    world.attend()
    assert 300 <= world.time.seconds <= 400
    assert world.desk.became is not None
    assert world.desk.became[0] == "crashed" and "no GPU is free" in world.desk.became[1]
    world.well_ended()


def test_cancelling_while_nothing_is_free_orders_nothing_more(world: World) -> None:
    world.account.refusals = [answer(400)] * 1000
    world.desk.will(20, Phase.CANCELLING)
    world.attend()
    assert world.time.seconds < 30
    assert world.desk.became is not None and world.desk.became[0] == "cancelled"
    world.well_ended()


def test_a_day_without_money_for_the_worst_case_fails_the_run_and_orders_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, day_usd=0.10)                         # 600 s of an L40S are $0.165
    world.attend()
    assert world.account.orders == []
    assert world.desk.became is not None
    assert world.desk.became[0] == "failed"
    assert "the budget of day/2026-11-20 is $0.10" in world.desk.became[1]
    world.well_ended()


def test_what_a_run_cost_counts_in_its_day_and_the_rest_of_its_promise_is_free(world: World) -> None:
    world.desk.will(40, Phase.RUNNING)
    world.desk.will(100, Phase.FINAL, Outcome.MADE)
    world.attend()
    standing = world.budgets.standing("day/2026-11-20")
    paid = world.account.paid_s["pod1"] * 0.79 / 3600
    assert standing.promised == 0
    assert paid <= standing.spent <= paid + 5 * 0.79 / 3600


@pytest.mark.parametrize("status", [401, 402, 422])
def test_what_only_a_person_can_put_right_fails_the_run(world: World, status: int) -> None:
    world.account.refusals = [answer(status)]
    world.attend()
    assert world.desk.became is not None and world.desk.became[0] == "failed"
    world.well_ended()


def test_a_volume_that_is_not_there_is_said_before_anything_is_ordered(tmp_path: Path) -> None:
    world = World(tmp_path, volume="vol_9")
    world.attend()
    assert world.desk.became is not None and "no such network volume" in world.desk.became[1]
    assert world.account.orders == []


def test_a_volume_keeps_the_pod_in_its_data_centre(tmp_path: Path) -> None:
    world = World(tmp_path, volume="vol_1")
    world.desk.will(40, Phase.RUNNING)
    world.desk.will(100, Phase.FINAL, Outcome.MADE)
    world.attend()
    assert [order.data_centers for order in world.account.orders] == [("EU-RO-1",)]


def test_work_told_from_inside_is_completed_by_cold_start_and_idle_time(world: World) -> None:
    world.desk.will(40, Phase.RUNNING)
    world.time.when(60, lambda: work(world, 30))
    world.desk.will(120, Phase.FINAL, Outcome.MADE)
    world.time.when(125, lambda: world.account.vanish("pod1"))
    world.attend()
    seconds = {row.kind: row.seconds for row in world.rows()}
    assert seconds[Kind.COLD_START] == pytest.approx(60, abs=1)
    assert seconds[Kind.WORK] == 30
    assert sum(seconds.values()) == pytest.approx(world.account.paid_s["pod1"], abs=4)
    world.well_ended()


def test_a_pod_that_told_nothing_has_one_row_with_its_outcome(world: World) -> None:
    world.desk.will(30, Phase.RUNNING)
    world.time.when(80, lambda: world.account.vanish("pod1"))
    world.attend()
    (row,) = world.rows()
    assert (row.kind, row.outcome, row.provider_id, row.key) == (Kind.WORK, Outcome.LOST, "pod1", KEY)


# ---- workers that die


def killed_at(world: World, moment: float) -> None:
    """A worker that is gone at that second, without a word."""
    class Killed(BaseException):
        pass

    async def dying() -> None:
        attendance = world.attendance()
        real = attendance.sleep

        async def sleep(seconds: float) -> None:
            await real(seconds)
            if world.time.seconds >= moment:
                raise Killed

        attendance.sleep = sleep
        attendance.hire._sleep = sleep  # type: ignore[attr-defined]
        stop = attendance._stopped

        async def nothing(machine: Any) -> None:
            if world.time.seconds < moment:
                await stop(machine)

        attendance._stopped = nothing  # type: ignore[method-assign]
        await attendance.run()

    with pytest.raises(Killed):
        asyncio.run(dying())


@pytest.mark.parametrize("moment", [1, 5, 15, 25, 45, 70, 99])
def test_a_replacement_adopts_the_pod_and_makes_no_second_one(world: World, moment: float) -> None:
    world.desk.will(40, Phase.RUNNING)
    world.desk.will(150, Phase.FINAL, Outcome.MADE)
    killed_at(world, moment)
    end = world.attend()
    assert (end.machine_id, len(world.account.orders)) == ("pod1", 1)
    assert world.desk.machines[-1] == ("pod:pod1", True)
    assert world.desk.became is None
    world.well_ended()


def test_a_pod_that_died_while_nobody_looked_is_reported_by_the_replacement(world: World) -> None:
    world.desk.will(30, Phase.RUNNING)
    killed_at(world, 50)
    world.time.when(60, lambda: world.account.vanish("pod1"))
    world.time.pass_by(100)
    world.attend()
    assert world.desk.became is not None
    assert world.desk.became[0] == "crashed" and "pod1 is gone" in world.desk.became[1]
    world.well_ended()


def test_the_deadline_counts_from_the_first_order_whoever_looks(world: World) -> None:
    world.desk.will(30, Phase.RUNNING)
    killed_at(world, 50)
    world.time.pass_by(400)
    world.attend()
    assert world.account.paid_s["pod1"] <= 610
    world.well_ended()


def test_a_worker_that_stops_leaves_its_pod_to_the_next_one_at_once(world: World) -> None:
    world.gone = False                                            # another machine's: only its lease tells
    world.desk.will(30, Phase.RUNNING)
    world.desk.will(150, Phase.FINAL, Outcome.MADE)

    async def stopped() -> None:
        task = asyncio.ensure_future(world.attendance().run())
        while world.time.seconds < 60:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(stopped())
    assert list(world.account.alive) == ["pod1"]
    assert world.attend().machine_id == "pod1"
    world.well_ended()


def test_a_run_that_somebody_else_looks_after_is_left_to_them(world: World) -> None:
    world.gone = False
    world.desk.will(30, Phase.RUNNING)
    killed_at(world, 40)
    assert world.attend() == End(ELSEWHERE)
    assert world.account.deleted == []


def test_an_intent_without_an_order_is_gone_on_from(world: World) -> None:
    turn = world.journal().turn(KEY)
    assert turn is not None
    turn.intend(0.1, None, {"scope": "day/2026-11-20"})
    world.desk.will(100, Phase.RUNNING)
    world.desk.will(150, Phase.FINAL, Outcome.MADE)
    assert world.attend().machine_id == "pod1"
    world.well_ended()


def test_a_run_at_work_whose_machine_nobody_knows_gets_no_second_one(world: World) -> None:
    world.desk.set(Phase.RUNNING)
    world.attend()
    assert world.account.orders == []
    assert world.desk.became is not None and world.desk.became[0] == "crashed"


def test_a_run_that_is_given_out_again_gets_a_pod_of_its_own(world: World) -> None:
    world.desk.will(30, Phase.RUNNING)
    world.desk.will(60, Phase.FINAL, Outcome.FAILED)
    world.attend()
    world.desk.set(Phase.WAITING)
    world.desk.will(world.time.seconds + 40, Phase.RUNNING)
    world.desk.will(world.time.seconds + 90, Phase.FINAL, Outcome.MADE)
    end = world.attend()
    assert (end.machine_id, end.verdict.outcome) == ("pod2", Outcome.MADE)
    world.well_ended()


# ---- things that fail around it


def test_a_minute_without_the_provider_costs_nothing_but_patience(world: World) -> None:
    world.desk.will(30, Phase.RUNNING)
    world.time.when(50, lambda: setattr(world.account, "down", True))
    world.time.when(110, lambda: setattr(world.account, "down", False))
    world.desk.will(150, Phase.FINAL, Outcome.MADE)
    assert world.attend().verdict.outcome is Outcome.MADE
    assert len(world.account.orders) == 1
    world.well_ended()


def test_a_server_that_is_away_keeps_the_pod_until_the_deadline_and_no_longer(world: World) -> None:
    world.desk.will(30, Phase.RUNNING)
    world.time.when(50, lambda: setattr(world.desk, "run", None))
    world.attend()
    assert world.account.paid_s["pod1"] <= 606


def test_a_pod_that_cannot_be_deleted_stays_in_the_journal_for_the_next_sweep(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callsheet.runpod.pods.jittered", lambda seconds: 0.0)
    monkeypatch.setattr("callsheet.runpod.pod_hire.release", _impatient)
    world.desk.will(30, Phase.CANCELLING)
    world.account.delete_fails = 3
    world.attend()
    assert world.journal().open_keys() == [KEY]
    assert world.desk.became is None
    world.account.delete_fails = 0
    world.attend()
    assert world.desk.became is not None and world.desk.became[0] == "cancelled"
    world.well_ended()


async def _impatient(control: Any, pod_id: str) -> bool:
    return bool(await control.delete_pod(pod_id))


def test_an_end_that_could_not_be_told_is_told_by_the_next_worker(world: World) -> None:
    world.desk.will(30, Phase.RUNNING)
    world.time.when(80, lambda: world.account.vanish("pod1"))
    world.desk.away = 1
    with pytest.raises(OSError, match="away"):
        world.attend()
    assert world.journal().open_keys() == [KEY]
    world.attend()
    assert world.desk.became is not None and world.desk.became[0] == "crashed"
    world.well_ended()


def test_a_store_that_is_away_neither_stops_a_pod_nor_lets_it_run_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = world.store.put_if_absent
    away: list[bool] = []

    def failing(*args: Any, **kwargs: Any) -> Any:
        if away:
            raise StoreError(key="x", url="y", detail="503")
        return put(*args, **kwargs)

    monkeypatch.setattr(LocalStore, "put_if_absent", lambda self, *args, **kwargs: failing(*args, **kwargs))
    world.desk.will(30, Phase.RUNNING)
    world.time.when(50, lambda: away.append(True))
    world.desk.will(150, Phase.FINAL, Outcome.MADE)
    world.attend()
    assert not world.account.alive
    assert any("stays open" in line for line in world.desk.lines)
    away.clear()
    world.time.pass_by(100)
    world.attend()
    assert world.journal().open_keys() == []


def test_no_store_at_the_start_orders_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: Any, **kwargs: Any) -> Any:
        raise StoreError(key="x", url="y", detail="503")

    monkeypatch.setattr(LocalStore, "put_if_absent", failing)
    world.attend()
    assert world.account.orders == []
    assert world.desk.became is not None and world.desk.became[0] == "crashed"


def test_a_pod_that_comes_when_its_run_has_a_successors_is_given_back_and_written_down(world: World) -> None:
    attendance, create = world.attendance(), world.account.create_pod

    async def late(order: PodOrder) -> Pod:
        world.account.make(order)                                 # the successor's
        assert world.journal().turn(f"flow_run/{RUN}") is not None
        pod = await create(order)
        world.time.pass_by(3)
        return pod

    world.account.create_pod = late  # type: ignore[method-assign]
    assert asyncio.run(attendance.run()).verdict.reason == "somebody else looks after it"
    assert (list(world.account.alive), world.account.deleted) == (["pod1"], ["pod2"])
    (row,) = world.rows()
    assert (row.resource, row.outcome) == ("pod2", Outcome.DUPLICATE)
    assert row.usd <= 3 * 0.79 / 3600 + 1e-9 and row.upper_usd >= 3 * 0.79 / 3600


def test_a_price_that_changed_under_a_pod_is_between_estimate_and_bound(world: World) -> None:
    def dearer() -> None:
        pod = world.account.alive["pod1"]
        world.account.alive["pod1"] = pod.model_copy(update={"cost": 2 * pod.cost})

    world.desk.will(40, Phase.RUNNING)
    world.time.when(60, dearer)
    world.desk.will(100, Phase.FINAL, Outcome.MADE)
    world.attend()
    (row,) = world.rows()
    paid_s = world.account.paid_s["pod1"]
    assert row.usd <= (60 + 2 * (paid_s - 60)) * 0.79 / 3600 <= row.upper_usd


def test_a_pod_that_went_before_its_adopter_saw_it_is_paid_at_its_own_price(world: World) -> None:
    turn = world.journal().turn(KEY)
    assert turn is not None
    turn.intend(0.5, Rate(gpu=L40S, usd_per_second=0.99 / 3600), {})
    pod = world.account.make(PodOrder(name=pod_name(RUN), image="studio", gpu=A40, data_centers=("EU-RO-1",)))
    turn.submitted(pod.id, pod.rate)
    turn.renew()
    world.time.pass_by(30)
    world.account.vanish(pod.id)
    world.desk.set(Phase.FINAL, Outcome.MADE)
    world.attend()
    (row,) = world.rows()
    assert (row.gpu, row.usd_per_second) == (A40, pytest.approx(0.79 / 3600))
    world.well_ended()


def test_an_adopted_pod_surely_was_paid_from_when_it_was_seen_where_its_provider_tells_the_impossible(
    world: World,
) -> None:
    order = PodOrder(name=pod_name(RUN), image="studio", gpu=A40, data_centers=("EU-RO-1",))
    turn = world.journal().turn(f"flow_run/{RUN}")
    assert turn is not None
    turn.intend(0.5, None, {})
    world.time.pass_by(100)                                       # nothing was free
    pod = world.account.make(order)
    assert pod.created_at is not None
    world.account.alive[pod.id] = pod.model_copy(update={"created_at": pod.created_at - timedelta(hours=1)})
    turn.submitted(pod.id)
    world.time.pass_by(20)
    world.desk.set(Phase.RUNNING)
    world.desk.will(150, Phase.FINAL, Outcome.MADE)
    world.attend()
    (row,) = world.rows()
    ended = world.time.seconds
    assert row.seconds <= ended - 100 and row.upper_usd >= (ended - 100) * 0.79 / 3600
