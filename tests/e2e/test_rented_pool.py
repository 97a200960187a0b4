"""A night on rented machines, on the emulator: `callsheet up` with its worker of the pool `runpod`, in both its modes.

Pods are processes that run the real entry point; the endpoint's workers run the provider's own loop with our handler.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from callsheet.costs import CostRow, Kind
from callsheet.production import Production, Status
from tests.support.house import House, forget, up
from tests.support.renting import Renting, cast, renting, who

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Night:
    """What a batch made, and what it left at the provider and in the ledger."""

    made: dict[str, Production]
    words: str
    pods: list[dict[str, Any]]
    jobs: list[dict[str, Any]]
    bill: list[dict[str, Any]]
    rows: list[CostRow]


@dataclass(frozen=True)
class Studio:
    """A house that rents, before anything was made in it."""

    rented: Renting
    house: House
    manifest: Path

    def night(self, mode: str, only: str) -> Night:
        """Make one actor's film with the pool in this mode."""
        deployment = self.house.deployment("shoot/gpu")
        httpx.patch(
            f"{self.house.api}/deployments/{deployment}", json={"job_variables": {"mode": mode}}, timeout=30,
        ).raise_for_status()
        before, rows = self.rented.emulator.state(), self.rented.ledger()
        _, made, words = self.rented.run(str(self.manifest), "--gpu", "pool", "--only", only)
        after = self.rented.settled()
        return Night(
            made, words, _new(before, after, "pods"), _new(before, after, "jobs"),
            after["bill"][len(before["bill"]):], [row for row in self.rented.ledger() if row not in rows],
        )


def _new(before: dict[str, Any], after: dict[str, Any], what: str) -> list[dict[str, Any]]:
    known = {each["id"] for each in before[what]}
    return [each for each in after[what] if each["id"] not in known]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("pool")
    manifest = cast(folder, 2, talking=2)
    with renting(folder) as studio:
        studio.open_endpoint(workers=2)
        with up(folder, manifest, settings=studio.settings) as house:
            studio.tell_of_prefect(house.api)
            yield Studio(studio, house, manifest)
    forget(folder)


@pytest.fixture(scope="module")
def pod(studio: Studio) -> Night:
    return studio.night("pod", who(0))


@pytest.fixture(scope="module")
def serverless(studio: Studio) -> Night:
    return studio.night("serverless", who(1))


def test_the_deployments_of_the_gpu_half_use_the_pool_of_rented_machines(studio: Studio) -> None:
    found = studio.house.get(f"/deployments/{studio.house.deployment('shoot/gpu')}")
    assert found["work_pool_name"] == "runpod"
    assert studio.house.get("/work_pools/runpod")["type"] == "runpod"


def test_the_reaper_has_its_schedule(studio: Studio) -> None:
    found = studio.house.get(f"/deployments/{studio.house.deployment('reap/runpod')}")
    assert [(each["schedule"]["interval"], each["active"]) for each in found["schedules"]] == [(600.0, True)]


def test_one_pod_made_the_gpu_half_and_is_gone(pod: Night) -> None:
    assert {p.status for p in pod.made.values()} == {Status.MADE}, pod.words
    assert len(pod.pods) == 1 and not pod.jobs
    assert all(each["deleted"] is not None for each in pod.pods)


@pytest.mark.soak
def test_one_job_of_the_endpoint_made_the_gpu_half(serverless: Night) -> None:
    assert {p.status for p in serverless.made.values()} == {Status.MADE}, serverless.words
    assert [job["state"] for job in serverless.jobs] == ["COMPLETED"] and not serverless.pods


@pytest.mark.parametrize("mode", ["pod", pytest.param("serverless", marks=pytest.mark.soak)])
def test_the_ledger_tells_what_the_machines_seconds_went_into(mode: str, request: pytest.FixtureRequest) -> None:
    night: Night = request.getfixturevalue(mode)
    work = [row for row in night.rows if row.kind is Kind.WORK]
    assert {row.payer.stage for row in work} == {"poster", "takes", "segments", "lipsync"}, work
    assert {row.payer.actor for row in work} == set(night.made)
    assert {row.kind for row in night.rows} >= {Kind.WORK, Kind.COLD_START, Kind.IDLE}
    assert all(p.cost_usd > 0 for p in night.made.values())


@pytest.mark.parametrize("mode", ["pod", pytest.param("serverless", marks=pytest.mark.soak)])
def test_estimate_bill_and_upper_bound_are_in_that_order(mode: str, request: pytest.FixtureRequest) -> None:
    night: Night = request.getfixturevalue(mode)
    bill = sum(life["usd"] for life in night.bill)
    assert sum(row.usd for row in night.rows) <= bill + 1e-9
    assert bill <= sum(row.upper_usd for row in night.rows) + 1e-9


@pytest.mark.soak
def test_a_night_whose_films_are_made_rents_nothing(studio: Studio, pod: Night, serverless: Night) -> None:
    before = studio.rented.emulator.state()
    code, made, words = studio.rented.run(str(studio.manifest), "--gpu", "pool")
    after = studio.rented.emulator.state()
    assert code == 0 and {p.status for p in made.values()} == {Status.MADE}, words
    assert not _new(before, after, "pods") and not _new(before, after, "jobs")
