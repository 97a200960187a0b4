"""Killing whoever asks for GPU work, and what must hold afterwards: work, money, machines."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from callsheet.production import Production
from callsheet.project import root
from callsheet.reconcile import billed_seconds
from callsheet.store.budgets import Budgets
from callsheet.store.journal import Ended, Intent, Journal
from callsheet.store.ledger import Ledger
from tests.support.house import House, plain_environment
from tests.support.renting import Renting

_COMMAND = [sys.executable, "-m", "callsheet.doors.cli"]
_SETTLE = """
import asyncio
from tasks.left_jobs import settle_left_jobs
from tasks.run import running
with running("reap"):
    print(*asyncio.run(settle_left_jobs()), sep="\\n")
"""


@dataclass(frozen=True)
class Sight:
    """What there is of a batch at one moment, counted."""

    intents: int
    submitted: int
    ended: int
    claims: int
    results: int
    jobs: int
    """Jobs that the provider has taken."""
    shoots: int
    """Flow runs that the worker of the pool has in its hands or had."""
    pods: int
    starting: int
    """Pods whose container has been started."""


def sight(studio: Renting) -> Sight:
    """Count now."""
    kinds: Counter[str] = Counter()
    shoots = set()
    for path in (studio.home / "store" / "journal").rglob("*.json"):
        kinds[json.loads(path.read_text())["kind"]] += 1
        if path.parent.parent.name == "flow_run":
            shoots.add(path.parent.name)
    state = studio.emulator.state()
    return Sight(
        intents=kinds["intent"], submitted=kinds["submitted"], ended=kinds["ended"],
        claims=sum(path.is_file() for path in (studio.home / "store" / "claims").rglob("*")),
        results=sum(studio.results().values()), jobs=len(state["jobs"]), shoots=len(shoots), pods=len(state["pods"]),
        starting=sum(pod["started"] is not None for pod in state["pods"]),
    )


class Asker:
    """`callsheet run` as a process that can be killed; what it says goes into files."""

    def __init__(self, studio: Renting, manifest: Path, gpu: str, *options: str) -> None:
        self.studio = studio
        self._out, self._err = studio.folder / "asker.out", studio.folder / "asker.err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [*_COMMAND, "run", str(manifest), "--gpu", gpu, "--json", *options], cwd=studio.folder,
                env={**plain_environment(), **studio.settings}, stdout=out, stderr=err, stdin=subprocess.DEVNULL,
            )

    def killed_when(
        self, reached: Callable[[Sight, Sight], bool], after_s: float = 0.0, patience_s: float = 120
    ) -> bool:
        """Kill -9 once `reached(before, now)`, or so much later; whether it was still alive then."""
        before, end = sight(self.studio), time.monotonic() + patience_s
        while not reached(before, sight(self.studio)):
            if self.process.poll() is not None:
                return False
            assert time.monotonic() < end, f"the point was not reached in {patience_s:g} s\n{self.words()}"
            time.sleep(0.02)
        time.sleep(after_s)
        alive = self.process.poll() is None
        self.process.kill()
        self.process.wait()
        return alive

    def ended(self, patience_s: float = 400) -> dict[str, Production]:
        """What it made, by actor."""
        self.process.wait(patience_s)
        out = self._out.read_text()
        assert out.startswith("["), self.words()
        return {each.actor_id: each for each in map(Production.model_validate, json.loads(out))}

    def words(self) -> str:
        return self._err.read_text()[-3000:] + self._out.read_text()[-3000:]


@contextmanager
def asking(studio: Renting, manifest: Path, gpu: str, *options: str) -> Iterator[Asker]:
    """A command that is gone when the block ends."""
    asker = Asker(studio, manifest, gpu, *options)
    try:
        yield asker
    finally:
        if asker.process.poll() is None:
            asker.process.kill()
            asker.process.wait()


# ---- what must hold


def settle_left(studio: Renting) -> str:
    """What the reap flow does about jobs whose asker is gone; its lines."""
    done = subprocess.run(
        [sys.executable, "-c", _SETTLE], cwd=root(), env={**plain_environment(), **studio.settings}, text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def assert_nothing_is_open(studio: Renting) -> None:
    """No machine is paid, no attempt is open, no budget holds a promise."""
    state = studio.settled()
    assert not [pod["id"] for pod in state["pods"] if pod["deleted"] is None]
    assert not [worker["id"] for worker in state["workers"] if worker["ended"] is None]
    assert not Journal(studio.store).open_keys()
    promised = {scope: Budgets(studio.store).standing(scope).promised for scope in scopes(studio)}
    assert promised and not any(usd > 1e-9 for usd in promised.values()), promised


def scopes(studio: Renting) -> set[str]:
    """Every scope of a budget that was used."""
    return {name.removeprefix("budgets/").rpartition("/")[0] for name in studio.store.names("budgets/")}


def assert_submits_within_p2(studio: Renting, kills: int) -> None:
    """One job a recipe, and one more for each that failed; a kill between a submit and its note costs one more."""
    results = studio.results()
    assert results and set(results.values()) == {1}, results
    asked = [job for job in studio.jobs() if job["input"]["job_type"] == "stage"]
    failed = [job for job in asked if job["state"] in ("FAILED", "TIMED_OUT") and not _duplicate(job)]
    assert {job["input"]["key"] for job in asked} == set(results)
    assert len(asked) <= len(results) + len(failed) + kills, Counter(job["state"] for job in asked)
    renders = Counter(job["input"]["key"] for job in asked if job["state"] == "COMPLETED")
    assert set(renders.values()) == {1}, renders


def _duplicate(job: Mapping[str, Any]) -> bool:
    error = job["error"]
    return "claim.taken" in (error if isinstance(error, str) else json.dumps(error))


def assert_attempts_ended_once(studio: Renting) -> None:
    """Each key's log: an end for every intent, the last of them with the result."""
    journal = Journal(studio.store)
    for key in studio.results():
        history = journal.history(key)
        intents = [entry.attempt for entry in history if isinstance(entry, Intent)]
        ends = [entry for entry in history if isinstance(entry, Ended)]
        assert intents == [entry.attempt for entry in ends] == list(range(1, len(intents) + 1)), key
        assert ends[-1].outcome == "made", (key, ends[-1])


def assert_bill_is_bounded(studio: Renting) -> None:
    """Before reconciling: estimate <= bill <= upper bound."""
    rows = Ledger(studio.store).estimates()
    bill = studio.billed_usd()
    estimate, upper = sum(row.usd for row in rows), sum(max(row.usd, row.upper_usd) for row in rows)
    assert estimate <= bill + 1e-9, _compared(studio)
    assert bill <= upper + 1e-9, _compared(studio)


def assert_ledger_is_the_bill(studio: Renting) -> None:
    """After `callsheet costs --reconcile`: the same seconds and dollars for every pod and endpoint."""
    code, out, err = studio.command("costs", "--reconcile", "--json", "--by", "kind")
    assert code == 0, err
    seconds: dict[str, float] = defaultdict(float)
    for (provider_id, _), found in billed_seconds(studio.ledger()).items():
        seconds[provider_id] += found
    billed: dict[str, float] = defaultdict(float)
    for life in studio.bill():
        billed[life["provider_id"]] += life["seconds"]
    assert set(seconds) == set(billed)
    for provider_id, found in billed.items():
        assert abs(seconds[provider_id] - found) < 1e-3, (provider_id, seconds[provider_id], found)
    total = json.loads(out)["total"]
    assert total["reconciled"] and total["usd"] == pytest.approx(studio.billed_usd(), abs=1e-6)


def _compared(studio: Renting) -> str:
    rows = "\n".join(
        f"{row.provider_id} {row.kind} {row.outcome} {row.seconds:8.2f} s ${row.usd:.5f} <= ${row.upper_usd:.5f} "
        f"{row.key[:24]}" for row in Ledger(studio.store).estimates())
    lives = "\n".join(
        f"{life['provider_id']} {life['resource']} {life['seconds']} s ${life['usd']:.5f}" for life in studio.bill())
    return f"ledger\n{rows}\nbill\n{lives}"


def assert_one_pod_at_a_time(studio: Renting, house: House) -> None:
    """No two pods lived at once for the same actor's film."""
    lives = []
    for pod in studio.emulator.state()["pods"]:
        run = house.get(f"/flow_runs/{pod['spec']['name'].removeprefix('callsheet-')}")
        actors = {order["cast"][0]["id"] for order in run["parameters"]["orders"]}
        lives.append((pod["created"], pod["deleted"], actors, pod["id"]))
    lives.sort(key=lambda life: life[0])
    for (_, ended, actors, one), (began, _, others, other) in pairwise(lives):
        assert began >= ended or not actors & others, f"pods {one} and {other} were both paid for {actors & others}"

