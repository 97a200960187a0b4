"""Single recipes through the endpoint plane, in this process and without a Prefect server.

The account is the emulator's, its workers are real processes with our handler, the store is a folder that both sides
share. What came of a recipe, what it cost and what is left open is read from the store and from the emulator.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callsheet.costs import CostRow, Kind, Outcome
from callsheet.doors.reconciling import reconcile_all
from callsheet.engines.choose import choose
from callsheet.errors import CallsheetError
from callsheet.models import Gpu, Purse
from callsheet.recipe import Recipe
from callsheet.recipes import PosterRecipe, SegmentRecipe
from callsheet.runpod import client as client_module
from callsheet.runpod import http
from callsheet.runpod.client import JobsClient, Watch
from callsheet.runpod.emulator.serve import Emulator
from callsheet.settings import Settings
from callsheet.store import payment
from callsheet.store.budgets import Budgets
from callsheet.store.journal import Ended, Entry, Journal
from callsheet.store.ledger import Ledger
from callsheet.store.local import LocalStore
from callsheet.store.paying import paid_once
from callsheet.store.records import Record, Records
from tasks import spending
from tasks.direct import direct
from tasks.poster import poster
from tasks.run import STOP, running
from tasks.segments import segments
from tests.support.prefect_server import unconfigured

IMAGE = "callsheet:test"
STAGES = {"poster": poster, "segments": segments}
BUDGET = 1000.0


def a_poster(seed: int, **changes: Any) -> PosterRecipe:
    """A poster that takes a moment."""
    return PosterRecipe(
        label=f"poster {seed}", engine=choose().id, prompt="a hill", width=64, height=64, steps=1,
        sampler_name="euler", scheduler_name="simple", flux_guidance=3.5, loras=(), seed=seed, **changes)


def a_clip(seed: int, frames: int = 4, side: int = 64) -> SegmentRecipe:
    """A clip of so many frames and pixels a side."""
    return SegmentRecipe(
        label=f"clip {seed}", engine=choose().id, scene="a hill", prompt="a hill, night", width=side, height=side,
        num_frames=frames, steps=20, cfg=6.0, loras=(), seed=seed)


def a_long_clip(seed: int) -> SegmentRecipe:
    """A clip that is still at work when somebody comes to stop it."""
    return a_clip(seed, frames=120, side=2048)


@dataclass(frozen=True)
class Told:
    """What `make` gave or raised."""

    records: list[Record] = field(default_factory=list)
    error: CallsheetError | None = None

    @property
    def words(self) -> str:
        """What a person reads."""
        return str(self.error)


@dataclass
class Rental:
    """An endpoint of the emulated account, and the studio that sends it recipes."""

    emulator: Emulator
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    batch: str
    endpoint: str = ""

    # ---- set-up

    def settle_in(self, endpoint: str) -> None:
        """This process is configured for that endpoint from now on."""
        self.endpoint = endpoint
        self.monkeypatch.chdir(self.folder)
        unconfigured(self.monkeypatch)
        for name, value in {
            "CALLSHEET_HOME": str(self.folder), "CALLSHEET_STORE": str(self.folder / "store"),
            "CALLSHEET_DELIVERY": str(self.folder / "delivery"), "RUNPOD_ENDPOINT_ID": endpoint,
            "PREFECT_API_URL": "http://127.0.0.1:9/api",            # nobody is there: a call would fail
            **self.emulator.environment(),
        }.items():
            self.monkeypatch.setenv(name, value)

    def open_endpoint(self, folder: Path | None = None, **options: Any) -> str:
        """An endpoint of its own, for faults that strike all of its workers; they leave soon.

        `folder` is what its workers take for the studio's, when they have a wrong one.
        """
        endpoint = opened(self.emulator, folder or self.folder, **{"idle_s": 1, "max_workers": 1, **options})
        self.settle_in(endpoint)
        return endpoint

    def hurry(self, claim_wait_s: float = 20.0, pause_s: float = 0.05, **watch: float) -> None:
        """Waits that are long by design are short here; what they wait for stays. `pause_s` is between tries."""
        covering = Watch.covering
        self.monkeypatch.setattr(Watch, "covering", classmethod(
            lambda cls, policy: covering(policy).model_copy(update=watch)))
        self.monkeypatch.setitem(JobsClient.wait.__kwdefaults__, "poll_s", 0.2)
        self.monkeypatch.setitem(paid_once.__kwdefaults__, "claim_wait_s", claim_wait_s)
        self.monkeypatch.setattr(http, "FIRST_PAUSE_S", 0.05)
        self.monkeypatch.setattr(client_module, "LOOK_S", 0.3)
        self.monkeypatch.setattr(payment, "about", lambda seconds: min(seconds, 1.0) * pause_s * 4)
        self.monkeypatch.setattr(spending, "_PRICES", {})
        for stage in STAGES.values():
            self.monkeypatch.setattr(stage, "policy", replace(stage.policy, pauses_s=(pause_s, pause_s)))

    # ---- work

    def make(self, *recipes: Recipe) -> Told:
        """Have them made at the endpoint, each as a job, as a flow would."""
        stage = STAGES[recipes[0].stage]
        try:
            with running("night", gpu=Gpu.ENDPOINT, purse=Purse(batch=self.batch, budget=BUDGET)), direct():
                return Told(stage.each(list(recipes)))
        except CallsheetError as error:
            return Told(error=error)

    def make_and_stop(self, recipe: Recipe, state: str = "IN_PROGRESS") -> Told:
        """Have it made, and stop this process once its job is in that state."""
        def stop() -> None:
            end = time.monotonic() + 60
            while time.monotonic() < end and not any(job["state"] == state for job in self.jobs(recipe)):
                time.sleep(0.05)
            STOP.set()

        watcher = threading.Thread(target=stop)
        watcher.start()
        try:
            return self.make(recipe)
        finally:
            watcher.join()
            STOP.clear()

    # ---- what is there

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.folder / "store")

    def jobs(self, recipe: Recipe) -> list[dict[str, Any]]:
        """Its jobs that the provider accepted, the oldest first."""
        return [job for job in self.emulator.state()["jobs"] if job["input"].get("key") == key_of(recipe)]

    def history(self, recipe: Recipe) -> list[Entry]:
        return Journal(self.store).history(key_of(recipe))

    def ends(self, recipe: Recipe) -> list[Outcome]:
        """How its attempts ended, in order."""
        return [entry.outcome for entry in self.history(recipe) if isinstance(entry, Ended)]

    def rows(self, recipe: Recipe) -> list[CostRow]:
        """What was written down of its jobs, as it was estimated; by attempt."""
        found = [row for row in Ledger(self.store).estimates() if row.key == key_of(recipe) and row.kind is Kind.WORK]
        return sorted(found, key=lambda row: row.attempt)

    def results(self, recipe: Recipe) -> int:
        """How many results its log has."""
        log = self.folder / "store" / recipe.stage / "records" / recipe.fingerprint
        return Counter(json.loads(path.read_text())["kind"] for path in log.glob("*.json"))["record"]

    def record(self, recipe: Recipe) -> Record | None:
        return Records(self.store).find(recipe.stage, recipe.fingerprint)

    def struck(self) -> Counter[str]:
        """How often each kind of fault struck since the emulator began."""
        return Counter(self.emulator.state()["struck"])

    # ---- laws

    def assert_paid(self, recipe: Recipe, *outcomes: Outcome, jobs: int) -> None:
        """Its attempts ended so and it has one result if one was made; nothing of it is open or promised."""
        assert self.ends(recipe) == list(outcomes), self.account(recipe)
        assert len(self.jobs(recipe)) == jobs, self.account(recipe)
        assert self.results(recipe) <= 1
        assert (Outcome.MADE in outcomes) <= (self.results(recipe) == 1)
        rows = self.rows(recipe)
        assert {row.resource for row in rows} <= {job["id"] for job in self.jobs(recipe)}
        assert len({row.resource for row in rows}) == len(rows), "one row a job"
        self.assert_nothing_left(recipe)

    def account(self, recipe: Recipe) -> str:
        """Its attempts and jobs, for whoever wonders why."""
        shown = ("id", "state", "error", "deliveries", "gone")
        jobs = [{name: job[name] for name in shown} for job in self.jobs(recipe)]
        return "\n".join(map(repr, [*self.history(recipe), *jobs, *self.rows(recipe)]))

    def assert_nothing_left(self, recipe: Recipe) -> None:
        """Nothing is open, and nothing is promised in this test's budget."""
        assert key_of(recipe) not in Journal(self.store).open_keys()
        standing = Budgets(self.store).standing(f"batch/{self.batch}")
        assert standing.promised == pytest.approx(0)
        rows = [row for row in Ledger(self.store).estimates() if f"batch/{self.batch}" in row.payer.budgets]
        least, most = sum(row.usd for row in rows), sum(row.upper_usd for row in rows)
        assert least - 1e-9 <= standing.spent <= most + 1e-9, "the budget has what the ledger has, on the safe side"

    def assert_bill(self, known: bool = True) -> list[CostRow]:
        """Once its workers are gone: the ledger's bounds hold, and reconciled it is the bill, to the second.

        `known`: whether estimates are to lie around the bill; a price that changed is known from the bill alone.
        Gives the reconciled rows.
        """
        lives = self.ended_lives()
        billed_usd, billed_s = sum(life["usd"] for life in lives), sum(life["seconds"] for life in lives)
        before = [row for row in Ledger(self.store).estimates() if row.provider_id == self.endpoint]
        if known:
            low, high = sum(row.usd for row in before), sum(row.upper_usd for row in before)
            assert low <= billed_usd + 1e-9, f"estimate {low}, bill {billed_usd}"
            assert billed_usd <= high + 1e-9, f"bill {billed_usd}, upper bound {high}"
        settings, ledger, now = Settings.load(), Ledger(self.store), datetime.now(UTC)
        reconcile_all(settings, ledger, now - timedelta(hours=1), now)
        after = [row for row in ledger.rows() if row.provider_id == self.endpoint]
        assert sum(row.usd for row in after) == pytest.approx(billed_usd, abs=1e-9)
        if known:
            assert sum(row.seconds for row in after) == pytest.approx(billed_s, abs=0.01)
        assert all(row.reconciled for row in after if row.usd), "an hour that cost nothing has no line in the bill"
        return after

    def ended_lives(self, patience_s: float = 60.0) -> list[dict[str, Any]]:
        """What its workers cost, once the last has gone."""
        end = time.monotonic() + patience_s
        while True:
            lives = [life for life in self.emulator.state()["bill"] if life["provider_id"] == self.endpoint]
            if all(life["ended"] is not None for life in lives):
                return lives
            assert time.monotonic() < end, f"still alive: {lives}"
            time.sleep(0.2)

    def soon(self, recipe: Recipe, state: str, patience_s: float = 60.0) -> Mapping[str, Any]:
        """Its last job once it is in that state."""
        end = time.monotonic() + patience_s
        while True:
            jobs = self.jobs(recipe)
            if jobs and jobs[-1]["state"] == state:
                return jobs[-1]
            assert time.monotonic() < end, f"not {state}: {jobs}"
            time.sleep(0.1)


def key_of(recipe: Recipe) -> str:
    return f"{recipe.stage}/{recipe.fingerprint}"


def opened(emulator: Emulator, folder: Path, **options: Any) -> str:
    """An endpoint with our handler, whose workers share that folder's store."""
    env = {"CALLSHEET_STORE": str(folder / "store"), "CALLSHEET_DELIVERY": str(folder / "delivery")}
    return emulator.endpoint(IMAGE, env=env, **{"idle_s": 5, "max_workers": 1, **options})


@contextmanager
def renting_one(
    emulator: Emulator, folder: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch, batch: str
) -> Iterator[Rental]:
    """A studio at an endpoint; the table of faults is empty before and after."""
    emulator.clear_faults()
    rental = Rental(emulator, folder, monkeypatch, batch)
    rental.settle_in(endpoint)
    rental.hurry()
    try:
        yield rental
    finally:
        STOP.clear()
        emulator.clear_faults()
