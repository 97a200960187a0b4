"""Whoever asks for rented GPUs is killed with -9, or the provider is away: no work, no machine and no dollar is lost.

`callsheet run` is a real process on the emulated account, with real workers and pods. Faults of single jobs and
requests, and the death of the pool's worker, are not covered here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from callsheet.production import Production, Status
from callsheet.runpod.emulator.faults import FaultKind
from tests.support.chaos import (
    Sight,
    asking,
    assert_attempts_ended_once,
    assert_bill_is_bounded,
    assert_ledger_is_the_bill,
    assert_nothing_is_open,
    assert_one_pod_at_a_time,
    assert_submits_within_p2,
    settle_left,
    sight,
)
from tests.support.house import House, forget, up
from tests.support.renting import Renting, cast, digests, renting, who

SUBMITS = "POST /jobs/*/run"
Reached = Callable[[Sight, Sight], bool]


def an_intent(before: Sight, now: Sight) -> bool:
    return now.intents > before.intents


def a_submit(before: Sight, now: Sight) -> bool:
    return now.jobs > before.jobs


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Renting]:
    with renting(tmp_path, cold_start_s=0.5) as studio:
        yield studio
    forget(tmp_path)


def made_here(studio: Renting, manifest: Path, folder: Path) -> dict[str, str]:
    """What this machine makes of the same manifest by itself: key -> digest."""
    folder.mkdir()
    alone = Renting(folder, studio.emulator)
    code, _, words = alone.run(str(manifest), "--gpu", "here")
    found = digests(alone.delivery)
    forget(folder)
    assert code == 0, words
    return found


def assert_all_made(made: dict[str, Production], actors: int) -> None:
    assert set(made) == {who(n) for n in range(actors)}
    assert {each.status for each in made.values()} == {Status.MADE}, [each.error for each in made.values()]


# ---- at the endpoint, job by job


@pytest.mark.soak
@pytest.mark.slow
def test_a_batch_killed_before_the_answer_to_its_submit_goes_on_with_the_same_job(studio: Renting) -> None:
    studio.open_endpoint(workers=2)
    manifest = cast(studio.folder, 1)
    studio.emulator.inject(FaultKind.ANSWER_LOST, where=SUBMITS)
    with asking(studio, manifest, "endpoint") as asker:
        assert asker.killed_when(a_submit)
    assert sight(studio).submitted == 0
    with asking(studio, manifest, "endpoint") as asker:
        assert_all_made(asker.ended(), 1)
    settle_left(studio)
    assert_nothing_is_open(studio)
    assert_submits_within_p2(studio, kills=0)
    assert_attempts_ended_once(studio)
    assert_bill_is_bounded(studio)
    assert_ledger_is_the_bill(studio)


POINTS: list[tuple[str, Reached, FaultKind | None]] = [
    ("an intent is written", an_intent, None),
    ("the provider has the job, nobody noted it", a_submit, FaultKind.ANSWER_LOST),
    ("a submit arrives after the asker's death", an_intent, FaultKind.REQUEST_LATE),
    ("the first job is noted", lambda before, now: now.submitted > before.submitted, None),
    ("a worker has claimed an attempt", lambda before, now: now.claims > before.claims, None),
    ("the first result is there", lambda before, now: now.results > before.results, None),
    ("the first attempt has ended", lambda before, now: now.ended > before.ended, None),
    ("three more results are there", lambda before, now: now.results >= before.results + 3, None),
    ("some time", an_intent, None),
    ("some more time", an_intent, None),
]
SEED = 20261120


@pytest.mark.soak
def test_a_batch_killed_at_ten_points_pays_each_recipe_once(studio: Renting, tmp_path: Path) -> None:
    """Before each kill an actor more is in the manifest, so that there is something to be killed over."""
    endpoint, chance = studio.open_endpoint(workers=3), random.Random(SEED)
    assert endpoint
    for number, (point, reached, fault) in enumerate(POINTS):
        manifest = cast(studio.folder, 2 + number, talking=2 + number)
        if fault is not None:
            studio.emulator.inject(fault, where=SUBMITS, seconds=3.0 if fault is FaultKind.REQUEST_LATE else 0.0)
        with asking(studio, manifest, "endpoint") as asker:
            later = chance.uniform(0.5, 6.0) if "time" in point else 0.0
            assert asker.killed_when(reached, later), f"it had ended before: {point}"
        studio.emulator.clear_faults()
    actors = 2 + len(POINTS)
    manifest = cast(studio.folder, actors, talking=actors)
    with asking(studio, manifest, "endpoint") as asker:
        made = asker.ended()
    assert_all_made(made, actors)
    settle_left(studio)
    assert_nothing_is_open(studio)
    assert_submits_within_p2(studio, kills=len(POINTS))
    assert_attempts_ended_once(studio)
    assert_bill_is_bounded(studio)
    assert digests(studio.delivery) == made_here(studio, manifest, tmp_path / "here")
    assert_ledger_is_the_bill(studio)


# ---- at the pool, a machine for many


@dataclass(frozen=True)
class Site:
    """`callsheet up` with its worker of rented machines."""

    rented: Renting
    house: House

    def mode(self, mode: str) -> None:
        """What the pool rents: pods, or jobs of the endpoint."""
        deployment = self.house.deployment("shoot/gpu")
        httpx.patch(
            f"{self.house.api}/deployments/{deployment}", json={"job_variables": {"mode": mode}}, timeout=30,
        ).raise_for_status()


@contextmanager
def site(folder: Path, mode: str, actors: int) -> Iterator[Site]:
    manifest = cast(folder, actors, talking=actors)
    with renting(folder) as rented:
        rented.open_endpoint(workers=2)
        with up(folder, manifest, settings=rented.settings) as house:
            rented.tell_of_prefect(house.api)
            found = Site(rented, house)
            found.mode(mode)
            yield found
    forget(folder)


def a_shoot(before: Sight, now: Sight) -> bool:
    return now.shoots > before.shoots


POOL_POINTS: list[tuple[str, Reached, bool]] = [
    ("the worker has the shoot", a_shoot, False),
    ("at once again", lambda before, now: True, True),
    ("the pod is ordered", lambda before, now: now.pods > before.pods, False),
    ("at once again", lambda before, now: True, True),
    ("its container is started", lambda before, now: now.starting > before.starting, False),
    ("the first result is there", lambda before, now: now.results > before.results, False),
    ("at once again, after a result", lambda before, now: True, True),
    ("three results are there", lambda before, now: now.results >= before.results + 3, False),
    ("some time", a_shoot, False),
    ("some more time, at once again", lambda before, now: True, True),
]
"""Point, when it is reached, and whether the one before still goes on then: so the time is counted, not the work."""


@pytest.mark.soak
def test_a_batch_at_the_pool_killed_at_ten_points_rents_one_pod_at_a_time(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with site(tmp_path, "pod", 2) as place:
        studio = place.rented
        for number, (point, reached, at_once) in enumerate(POOL_POINTS):
            manifest = cast(studio.folder, 2 + number, talking=2 + number)
            if not at_once:
                studio.settled()
            with asking(studio, manifest, "pool") as asker:
                later = chance.uniform(7.0, 14.0) if at_once else chance.uniform(0.0, 8.0) * ("time" in point)
                assert asker.killed_when(reached, later), f"it had ended before: {point}\n{asker.words()}"
        actors = 1 + len(POOL_POINTS)
        with asking(studio, manifest, "pool") as asker:
            made = asker.ended()
        assert_all_made(made, actors)
        studio.settled()
        assert_one_pod_at_a_time(studio, place.house)
        assert set(studio.results().values()) == {1}
        assert_nothing_is_open(studio)
        assert_bill_is_bounded(studio)
        assert digests(studio.delivery) == made_here(studio, manifest, tmp_path / "here")
        assert_ledger_is_the_bill(studio)


# ---- the provider is away


@pytest.mark.soak
@pytest.mark.slow
def test_an_api_that_is_away_for_a_while_costs_time_and_nothing_else(studio: Renting) -> None:
    studio.open_endpoint(workers=2)
    manifest = cast(studio.folder, 1)
    with asking(studio, manifest, "endpoint") as asker:
        before = sight(studio)
        while not a_submit(before, sight(studio)):
            time.sleep(0.05)
        studio.emulator.inject(FaultKind.DOWN, seconds=10.0)
        made = asker.ended()
    assert_all_made(made, 1)
    assert_nothing_is_open(studio)
    assert_submits_within_p2(studio, kills=0)
    assert_bill_is_bounded(studio)
    assert_ledger_is_the_bill(studio)


def away(studio: Renting, how: str) -> None:
    """For a minute: deaf while its machines go on, or dead with all of them."""
    if how == "cut off":
        studio.emulator.inject(FaultKind.DOWN, seconds=60.0)
        return
    port = int(studio.emulator.url.rpartition(":")[2])
    studio.emulator.kill()
    time.sleep(60)
    studio.emulator.start(port)


@pytest.mark.soak
@pytest.mark.parametrize("how", ["cut off", "killed"])
def test_a_minute_without_the_provider_at_the_endpoint(studio: Renting, tmp_path: Path, how: str) -> None:
    studio.open_endpoint(workers=2)
    manifest = cast(studio.folder, 4, talking=4)
    with asking(studio, manifest, "endpoint") as asker:
        before = sight(studio)
        while sight(studio).results < before.results + 3:
            time.sleep(0.1)
        away(studio, how)
        made = asker.ended()
    assert_all_made(made, 4)
    settle_left(studio)
    assert_nothing_is_open(studio)
    # Who is killed may have taken a job and not said so: its worker then finds the attempt closed, and renders nothing.
    assert_submits_within_p2(studio, kills=2 if how == "killed" else 0)
    assert_attempts_ended_once(studio)
    assert_bill_is_bounded(studio)
    assert digests(studio.delivery) == made_here(studio, manifest, tmp_path / "here")
    assert_ledger_is_the_bill(studio)


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["pod", "serverless"])
@pytest.mark.parametrize("how", ["cut off", "killed"])
def test_a_minute_without_the_provider_at_the_pool(tmp_path: Path, mode: str, how: str) -> None:
    """Killed, it takes its machines with it: their run has crashed, and the next one makes the rest."""
    with site(tmp_path, mode, 4) as place:
        studio, manifest = place.rented, tmp_path / "night.csv"
        with asking(studio, manifest, "pool") as asker:
            before = sight(studio)
            while sight(studio).results < before.results + 1:
                time.sleep(0.1)
            away(studio, how)
            made = asker.ended()
        if how == "killed" and {each.status for each in made.values()} != {Status.MADE}:
            with asking(studio, manifest, "pool") as asker:
                made = asker.ended()
        assert_all_made(made, 4)
        studio.settled()
        assert_one_pod_at_a_time(studio, place.house)
        assert set(studio.results().values()) == {1}
        assert_nothing_is_open(studio)
        assert_bill_is_bounded(studio)
        assert digests(studio.delivery) == made_here(studio, manifest, tmp_path / "here")
        assert_ledger_is_the_bill(studio)


# ---- a night of twenty


ACTORS = 20


@pytest.fixture(scope="module")
def made_by_itself(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The films of twenty, as this machine makes them."""
    folder = tmp_path_factory.mktemp("alone")
    with renting(folder) as studio:
        return made_here(studio, cast(folder, ACTORS, talking=ACTORS // 2), folder / "here")


def assert_a_good_night(studio: Renting, manifest: Path, gpu: str, expected: dict[str, str]) -> None:
    """Made, as here; within its bounds; reconciled to the second; and for nothing the second time."""
    with asking(studio, manifest, gpu) as asker:
        assert_all_made(asker.ended(patience_s=550), ACTORS)
    assert_nothing_is_open(studio)
    assert set(studio.results().values()) == {1}
    assert digests(studio.delivery) == expected
    assert_bill_is_bounded(studio)
    assert_ledger_is_the_bill(studio)
    before = studio.emulator.state()
    with asking(studio, manifest, gpu) as asker:
        assert_all_made(asker.ended(), ACTORS)
    after = studio.emulator.state()
    assert (len(after["jobs"]), len(after["bill"]), after["usd"]) == (
        len(before["jobs"]), len(before["bill"]), before["usd"])


@pytest.mark.soak
def test_twenty_actors_at_the_endpoint(studio: Renting, made_by_itself: dict[str, str]) -> None:
    studio.open_endpoint(workers=3)
    manifest = cast(studio.folder, ACTORS, talking=ACTORS // 2)
    assert_a_good_night(studio, manifest, "endpoint", made_by_itself)
    assert_submits_within_p2(studio, kills=0)


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["pod", "serverless"])
def test_twenty_actors_at_the_pool(mode: str, tmp_path: Path, made_by_itself: dict[str, str]) -> None:
    with site(tmp_path, mode, ACTORS) as place:
        manifest = cast(tmp_path, ACTORS, talking=ACTORS // 2)
        assert_a_good_night(place.rented, manifest, "pool", made_by_itself)
