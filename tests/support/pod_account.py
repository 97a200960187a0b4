"""A RunPod account, a clock and Prefect's side of a run, all in memory, for tests of what rents machines."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from callsheet.costs import Outcome
from callsheet.errors import AnswerUnknown, ProviderBusy, ProviderDenied, ProviderError, ProviderRefused, ProviderUnpaid
from callsheet.runpod.answers import GpuOffer, Pod, Volume
from callsheet.runpod.orders import PodOrder
from callsheet.runpod.tending import Phase, RunSight, Verdict

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
A40, L40S = "NVIDIA A40", "NVIDIA L40S"


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.at: list[tuple[float, Callable[[], object]]] = []

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def epoch(self) -> float:
        return self.now().timestamp()

    def when(self, seconds: float, happens: Callable[[], object]) -> None:
        """Something happens at that second."""
        self.at.append((seconds, happens))
        self.at.sort(key=lambda item: item[0])

    async def sleep(self, seconds: float) -> None:
        self.pass_by(seconds)
        await asyncio.sleep(0)

    def pass_by(self, seconds: float) -> None:
        ends = self.seconds + seconds
        while self.at and self.at[0][0] <= ends:
            moment, happens = self.at.pop(0)
            self.seconds = max(self.seconds, moment)
            happens()
        self.seconds = ends


def answer(status: int, detail: str = "no") -> ProviderError:
    """What http.py makes of a status."""
    facts: dict[str, Any] = {"provider": "RunPod", "status": status, "detail": f"{status}: {detail}"}
    if status == 429:
        return ProviderBusy(retry_after_s=7.0, **facts)
    if status in (401, 403):
        return ProviderDenied(**facts)
    if status == 402:
        return ProviderUnpaid(**facts)
    return AnswerUnknown(**facts) if status >= 500 else ProviderRefused(**facts)


class Account:
    """Pods that boot after a while and are paid by the second, whatever happens."""

    def __init__(self, time: Time, boot_s: float = 20.0) -> None:
        self.time = time
        self.boot_s = boot_s
        self.alive: dict[str, Pod] = {}
        self.orders: list[PodOrder] = []
        self.deleted: list[str] = []
        self.paid_s: dict[str, float] = {}
        self.refusals: list[ProviderError | None] = []
        """What the next orders are answered with; None takes the order. Orders beyond the list are taken."""
        self.lost: list[bool] = []
        """Of the next 5xx answers: whether the pod was made all the same."""
        self.down = False
        self.delete_fails = 0
        self.catalogue = {
            "SECURE": [offer(A40, 0.79, {"EU-RO-1": "LOW", "US-KS-2": "HIGH"}), offer(L40S, 0.99, {"EU-RO-1": "HIGH"})],
            "COMMUNITY": [offer(A40, 0.5, {}, community=True)],
        }
        self.network_volumes = [Volume(id="vol_1", data_center="EU-RO-1")]
        self._ids = (f"pod{n}" for n in itertools.count(1))

    async def pods(self) -> list[Pod]:
        self._reachable()
        return [self._seen(pod) for pod in self.alive.values()]

    async def pod(self, pod_id: str) -> Pod | None:
        self._reachable()
        return self._seen(self.alive[pod_id]) if pod_id in self.alive else None

    async def create_pod(self, order: PodOrder) -> Pod:
        self._reachable()
        self.orders.append(order)
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is None:
            return self.make(order)
        if isinstance(refusal, AnswerUnknown) and self.lost and self.lost.pop(0):
            self.make(order)
        raise refusal

    def make(self, order: PodOrder) -> Pod:
        offers = {each.id: each for each in self.catalogue[order.cloud]}
        price = getattr(offers[order.gpu].price, order.cloud.lower()) * order.count
        pod = Pod.model_validate({
            "id": next(self._ids), "name": order.name, "status": "PROVISIONING", "env": dict(order.env),
            "gpu": {"id": order.gpu, "count": order.count}, "cloud": order.cloud, "cost": price,
            "dataCenterId": order.data_centers[0] if order.data_centers else "EU-SE-1", "createdAt": self.time.now(),
        })
        self.alive[pod.id] = pod
        return pod

    async def delete_pod(self, pod_id: str) -> bool:
        self._reachable()
        if self.delete_fails:
            self.delete_fails -= 1
            raise ProviderError(provider="RunPod", detail="500", status=500)
        return self.vanish(pod_id)

    def vanish(self, pod_id: str) -> bool:
        pod = self.alive.pop(pod_id, None)
        if pod is None or pod.created_at is None:
            return False
        self.deleted.append(pod_id)
        self.paid_s[pod_id] = (self.time.now() - pod.created_at).total_seconds()
        return True

    async def gpus(self, availability_for: str, cloud: str, count: int = 1) -> list[GpuOffer]:
        self._reachable()
        return self.catalogue[cloud]

    async def volumes(self) -> list[Volume]:
        self._reachable()
        return self.network_volumes

    def _reachable(self) -> None:
        if self.down:
            raise ProviderError(provider="RunPod", detail="nothing: ConnectError")

    def _seen(self, pod: Pod) -> Pod:
        assert pod.created_at is not None
        age = (self.time.now() - pod.created_at).total_seconds()
        status = "PROVISIONING" if age < self.boot_s / 2 else "STARTING" if age < self.boot_s else "RUNNING"
        return pod.model_copy(update={"status": status}) if pod.status == "PROVISIONING" else pod


def offer(gpu: str, hourly: float, places: dict[str, str], community: bool = False) -> GpuOffer:
    return GpuOffer.model_validate({
        "id": gpu, "name": gpu, "price": {"community" if community else "secure": hourly},
        "maxCount": {"secure": 8, "community": 8}, "secure": not community, "community": community,
        "availability": "HIGH",
        "dataCenters": [{"id": place, "name": place, "availability": level} for place, level in places.items()],
    })


class FakeDesk:
    """A flow run that goes from phase to phase when the clock says so."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.run: RunSight | None = RunSight(phase=Phase.WAITING, told="Pending")
        self.became: tuple[str, str] | None = None
        self.machines: list[tuple[str, bool]] = []
        self.lines: list[str] = []
        self.away = 0

    def will(self, seconds: float, phase: Phase, outcome: Outcome = Outcome.UNKNOWN) -> None:
        self.time.when(seconds, lambda: self.set(phase, outcome))

    def set(self, phase: Phase, outcome: Outcome = Outcome.UNKNOWN) -> None:
        self.run = RunSight(phase=phase, told=str(phase), outcome=outcome)

    async def sight(self) -> RunSight | None:
        return self.run

    async def machine(self, machine: Any, adopted: bool) -> None:
        self.machines.append((machine.pid, adopted))

    async def released(self, machine: Any, verdict: Verdict) -> None:
        self.lines.append(verdict.reason)

    async def become(self, state: str, message: str) -> None:
        if self.away:
            self.away -= 1
            raise OSError("the server is away")
        self.became = (state, message)
        self.set(Phase.FINAL, Outcome.CANCELLED if state == "cancelled" else Outcome.FAILED)

    def say(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None:
        self.lines.append(message)
