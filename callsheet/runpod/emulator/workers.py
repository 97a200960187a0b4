"""A worker's life: placed, started, polling, busy, idle, ended; and how many there are."""

from __future__ import annotations

import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from callsheet.pricing import CARDS, HOUR_S
from callsheet.runpod.emulator import catalogue
from callsheet.runpod.emulator.environment import worker_environment
from callsheet.runpod.emulator.faults import FaultKind
from callsheet.runpod.emulator.refusals import Refusal, missing
from callsheet.runpod.emulator.rows import Endpoint, Worker, WorkerState
from callsheet.runpod.emulator.scaling import wanted

if TYPE_CHECKING:
    from callsheet.runpod.emulator.world import World

FOR_EVER = 1e12
CRASHES = 3
"""Ends of its process, without a job done between, that make a worker UNHEALTHY."""
PINGS = 3
"""So many pings in a row that do not come, and a worker is taken for dead."""
_MOST_BACKOFF_S = 10.0


class Workers:
    """All workers of all endpoints."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._live = {worker.id for worker in world.state.workers if worker.ended is None}
        self._turns: Counter[str] = Counter()
        self._pings: dict[str, float] = {}

    def live(self, endpoint_id: str | None = None) -> Iterator[Worker]:
        """Workers that have not ended, the oldest first."""
        found = (self.world.state.workers.get(id_) for id_ in tuple(self._live))
        alive = [worker for worker in found if worker and endpoint_id in (None, worker.endpoint)]
        yield from sorted(alive, key=lambda worker: worker.created)

    def forget_ended(self) -> None:
        """Take up the table as it is."""
        self._live = {worker.id for worker in self.world.state.workers if worker.ended is None}

    # ---- what workers ask

    def admit(self, endpoint_id: str, worker_id: str, key: str) -> Worker:
        """The worker that asks. Raises Refusal."""
        worker = self.world.state.workers.get(worker_id)
        if worker is None or worker.endpoint != endpoint_id:
            raise missing("worker", worker_id)
        if not secrets.compare_digest(key.removeprefix("Bearer ").encode(), worker.key.encode()):
            raise Refusal(401, "this is not the worker's key")
        return worker

    def asked(self, worker: Worker, holding: bool) -> None:
        """It asks for a job; when it holds none, whatever it had in its hands it has no more."""
        now = self.world.clock.now()
        if worker.ready is None:
            worker.ready = now
        if not holding:
            worker.jobs, worker.stopped_at = [], None
        if not worker.jobs and worker.state is not WorkerState.IDLE:
            worker.state, worker.idle_since = WorkerState.IDLE, now
        self.world.state.workers.save(worker)

    def turn(self, worker: Worker) -> Callable[[], bool]:
        """Whether a request of it for jobs is still the last one: an older one's answer would reach nobody."""
        self._turns[worker.id] += 1
        mine = self._turns[worker.id]
        return lambda: (self._turns[worker.id] == mine and worker.ended is None
                        and self.world.machines.alive(worker.id))

    def pinged(self, worker: Worker) -> None:
        """It said that it lives."""
        self._pings[worker.id] = time.monotonic()
        worker.pinged = self.world.clock.now()
        self.world.state.workers.save(worker)

    def overslept(self) -> None:
        """The emulator itself stood still: nobody's silence counts."""
        self._pings = dict.fromkeys(self._pings, time.monotonic())

    def busy(self, worker: Worker) -> None:
        """It was given a job."""
        worker.state, worker.idle_since = WorkerState.RUNNING, None
        self.world.state.workers.save(worker)

    def release(self, worker: Worker, job_id: str) -> None:
        """It has no more to do with a job."""
        worker.exits = []
        worker.jobs = [id_ for id_ in worker.jobs if id_ != job_id]
        if not worker.jobs:
            worker.stopped_at = None
            if worker.ended is None:
                worker.state, worker.idle_since = WorkerState.IDLE, self.world.clock.now()
        self.world.state.workers.save(worker)

    def stop_job(self, worker_id: str, job_id: str) -> None:
        """Have a worker told to stop a job."""
        worker = self.world.state.workers.get(worker_id)
        if worker is not None and worker.ended is None and job_id in worker.jobs:
            worker.stops.append(job_id)
            worker.stopped_at = worker.stopped_at or self.world.clock.now()
            self.world.state.workers.save(worker)
            self.world.bell.ring()

    # ---- time

    def tick(self) -> None:
        for endpoint in self.world.state.endpoints:
            self._scale(endpoint)
        for worker in self.live():
            self._tick_worker(worker)

    def end(self, worker: Worker, reason: str) -> None:
        """End it, which ends what it costs; its jobs will be missed."""
        if worker.ended is not None:
            return
        now = self.world.clock.now()
        worker.ended, worker.end_reason = now, reason
        self._live.discard(worker.id)
        self.world.books.close(worker.id, now)
        for job_id in worker.jobs:
            self.world.jobs.missed(job_id)
        self.world.state.workers.save(worker)
        self.world.take_away(worker.id)
        self.world.bell.ring()

    def _scale(self, endpoint: Endpoint) -> None:
        workers, spec = list(self.live(endpoint.id)), endpoint.spec
        now = self.world.clock.now()
        limits = {**spec["workers"]}
        if endpoint.workerless:
            limits.update(min=0, max=0)
        waiting = list(self.world.jobs.waiting(endpoint.id))
        waits = [now - job.queued for job in waiting if not job.low_priority]
        free = sum(w.state in (WorkerState.IDLE, WorkerState.INITIALIZING, WorkerState.THROTTLED) for w in workers)
        goal = wanted(spec["scaling"], limits, waits, busy=len(workers) - free, free=free)
        for _ in range(goal - len(workers)):
            self._add(endpoint)
        self._shrink(endpoint, workers, limits, bool(waiting), now)

    def _shrink(self, endpoint: Endpoint, workers: list[Worker], limits: dict[str, int], waiting: bool,
                now: float) -> None:
        there = len(workers)
        idle_s = limits.get("idleTimeout", 10)
        for worker in workers:
            idle = worker.idle_since is not None and worker.state is WorkerState.IDLE
            spare = idle and now - (worker.idle_since or now) >= idle_s and there > limits["min"]
            if worker.state is WorkerState.RUNNING:
                continue
            if there > limits["max"]:
                self.end(worker, "the endpoint's maximum was lowered")
            elif worker.state is WorkerState.THROTTLED and not waiting and there > limits["min"]:
                self.end(worker, "nothing waits for it")
            elif idle and worker.version != endpoint.version:
                self.end(worker, "the endpoint's configuration changed")
            elif spare:
                self.end(worker, "idle")
            else:
                continue
            there -= 1

    def _add(self, endpoint: Endpoint) -> None:
        now = self.world.clock.now()
        labels = (endpoint.id, endpoint.spec["name"])
        worker = Worker(id=secrets.token_hex(7), endpoint=endpoint.id, key=secrets.token_urlsafe(24),
                        version=endpoint.version, created=now, state=WorkerState.THROTTLED)
        if fault := self.world.faults.take(FaultKind.THROTTLED, *labels):
            worker.throttled_until = now + fault.seconds if fault.seconds else FOR_EVER
        worker.crashing = self.world.faults.take(FaultKind.UNHEALTHY, *labels) is not None
        self._live.add(worker.id)
        self.world.state.workers.save(worker)
        self._tick_worker(worker)

    def _tick_worker(self, worker: Worker) -> None:
        now = self.world.clock.now()
        endpoint = self.world.state.endpoints.get(worker.endpoint)
        if endpoint is None:
            self.end(worker, "the endpoint was deleted")
        elif worker.placed is None:
            self._place(worker, endpoint, now)
        elif (code := self.world.machines.exit_code(worker.id)) is not None:
            self._exited(worker, code, now)
        elif worker.start_at is not None and now >= worker.start_at:
            worker.start_at = None
            self._start(worker, endpoint)
        elif worker.stopped_at is not None and now - worker.stopped_at >= self.world.options.stop_grace_s:
            self.end(worker, "it did not stop a job")
        elif self._silent(worker):
            self.end(worker, "its pings stopped")

    def _silent(self, worker: Worker) -> bool:
        last = self._pings.get(worker.id)
        return last is not None and time.monotonic() - last > PINGS * self.world.options.ping_s

    def _place(self, worker: Worker, endpoint: Endpoint, now: float) -> None:
        if worker.throttled_until is not None and now < worker.throttled_until:
            return
        spec, gpu = endpoint.spec, endpoint.spec["gpu"]
        cards = [card.id for pool in gpu["pools"] for card in CARDS
                 if card.pool == pool and card.id not in gpu.get("excludedTypes", ())]
        place = self.world.capacity.place(cards, spec.get("dataCenterIds", ()), self.world.taken())
        if place is None:
            return
        worker.gpu, worker.data_center = place
        worker.placed, worker.start_at = now, now + self.world.options.cold_start_s
        worker.state = WorkerState.INITIALIZING
        card = catalogue.card_of(worker.gpu)
        assert card is not None
        price = catalogue.job_usd_per_hour(card) * self.world.books.factor(card.id) * gpu.get("count", 1) / HOUR_S
        self.world.books.open("endpoint", endpoint.id, worker.id, worker.gpu, gpu.get("count", 1), price, now)
        self.world.state.workers.save(worker)

    def _start(self, worker: Worker, endpoint: Endpoint) -> None:
        command = self.world.command(endpoint.spec, "handler")
        if worker.crashing:
            command = [sys.executable, "-c", "raise SystemExit('a fault was injected: this container crashes')"]
        self.world.machines.start(worker.id, command, worker_environment(self.world, endpoint, worker))
        self.world.state.workers.save(worker)

    def _exited(self, worker: Worker, code: int, now: float) -> None:
        worker.exits.append(code)
        self._turns[worker.id] += 1
        self._pings.pop(worker.id, None)
        for job_id in worker.jobs:
            self.world.jobs.missed(job_id)
        worker.jobs, worker.stops, worker.stopped_at, worker.ready, worker.idle_since = [], [], None, None, None
        worker.state = WorkerState.UNHEALTHY if len(worker.exits) >= CRASHES else WorkerState.INITIALIZING
        worker.start_at = now + min(_MOST_BACKOFF_S, self.world.options.restart_s * 2 ** (len(worker.exits) - 1))
        self.world.state.workers.save(worker)
