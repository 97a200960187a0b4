"""A budget that does not reach: what is made is kept, the rest is listed, and more money goes on from there.

On the emulator time runs fifteen times as fast and cards cost nine times as much, so that a small night is worth
about three dollars.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from callsheet.production import Production, Status
from callsheet.runpod.emulator.faults import FaultKind
from callsheet.store.budgets import Budgets, Standing
from tests.support.house import forget
from tests.support.renting import Renting, cast, renting

pytestmark = pytest.mark.soak

ACTORS = 12
FAST, DEAR = 15.0, 9.0


@dataclass(frozen=True)
class Night:
    """The night with one dollar, then with ten."""

    studio: Renting
    poor: dict[str, Production]
    words: str
    results: Counter[str]
    billed: float
    standing: Standing
    rich: dict[str, Production]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("budget")
    manifest = cast(folder, ACTORS, talking=0)
    with renting(folder, scale=FAST, cold_start_s=2.0) as studio:
        studio.open_endpoint(workers=3, pools=("AMPERE_48",))
        studio.emulator.inject(FaultKind.PRICE_CHANGE, where="*", value=DEAR)
        studio.extra["CALLSHEET_RUNPOD_GPUS"] = "A40"
        yield _nights(studio, manifest)
    forget(folder)


def _nights(studio: Renting, manifest: Path) -> Night:
    code, poor, words = studio.run(str(manifest), "--gpu", "endpoint", "--budget", "1")
    assert code == 3, words
    studio.settled()
    results, billed = studio.results(), studio.billed_usd()
    (scope,) = {s for row in studio.ledger() for s in row.payer.budgets if s.startswith("batch/")}
    standing = Budgets(studio.store).standing(scope)
    code, rich, words = studio.run(str(manifest), "--gpu", "endpoint", "--budget", "10")
    assert code == 0, words
    studio.settled()
    return Night(studio, poor, words, results, billed, standing, rich)


def test_the_batch_stops_before_its_dollar_is_spent_and_not_long_before(night: Night) -> None:
    worth = sum(p.cost_usd for p in night.rich.values())
    assert worth > 2, f"the whole night has to be worth more than it was given, not ${worth:.2f}"
    assert 0.2 < night.standing.spent <= 1.0
    assert night.standing.promised == 0, "what did not happen is promised no more"


def test_what_was_made_is_kept_and_the_rest_is_listed_with_what_to_do(night: Night) -> None:
    statuses = Counter(p.status for p in night.poor.values())
    assert len(night.poor) == ACTORS
    assert statuses[Status.MADE] >= 1 and statuses[Status.STOPPED] >= 1
    assert set(statuses) == {Status.MADE, Status.STOPPED}
    for production in night.poor.values():
        if production.status is Status.STOPPED:
            assert production.error_code == "budget.exceeded"
            assert "the budget of batch/night-" in production.error and "is $1.00" in production.error
            assert "raise it (--budget or CALLSHEET_BUDGET_BATCH) and run again" in production.error


def test_more_money_goes_on_from_there_and_repeats_nothing(night: Night) -> None:
    assert {p.status for p in night.rich.values()} == {Status.MADE}
    assert set(night.studio.results().values()) == {1}
    assert night.studio.results() | night.results == night.studio.results(), "what was made stayed"
    assert Counter(job["state"] for job in night.studio.jobs())["COMPLETED"] == len(night.studio.results())
    made = {who for who, p in night.poor.items() if p.status is Status.MADE}
    assert {who: night.rich[who].video for who in made} == {who: night.poor[who].video for who in made}
