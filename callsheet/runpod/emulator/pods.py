"""A pod's life: provisioned, started, run, its container started again whenever it ends, deleted. All of it costs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from callsheet.pricing import HOUR_S
from callsheet.runpod.emulator import catalogue
from callsheet.runpod.emulator.environment import pod_environment
from callsheet.runpod.emulator.faults import FaultKind
from callsheet.runpod.emulator.refusals import Refusal, missing
from callsheet.runpod.emulator.rows import Pod

if TYPE_CHECKING:
    from callsheet.runpod.emulator.world import World

ACTIONS = {"PROVISIONING": ("terminate",), "STARTING": ("stop", "terminate"),
           "RUNNING": ("stop", "restart", "terminate"), "EXITED": ("start", "terminate")}
"""What may be done with a pod, by its status."""


class Pods:
    def __init__(self, world: World) -> None:
        self.world = world
        self._live = {pod.id for pod in world.state.pods if pod.deleted is None}

    def live(self) -> Iterator[Pod]:
        found = (self.world.state.pods.get(id_) for id_ in tuple(self._live))
        yield from sorted((pod for pod in found if pod), key=lambda pod: pod.created)

    def find(self, id_: str) -> Pod:
        """A pod that exists. Raises Refusal 404."""
        pod = self.world.state.pods.get(id_)
        if pod is None or pod.deleted is not None:
            raise missing("pod", id_)
        return pod

    def create(self, spec: dict[str, Any]) -> Pod:
        """Rent one. `spec` was validated. Raises Refusal 400 when no machine is free."""
        gpu, count, cloud = spec["gpu"]["id"], spec["gpu"].get("count", 1), spec.get("cloud", "SECURE")
        card = catalogue.card_of(gpu)
        assert card is not None
        centers = spec.get("dataCenterIds") or list(catalogue.DATA_CENTERS)
        place = self.world.capacity.place([gpu], centers, self.world.taken(), count)
        labels = (spec["name"], gpu, cloud, *centers, *(f"{gpu}@{center}" for center in centers))
        if place is None or self.world.faults.take(FaultKind.NO_CAPACITY, *labels):
            raise Refusal(400, "there are no instances currently available that match the request")
        now = self.world.clock.now()
        price = catalogue.pod_usd_per_hour(card, cloud) * self.world.books.factor(gpu) * count
        pod = Pod(id=secrets.token_hex(7), spec=spec, key=secrets.token_urlsafe(24), gpu=gpu, gpus=count, cloud=cloud,
                  data_center=place[1], usd_per_hour=price, created=now, next_at=now + self.world.options.provision_s)
        pod.stuck = self.world.faults.take(FaultKind.PROVISIONING_FOREVER, *self.labels(pod)) is not None
        self._live.add(pod.id)
        self.world.books.open("pod", pod.id, pod.id, gpu, count, price / HOUR_S, now)
        return self.world.state.pods.save(pod)

    def delete(self, pod: Pod, reason: str = "deleted") -> None:
        """End it, and what it costs."""
        now = self.world.clock.now()
        pod.deleted, pod.end_reason, pod.state = now, reason, "TERMINATED"
        self._live.discard(pod.id)
        self.world.books.close(pod.id, now)
        self.world.state.pods.save(pod)
        self.world.take_away(pod.id)

    def act(self, pod: Pod, action: str) -> None:
        """start, stop, restart or terminate. Raises Refusal 409."""
        if action not in ACTIONS[pod.state]:
            raise Refusal(409, f"a pod that is {pod.state} cannot {action}")
        if action == "terminate":
            self.delete(pod)
            return
        now = self.world.clock.now()
        self.world.take_away(pod.id)
        if action == "stop":
            self.world.books.close(pod.id, now)
            pod.state, pod.next_at = "EXITED", None
        else:
            if action == "start":
                self.world.books.open("pod", pod.id, pod.id, pod.gpu, pod.gpus, pod.usd_per_hour / HOUR_S, now)
            pod.state, pod.next_at = "STARTING", now + self.world.options.start_s
        self.world.state.pods.save(pod)

    def tick(self) -> None:
        for pod in self.live():
            self._tick_pod(pod)

    def labels(self, pod: Pod) -> tuple[str, ...]:
        """What a fault's `where` is held against."""
        return (pod.id, pod.spec["name"], pod.gpu, pod.data_center, pod.cloud)

    def _tick_pod(self, pod: Pod) -> None:
        now, faults = self.world.clock.now(), self.world.faults
        if faults.take(FaultKind.POD_VANISHED, *self.labels(pod), age=now - pod.created):
            self.delete(pod, "a fault: it vanished")
            return
        if pod.state == "RUNNING" and self.world.machines.running(pod.id):
            self._tick_running(pod, now)
        elif pod.next_at is not None and now >= pod.next_at and not pod.stuck:
            self._advance(pod, now)

    def _tick_running(self, pod: Pod, now: float) -> None:
        if (code := self.world.machines.exit_code(pod.id)) is not None:
            pod.exits.append(code)                       # the provider starts it again, and goes on charging
            pod.next_at, pod.frozen = now + self.world.options.restart_s, False
            self.world.state.pods.save(pod)
        elif not pod.frozen and self.world.faults.take(FaultKind.POD_FROZEN, *self.labels(pod),
                                                       age=now - (pod.started or now)):
            pod.frozen = True
            self.world.machines.freeze(pod.id)
            self.world.state.pods.save(pod)

    def _advance(self, pod: Pod, now: float) -> None:
        if pod.state == "PROVISIONING":
            pod.state, pod.next_at = "STARTING", now + self.world.options.start_s
        else:
            pod.state, pod.next_at, pod.started = "RUNNING", None, now
            self.world.machines.start(pod.id, self.world.command(pod.spec, "pod"), pod_environment(self.world, pod))
        self.world.state.pods.save(pod)
