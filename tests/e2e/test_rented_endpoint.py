"""A night at a RunPod endpoint, on the emulator: its queue, the provider's own worker loop, our handler, real files.

The films are those that this machine makes by itself; every job is paid once and is in the ledger; a second night
costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from callsheet.costs import Kind, Outcome
from callsheet.production import Production, Status
from tests.support.house import forget
from tests.support.renting import Renting, cast, digests, renting

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Night:
    """One batch at the endpoint, and what was there right after it."""

    studio: Renting
    manifest: Path
    made: dict[str, Production]
    words: str


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    manifest = cast(folder, 2)
    with renting(folder, cold_start_s=0.5) as studio:
        studio.open_endpoint(workers=3)
        _, made, words = studio.run(str(manifest), "--gpu", "endpoint")
        yield Night(studio, manifest, made, words)
    forget(folder)


def test_every_film_is_made(night: Night) -> None:
    assert {p.status for p in night.made.values()} == {Status.MADE}, night.words
    assert len(night.made) == 2


@pytest.mark.soak
def test_the_films_are_those_that_this_machine_makes_by_itself(
    night: Night, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("here")
    alone = Renting(folder, night.studio.emulator)
    code, made, words = alone.run(str(night.manifest), "--gpu", "here")
    forget(folder)
    assert code == 0, words
    assert {who: p.job_id for who, p in made.items()} == {who: p.job_id for who, p in night.made.items()}
    ours, theirs = digests(alone.home / "delivery"), digests(night.studio.home / "delivery")
    assert len(ours) >= 4
    assert ours == theirs


def test_each_recipe_was_one_job_and_has_one_result(night: Night) -> None:
    results = night.studio.results()
    assert set(results.values()) == {1}
    assert night.studio.submits() == len(results)
    assert Counter(job["state"] for job in night.studio.jobs()) == {"COMPLETED": len(results)}


def test_the_ledger_knows_every_job_with_its_actor_stage_card_rate_and_outcome(night: Night) -> None:
    work = [row for row in night.studio.ledger() if row.kind is Kind.WORK]
    assert {row.resource for row in work} == {job["id"] for job in night.studio.jobs()}
    assert {row.payer.actor for row in work} == set(night.made)
    assert {row.payer.stage for row in work} == {"poster", "takes", "segments", "lipsync"}
    assert {row.outcome for row in work} == {Outcome.MADE}
    assert all(row.gpu.startswith("NVIDIA") and row.usd_per_second > 0 and row.attempt == 1 for row in work)
    assert {row.payer.order for row in work} == {p.job_id for p in night.made.values()}


def test_estimate_is_at_most_the_bill_and_the_bill_at_most_the_upper_bound(night: Night) -> None:
    rows = [row for row in night.studio.ledger() if not row.reconciled]
    bill = night.studio.billed_usd()
    assert sum(row.usd for row in rows) <= bill <= sum(row.upper_usd for row in rows)


def test_each_production_says_what_it_cost(night: Night) -> None:
    costs = {who: p.cost_usd for who, p in night.made.items()}
    assert all(cost > 0 for cost in costs.values()), costs
    rows = [row for row in night.studio.ledger() if row.payer.order]
    assert sum(row.usd for row in rows) <= sum(costs.values()) <= sum(row.upper_usd for row in rows)


def test_a_second_night_submits_nothing_and_costs_nothing(night: Night) -> None:
    jobs, bill = len(night.studio.jobs()), night.studio.billed_usd()
    code, made, words = night.studio.run(str(night.manifest), "--gpu", "endpoint")
    assert code == 0, words
    assert {who: p.video for who, p in made.items()} == {who: p.video for who, p in night.made.items()}
    assert len(night.studio.jobs()) == jobs
    idle = [life for life in night.studio.bill() if life["ended"] is None]
    assert not idle, "workers went when they had nothing to do"
    assert night.studio.billed_usd() >= bill
