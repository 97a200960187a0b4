"""Which films begin while money is limited: as few as can be finished, and none beyond what there is."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from callsheet.errors import BudgetExceeded
from callsheet.models import Actor, Gpu, Order, Purse, Scene
from callsheet.pricing import Estimate
from tasks import slate
from tasks.direct import direct
from tasks.run import running
from tasks.slate import Slate, affordable
from tasks.spending import budgets, judged, paying

ORDER = Order(title="Rain", cast=(Actor(id="ava", lora="x"),), scenes=(Scene(prompt="x"),))


def film(job_id: str = "a" * 8) -> Any:
    return SimpleNamespace(order=ORDER, job_id=job_id)


@pytest.fixture
def dollar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A batch with a dollar, in which every film has four jobs of ten cents at most, five in all expected."""
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path))
    monkeypatch.setattr(slate, "unmade", lambda film: [SimpleNamespace(fingerprint=str(n)) for n in range(4)])
    monkeypatch.setattr(slate, "priced", lambda todo: Estimate(
        recipes=len(todo), usd=0.0125 * len(todo), worst_usd=0.1 * len(todo)))
    monkeypatch.setattr(slate, "_LOOK_S", 0.01)
    with running("night", gpu=Gpu.ENDPOINT, purse=Purse(batch="night", budget=1.0)), direct():
        yield


def spend(usd: float, job_id: str = "x") -> None:
    scopes = {"batch/night": 1e9, f"order/{job_id}": 1e9}
    budgets().reserve(scopes, f"key/{usd}/{job_id}", usd, "a job")
    budgets().settle(scopes, f"key/{usd}/{job_id}", usd)


def test_a_film_begins_while_its_next_job_can_be_paid(dollar: None) -> None:
    with paying(ORDER, "one"), Slate().begun(film("one")):
        pass


def test_no_film_begins_once_the_soft_share_is_spent(dollar: None) -> None:
    spend(0.81)
    with pytest.raises(BudgetExceeded, match=r"the budget of batch/night is \$1.00: \$0.81 is spent"), \
            paying(ORDER, "one"), Slate().begun(film("one")):
        pytest.fail("it began")


def test_the_first_film_runs_alone_and_what_it_cost_holds_the_others_back(dollar: None) -> None:
    found, began = Slate(), threading.Event()

    def second() -> None:
        with paying(ORDER, "two"), found.begun(film("two")):
            began.set()

    with paying(ORDER, "one"), found.begun(film("one")):
        waiting = threading.Thread(target=contextvars.copy_context().run, args=(second,))
        waiting.start()
        assert not began.wait(0.3), "nobody knows yet what a film costs"
        spend(0.3, "one")
    waiting.join(5)
    assert began.is_set()
    spend(0.3, "two")
    with pytest.raises(BudgetExceeded), paying(ORDER, "three"), found.begun(film("three")):
        spend(0.2, "three")                           # by now 0.8: the fourth may not begin
        with paying(ORDER, "four"), Slate().begun(film("four")):
            pytest.fail("it began")


def test_a_worst_case_that_is_only_promised_is_waited_for(dollar: None) -> None:
    budgets().reserve({"batch/night": 1.0}, "somebody", 0.95, "a segment")
    verdict = judged(0.2, "a take")
    assert verdict.refused is not None and verdict.later
    timer = threading.Timer(0.3, budgets().settle, args=(["batch/night"], "somebody", 0.05))
    timer.start()
    assert affordable([film()])[0] == 1, "it waited, and the promise turned out cheaper"
    timer.join()


def test_what_is_spent_is_not_waited_for(dollar: None) -> None:
    spend(0.95)
    count, refused = affordable([film()])
    assert count == 0 and refused is not None
    assert "--budget or CALLSHEET_BUDGET_BATCH" in str(refused)
