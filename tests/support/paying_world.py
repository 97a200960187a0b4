"""A world for paid_once in which everything can go wrong at every step: store, provider, workers, clock, owners.

Owners are coroutines that are driven by hand, one step at a time. A step ends wherever an owner awaits; inside a step
each store operation can fail, be the last one of its process, or have another owner run in the middle of it. The
world asserts, while it runs, what must never happen (P1), and keeps what is needed to check the rest at the end.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callsheet.costs import Outcome
from callsheet.errors import AnswerUnknown, CallsheetError, ProviderBusy, ProviderError, StoreError
from callsheet.pricing import Rate
from callsheet.store.attempts import take_attempt
from callsheet.store.base import Artifact
from callsheet.store.jobs import Beat, JobEnd
from callsheet.store.journal import Entry, Journal
from callsheet.store.journal_entries import Intent as IntentEntry
from callsheet.store.paying import adopted, paid_once
from tests.support.stores import MemoryStore

LEASE_S = 60.0


class Crash(BaseException):
    """kill -9: nothing of this owner runs any more."""


class Step:
    """Where an owner lets others go on."""

    def __init__(self, what: str, seconds: float = 0.0) -> None:
        self.what, self.seconds = what, seconds

    def __await__(self) -> Generator[Step, None, None]:
        yield self


@dataclass
class Fault:
    """What happens at the n-th store operation from now: `crash` or `500`, before or after it took effect."""

    kind: str
    countdown: int
    after: bool


@dataclass
class Job:
    id: str
    key: str
    attempt: int
    owner: Owner
    state: str = "queue"
    """queue, running, uploaded, completed, failed, cancelled, duplicate, gone."""
    retryable: bool = True
    rendered: bool = False
    faulted: bool = False
    """The provider, its worker or somebody who cancelled spoilt it."""
    lost_answer: bool = False

    @property
    def over(self) -> bool:
        return self.state in ("completed", "failed", "cancelled", "duplicate", "gone")


@dataclass
class Owner:
    """One process that wants one key."""

    name: str
    key: str
    near: bool
    """On the machine of those who look: its death is noticed at once."""
    coroutine: Coroutine[Any, Any, str] | None = None
    fault: Fault | None = None
    interrupt: tuple[int, Callable[[], None]] | None = None
    dead: bool = False
    stopped: bool = False
    running: bool = False
    pausing_s: float = 0.0
    result: str | None = None
    error: BaseException | None = None

    @property
    def over(self) -> bool:
        return self.dead or self.result is not None or self.error is not None


class OwnerStore:
    """The one store, as one process sees it."""

    url = "memory://"

    def __init__(self, world: World, owner: Owner) -> None:
        self._world, self._owner = world, owner

    def put_if_absent(self, key: str, source: Path | bytes) -> bool:
        return bool(self._do(lambda: self._world.store.put_if_absent(key, source)))

    def read(self, key: str) -> bytes:
        return bytes(self._do(lambda: self._world.store.read(key)))

    def size(self, key: str) -> int | None:
        found = self._do(lambda: self._world.store.size(key))
        return None if found is None else int(found)

    def names(self, prefix: str) -> list[str]:
        return list(self._do(lambda: self._world.store.names(prefix)))

    def fetch(self, artifact: Artifact, folder: Path) -> Path:
        raise NotImplementedError

    def link(self, key: str, expires_s: int = 3600) -> str:
        raise NotImplementedError

    def _do(self, act: Callable[[], Any]) -> Any:
        owner = self._owner
        if owner.dead:
            raise Crash
        if owner.interrupt is not None:
            countdown, meanwhile = owner.interrupt
            owner.interrupt = (countdown - 1, meanwhile) if countdown > 1 else None
            if countdown <= 1:
                meanwhile()
        fault = owner.fault
        if fault is None:
            return act()
        fault.countdown -= 1
        if fault.countdown > 0:
            return act()
        owner.fault = None
        if fault.after:
            act()
        if fault.kind == "crash":
            owner.dead = True
            raise Crash
        raise StoreError(url=self.url, detail="503")


@dataclass
class World:
    """Store, provider and clock."""

    claims: bool = True
    """Whether workers claim attempts. A mutant does not."""
    settles: bool = True
    """Whether every attempt that ends must have been settled."""
    make_journal: Callable[..., Journal] = Journal
    store: MemoryStore = field(default_factory=MemoryStore)
    now: float = 1_800_000_000.0
    jobs: dict[str, Job] = field(default_factory=dict)
    owners: list[Owner] = field(default_factory=list)
    lose_answer: bool = False
    refuse: str = ""
    """`busy` or `failed`: what the next submit is answered, without being accepted."""
    silent: int = 0
    """How many looks at a job fail."""
    deaf: bool = False
    """Cancelling changes nothing."""
    settled: dict[tuple[str, int], int] = field(default_factory=dict)
    names: int = 0

    # ---- owners

    def begin(self, key: str, near: bool, adopts: bool = False) -> Owner:
        """One who wants the key, or one who only looks after what was left open."""
        owner = Owner(f"owner-{len(self.owners)}", key, near)
        store = OwnerStore(self, owner)
        journal = self.make_journal(
            store, clock=lambda: self.now, lease_s=LEASE_S, gone=self._gone, owner=lambda: self._name(owner))
        act: Callable[..., Coroutine[Any, Any, Any]] = adopted if adopts else paid_once
        owner.coroutine = act(
            key, journal, FakeJobs(self, owner), lambda: self._found(store, key), store=store,
            accounts=FakeAccounts(self), pause=self._pause, call=self._call,
        )
        self.owners.append(owner)
        return owner

    def step(self, owner: Owner, error: BaseException | None = None) -> None:
        """Let an owner run until it next awaits; or until it dies, fails or has its result."""
        if owner.over or owner.running:
            return
        assert owner.coroutine is not None
        owner.running = True
        try:
            at = owner.coroutine.throw(error) if error else owner.coroutine.send(None)
            owner.pausing_s = at.seconds
        except StopIteration as done:
            owner.result = str(done.value)
        except Crash:
            owner.coroutine.close()
        except (CallsheetError, asyncio.CancelledError) as failed:
            owner.error = failed
        finally:
            owner.running = False

    def crash(self, owner: Owner) -> None:
        if not owner.running:
            owner.dead = not owner.over
            assert owner.coroutine is not None
            owner.coroutine.close()

    def stop(self, owner: Owner) -> None:
        if not owner.over and not owner.running and not owner.stopped:
            owner.stopped = True
            self.step(owner, asyncio.CancelledError())

    def _name(self, owner: Owner) -> str:
        self.names += 1
        return f"{owner.name}/{self.names}"

    def _gone(self, name: str) -> bool:
        owner = next(owner for owner in self.owners if owner.name == name.split("/")[0])
        return owner.near and owner.dead

    async def _pause(self, seconds: float) -> None:
        await Step("pause", seconds)

    async def _call(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        await Step("call")
        return ask(*arguments)

    @staticmethod
    def _found(store: OwnerStore, key: str) -> str | None:
        data = store.read(f"results/{key}") if store.size(f"results/{key}") is not None else None
        return None if data is None else data.decode()

    # ---- provider

    def accept(self, owner: Owner, key: str, attempt: int) -> Job:
        begun = [e for e in self.journal(key) if isinstance(e, IntentEntry) and e.attempt == attempt]
        assert begun, f"attempt {attempt} at {key} was submitted without an intent"
        job = Job(f"job-{len(self.jobs)}", key, attempt, owner)
        self.jobs[job.id] = job
        return job

    def work(self, job: Job, how: str = "well") -> None:
        """The next thing that happens to a job: well, badly (`fail`, `refuse`, `empty`), worse (`die`, `vanish`)."""
        if job.over:
            return
        if how == "vanish":
            job.state, job.faulted = "gone", True
        elif job.state == "queue":
            self._take(job)
        elif how in ("fail", "refuse"):
            job.state, job.faulted, job.retryable = "failed", True, how == "fail"
        elif how == "empty" and job.state == "running":    # it says that it is done, and uploaded nothing
            job.state, job.faulted = "completed", True
        elif how == "die":                             # its worker is gone; the provider gives the job to another
            job.state, job.faulted = "queue", True
        elif job.state == "running":
            self.store.put_if_absent(f"results/{job.key}", f"made by {job.id}".encode())
            job.state, job.rendered = "uploaded", True
        else:
            job.state = "completed"

    def _take(self, job: Job) -> None:
        taken = take_attempt(self.store, job.key, job.attempt, job.id, "worker") if self.claims else None
        if taken is not None:
            job.state = "duplicate"
            return
        others = [j for j in self.jobs.values() if j.key == job.key and j is not job]
        live = [j.id for j in others if j.state in ("running", "uploaded")]
        made = [j.id for j in others if j.rendered]
        assert not live and not made, f"P1: {job.id} renders {job.key}, which {live} render and {made} rendered"
        job.state = "running"

    def journal(self, key: str) -> list[Entry]:
        return Journal(self.store).history(key)


@dataclass
class FakeJobs:
    """The provider as one owner reaches it."""

    world: World
    owner: Owner

    def worst(self) -> tuple[float, Rate | None, dict[str, Any]]:
        return 0.5, Rate(gpu="A40", usd_per_second=0.00034), {"actor": "maya"}

    async def submit(self, key: str, attempt: int) -> str:
        await Step("submit")
        refuse, self.world.refuse = self.world.refuse, ""
        if refuse == "busy":
            raise ProviderBusy(provider="RunPod", detail="429", retry_after_s=3)
        if refuse:
            raise ProviderError(provider="RunPod", detail="no connection")
        job = self.world.accept(self.owner, key, attempt)
        if self.world.lose_answer:
            self.world.lose_answer, job.lost_answer = False, True
            raise AnswerUnknown(provider="RunPod", detail="time-out")
        await Step("answer")
        return job.id

    async def wait(self, job_id: str, beat: Beat) -> JobEnd:
        while True:
            await Step("status")
            if self.world.silent:
                self.world.silent -= 1
                raise ProviderError(provider="RunPod", detail="502 for a long time")
            job = self.world.jobs[job_id]
            if job.over:
                return self._end(job)
            await beat()
            await Step("poll", 5.0)

    async def cancel(self, job_id: str) -> None:
        await Step("cancel")
        job = self.world.jobs[job_id]
        if not job.over and not self.world.deaf:
            job.state, job.faulted = "cancelled", job.faulted or self.owner.stopped

    def _end(self, job: Job) -> JobEnd:
        outcome = {
            "completed": Outcome.MADE, "failed": Outcome.FAILED, "cancelled": Outcome.CANCELLED,
            "duplicate": Outcome.DUPLICATE, "gone": Outcome.LOST,
        }[job.state]
        result = self.world.store.blobs.get(f"results/{job.key}")
        artifacts = {"main": hashlib.sha256(result).hexdigest()} if outcome is Outcome.MADE and result else {}
        return JobEnd(
            outcome=outcome, job_id=job.id, seconds=10, message="", artifacts=artifacts,
            retryable=job.retryable and outcome is not Outcome.MADE,
        )


@dataclass
class FakeAccounts:
    world: World

    def reserve(self, key: str, attempt: int, usd: float) -> None:
        assert usd == 0.5

    def settle(self, key: str, intent: IntentEntry, end: JobEnd) -> None:
        self.world.settled[key, intent.attempt] = self.world.settled.get((key, intent.attempt), 0) + 1
