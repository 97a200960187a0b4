"""Everything that is there, and its heart beat."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callsheet import project
from callsheet.runpod.emulator.bell import Bell
from callsheet.runpod.emulator.books import Books
from callsheet.runpod.emulator.catalogue import Capacity
from callsheet.runpod.emulator.clock import Clock
from callsheet.runpod.emulator.faults import AT_ONCE, Fault, FaultKind, Faults, matches
from callsheet.runpod.emulator.jobs import Jobs
from callsheet.runpod.emulator.machines import Machines, sweep
from callsheet.runpod.emulator.options import Options
from callsheet.runpod.emulator.pods import Pods
from callsheet.runpod.emulator.refusals import Refusal
from callsheet.runpod.emulator.rows import WorkerState
from callsheet.runpod.emulator.state import State
from callsheet.runpod.emulator.webhooks import Webhooks
from callsheet.runpod.emulator.workers import Workers

BEAT_S = 0.05
"""Real seconds between two looks at everything."""
OURS = {"pod": "callsheet.runpod.entrypoint", "handler": "callsheet.runpod.handler"}
"""A container's `args` -> the module that our image runs."""


class World:
    """All parts of one emulator; they find each other here. Lives in one event loop."""

    def __init__(self, folder: Path, options: Options, url: str) -> None:
        self.folder, self.options, self.url = folder, options, url
        sweep(folder)                          # what a killed emulator of this folder left behind
        self.state = State(folder / "emulator.sqlite")
        self.clock = Clock(options.scale, self._start_of_time())
        self.bell = Bell()
        self.faults = Faults()
        self.machines = Machines(folder, str(project.root()))
        self.capacity = Capacity(options.capacity)
        self.books = Books(self)
        self.webhooks = Webhooks(self)
        self.jobs = Jobs(self)
        self.workers = Workers(self)
        self.pods = Pods(self)
        self._ending: set[asyncio.Task[None]] = set()
        self._recover()

    # ---- what the parts share

    def command(self, spec: Mapping[str, Any], default: str) -> list[str]:
        """What stands for a container of that image. Raises Refusal for an image that is not in the table."""
        image, args = spec["image"], shlex.split(spec.get("args") or "")
        for part, command in self.options.images.items():
            if part in image:
                return [*command, *args]
        what = args[0] if args else default
        if "callsheet" not in image or what not in OURS:
            raise Refusal(400, f"the emulator knows no command for image {image!r} with args {' '.join(args)!r}")
        return [sys.executable, "-m", OURS[what], *args[1:]]

    def taken(self) -> Counter[tuple[str, str]]:
        """(card, data centre) -> cards in use."""
        found: Counter[tuple[str, str]] = Counter()
        for pod in self.pods.live():
            if pod.state != "EXITED":
                found[pod.gpu, pod.data_center] += pod.gpus
        for worker in self.workers.live():
            endpoint = self.state.endpoints.get(worker.endpoint)
            if worker.gpu and worker.data_center and endpoint:
                found[worker.gpu, worker.data_center] += endpoint.spec["gpu"].get("count", 1)
        return found

    def take_away(self, machine_id: str) -> None:
        """End a container's processes, without waiting for it."""
        machine = self.machines.take(machine_id)
        if machine is not None:
            task = asyncio.get_running_loop().create_task(asyncio.to_thread(self.machines.end, machine))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def inject(self, fault: Fault) -> None:
        """Put a fault on the table; some strike at once."""
        if fault.kind not in AT_ONCE:
            self.faults.add(fault)
            return
        self.faults.struck.append(fault.kind.value)
        if fault.kind is FaultKind.PRICE_CHANGE:
            self.books.reprice(fault.where, float(fault.value))
            return
        for endpoint in self.state.endpoints:
            if matches(fault.where, (endpoint.id, endpoint.spec["name"])):
                if fault.kind is FaultKind.MAX_ZERO:
                    endpoint.spec["workers"] = {**endpoint.spec["workers"], "min": 0, "max": 0}
                else:
                    endpoint.workerless = True
                self.state.endpoints.save(endpoint)

    def heal(self) -> None:
        """Take all faults off the table; a price or a maximum that changed stays changed."""
        self.faults.clear()
        for endpoint in self.state.endpoints:
            endpoint.workerless = False
            self.state.endpoints.save(endpoint)

    def skew(self) -> float:
        """Seconds by which times in answers are off."""
        fault = self.faults.standing(FaultKind.CLOCK_SKEW)
        return fault.seconds if fault else 0.0

    # ---- life

    async def live(self) -> None:
        """Beat until cancelled."""
        watched, last = 0.0, time.monotonic()
        while True:
            if time.monotonic() - last > self.options.ping_s:
                self.workers.overslept()
            last = time.monotonic()
            self.beat()
            if time.monotonic() - watched > 1:
                watched = time.monotonic()
                self.machines.watch()
                self.state.note("now", repr(self.clock.now()))
            await asyncio.sleep(BEAT_S)

    def beat(self) -> None:
        """One look at everything."""
        self.jobs.tick()
        self.pods.tick()
        self.workers.tick()

    async def close(self) -> None:
        """End all processes and remember the time. What exists goes on to exist, and pods to cost."""
        self.bell.close()
        await self.webhooks.close()
        for worker in self.workers.live():
            self.workers.end(worker, "the emulator was stopped")
        await asyncio.gather(*self._ending)
        await asyncio.to_thread(self.machines.end_all)
        self.state.note("now", repr(self.clock.now()))
        self.state.close()

    def _start_of_time(self) -> float | None:
        """Time never runs back: where it was left, or the machine's when that is later and time is real."""
        left = self.state.fact("now")
        if left is None:
            return self.options.start
        return max(float(left), time.time()) if self.options.scale == 1 else float(left)

    def _recover(self) -> None:
        """After a restart: workers of the last time are gone, containers of pods start again."""
        left = float(self.state.fact("now") or self.clock.now())
        for worker in self.state.workers:
            if worker.ended is None:
                self.books.close(worker.id, left)
                worker.ended, worker.end_reason = left, "the emulator was killed"
                worker.state = WorkerState.UNHEALTHY
                self.state.workers.save(worker)
                for job_id in worker.jobs:
                    self.jobs.missed(job_id)
        self.workers.forget_ended()
        for pod in self.pods.live():
            if pod.state == "RUNNING":
                pod.next_at, pod.frozen = self.clock.now(), False
                self.state.pods.save(pod)
