"""What a rented machine's seconds went into: shared among what is under way, written down also when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from callsheet.costs import CostRow, Outcome
from callsheet.models import Actor, Order, Scene
from callsheet.recipes import IntakeRecipe
from tasks import meter
from tasks.direct import direct
from tasks.meter import Shares, metered
from tasks.run import running
from tasks.spending import ledger, paying

RECIPE = IntakeRecipe(label="rain", sha256="0" * 64, kind="audio")
ORDER = Order(title="t", cast=(Actor(id="ava", lora="x"),), scenes=(Scene(prompt="x"),))


class Clock:
    """Moves when it is told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_runs_alone_has_every_second() -> None:
    clock = Clock()
    shares = Shares(clock)
    shares.begin("a")
    clock.now += 7
    assert shares.end("a") == 7


def test_two_at_a_time_share_the_second_and_nothing_is_counted_twice() -> None:
    clock = Clock()
    shares = Shares(clock)
    shares.begin("a")
    clock.now += 2
    shares.begin("b")
    clock.now += 4
    first = shares.end("a")
    clock.now += 1
    second = shares.end("b")
    assert (first, second) == (4, 3)
    assert first + second == 7, "the seconds that passed"


def test_time_in_which_nothing_is_under_way_belongs_to_nobody() -> None:
    clock = Clock()
    shares = Shares(clock)
    clock.now += 50
    shares.begin("a")
    clock.now += 1
    assert shares.end("a") == 1


@pytest.fixture
def rented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process believes that it runs in a pod."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "CALLSHEET_HOME": str(tmp_path), "CALLSHEET_PAID_PLANE": "pod", "RUNPOD_POD_ID": "pod1",
        "CALLSHEET_PAID_RATE": "0.5", "CALLSHEET_PAID_GPU": "NVIDIA A40", "CALLSHEET_GPU": "here",
    }.items():
        monkeypatch.setenv(name, value)
    meter.machine.cache_clear()
    yield
    meter.machine.cache_clear()


def rows() -> list[CostRow]:
    with running("night"), direct():
        return ledger().rows()


def test_work_is_a_row_with_who_it_was_for_and_what_it_cost(rented: None) -> None:
    with running("night"), direct(), paying(ORDER, "film1"), metered(RECIPE):
        pass
    (row,) = rows()
    assert (row.plane, row.provider_id, row.resource, row.gpu) == ("pod", "pod1", "pod1", "NVIDIA A40")
    assert (row.payer.actor, row.payer.order, row.payer.stage, row.payer.label) == ("ava", "film1", "intake", "rain")
    assert row.outcome is Outcome.MADE
    assert row.usd == pytest.approx(row.seconds * 0.5)


def test_work_that_fails_is_paid_too(rented: None) -> None:
    with pytest.raises(ValueError), running("night"), direct(), metered(RECIPE):
        raise ValueError
    (row,) = rows()
    assert row.outcome is Outcome.FAILED


def test_a_machine_of_ones_own_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path))
    monkeypatch.delenv("CALLSHEET_PAID_PLANE", raising=False)
    meter.machine.cache_clear()
    with running("day"), direct(), metered(RECIPE):
        pass
    assert not rows()
