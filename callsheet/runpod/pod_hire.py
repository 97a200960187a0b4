"""Pods as machines of a flow run: which to order, how one looks from outside, and what its life was.

Covers what is asked of the catalogue, the order's text, and the times between which a pod surely was paid. How an
order is placed is in pods.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from callsheet.costs import Outcome, Payer
from callsheet.errors import NoCapacity, ProviderError, SettingInvalid, StoreError
from callsheet.pricing import Card, Rate, dearest
from callsheet.runpod.hire import Note
from callsheet.runpod.http import PROVIDER
from callsheet.runpod.life import Life
from callsheet.runpod.orders import MIN_CUDA, Cloud, PodOrder
from callsheet.runpod.pods import Candidate, candidates, named, release, rent
from callsheet.runpod.tending import Limits, MachineSight
from callsheet.units import Frozen

if TYPE_CHECKING:
    from callsheet.runpod.control import Control, GpuOffer, Pod

ARGS = "pod"
"""What the image's entrypoint is told."""

MOUNT = "/workspace"


def _now() -> datetime:
    return datetime.now(UTC)


class PodWish(Frozen):
    """What pod a run needs, whichever card it gets."""

    name: str
    image: str
    cards: tuple[Card, ...] = Field(min_length=1)
    count: int = 1
    clouds: tuple[Cloud, ...] = ("SECURE",)
    data_centers: tuple[str, ...] = ()
    volume: str | None = None
    disk_gb: int = 50


class RentedPod:
    """One pod that is being paid."""

    def __init__(
        self, control: Control, pod_id: str, rate: Rate, *, asked: datetime | None, began: datetime | None,
        key: str = "", payer: Payer | None = None, now: Callable[[], datetime] = _now,
    ) -> None:
        """`asked`: before its order was sent; None leaves that to the provider's word.

        `began`: when the answer was there; None for somebody else's order.
        """
        self.id = pod_id
        self.pid = f"pod:{pod_id}"
        self.rate = rate
        self.place = ""
        self._control = control
        self._asked = asked
        self._began = began
        self._key = key
        self._payer = payer or Payer()
        self._now = now
        self._rates: list[Rate] = []
        """That it was seen to have, the cheapest first."""
        self._alive: datetime | None = began
        self._gone: datetime | None = None

    def took(self, pod: Pod) -> None:
        """Read what the provider says of it."""
        if pod.cost:                                  # it may change under a pod
            self.rate = pod.rate
            self._rates = sorted({*self._rates, pod.rate}, key=lambda rate: rate.usd_per_second)
        self.place = ", ".join(filter(None, (pod.cloud.lower(), pod.data_center_id)))
        now = self._now()
        self._asked = self._asked or min(pod.created_at or now, now)
        if self._began is None:                       # its clock and ours may differ: what cannot be is not believed
            told = pod.created_at
            self._began = told if told is not None and self._asked <= told <= now else now

    async def look(self) -> MachineSight | None:
        """None while the provider is silent."""
        try:
            pod = await self._control.pod(self.id)
        except ProviderError:
            return None
        if pod is None:
            self._gone = self._gone or self._now()
            return MachineSight(status="gone", why=f"pod {self.id} is gone: deleted, or its machine failed")
        self.took(pod)
        self._alive, self._gone = self._now(), None
        if pod.over:
            return MachineSight(status="gone", why=f"pod {self.id} is {pod.status}")
        return MachineSight(status="booting" if pod.status in ("PROVISIONING", "STARTING") else "up")

    async def stop(self) -> None:
        asked = self._now()
        if await release(self._control, self.id):
            self._alive = asked                       # it was there to be deleted
            self._gone = self._now()
        self._gone = self._gone or self._now()

    def life(self, outcome: Outcome, attempt: int) -> Life:
        gone = self._gone or self._now()
        asked = self._asked or gone
        began = self._began or asked
        alive = self._alive or began
        rates = self._rates or [self.rate]
        return Life(
            plane="pod", provider_id=self.id, resource=self.id, rate=rates[0], dearest=rates[-1], began=began,
            seconds=max(0.0, (alive - began).total_seconds()),
            most_s=max(0.0, (gone - asked).total_seconds()),
            outcome=outcome, attempt=attempt, key=self._key, payer=self._payer,
        )


class PodHire:
    """Orders pods for one run."""

    def __init__(
        self, control: Control, wish: PodWish, limits: Limits, capacity_s: float,
        environment: Callable[[Rate], Mapping[str, str]], *, key: str = "", payer: Payer | None = None,
        paid: Callable[[Life], Awaitable[None]], now: Callable[[], datetime] = _now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`environment` gives a pod's variables for the price that it will have.

        `paid` writes down what a pod cost that nobody gets.
        """
        self.limits = limits
        self.capacity_s = capacity_s
        self._control = control
        self._wish = wish
        self._environment = environment
        self._key = key
        self._payer = payer
        self._paid = paid
        self._now = now
        self._sleep = sleep
        self._avoided: set[tuple[str, str]] = set()
        self._known: dict[str, RentedPod] = {}
        self._worst = Rate(gpu="", usd_per_second=0.0)

    async def worst(self) -> tuple[float, Rate]:
        """The deadline at the dearest card that may be taken."""
        found = await self._candidates()
        if not found:
            raise NoCapacity(provider=PROVIDER, detail="its catalogue offers none of " + ", ".join(
                card.name for card in self._wish.cards))
        self._worst = dearest(each.rate for each in found)
        return self._worst.cost(self.limits.deadline_s), self._worst

    def facts(self) -> Mapping[str, object]:
        return {"mode": "pod", "name": self._wish.name}

    async def order(
        self, attempt: int, note: Note, check: Callable[[], Awaitable[None]]
    ) -> RentedPod:
        found = [each for each in await self._candidates() if (each.gpu, each.data_center or "") not in self._avoided]
        rates: dict[tuple[str, str], Rate] = {(each.gpu, each.cloud): each.rate for each in found}
        asked = self._now()

        async def checked() -> None:
            nonlocal asked
            await check()
            asked = self._now()

        async def noted(pod: Pod) -> None:
            rate = pod.rate if pod.cost else rates.get((pod.gpu.id if pod.gpu else "", pod.cloud), self._worst)
            rented = self._rented(pod.id, rate, asked, self._now())
            rented.took(pod)
            self._known[pod.id] = rented
            await note(pod.id, rented.rate)

        async def given_back(pod: Pod) -> None:
            rented = self._known[pod.id]
            await rented.stop()
            with contextlib.suppress(StoreError):     # the bill has it
                await self._paid(rented.life(Outcome.DUPLICATE, attempt))

        orders = [self._order(each) for each in found]
        pod = await rent(self._control, orders, noted, given_back, check=checked, sleep=self._sleep)
        return self._known[pod.id]

    async def find(self, attempt: int, check: Callable[[], Awaitable[object]]) -> str:
        """By its name, a little later too: lists lag behind."""
        for pause in (0.0, 2.0, 5.0):
            await self._sleep(pause)
            pods = await named(self._control, self._wish.name)
            if pods:
                return pods[0].id
            await check()
        return ""

    def known(self, machine_id: str, since: datetime, rate: Rate) -> RentedPod:
        return self._known.get(machine_id) or self._rented(machine_id, rate, since, None)

    def avoid(self, machine: object) -> None:
        """The card at that place, or wherever the provider put it."""
        if isinstance(machine, RentedPod):
            place = machine.place.rpartition(", ")[2]
            self._avoided |= {(machine.rate.gpu, place), (machine.rate.gpu, "")}

    def _rented(self, pod_id: str, rate: Rate, asked: datetime, began: datetime | None) -> RentedPod:
        return RentedPod(
            self._control, pod_id, rate, asked=asked, began=began, key=self._key, payer=self._payer, now=self._now)

    def _order(self, candidate: Candidate) -> PodOrder:
        wish = self._wish
        return PodOrder(
            name=wish.name, image=wish.image, args=ARGS, env=dict(self._environment(candidate.rate)),
            disk_gb=wish.disk_gb, gpu=candidate.gpu, count=wish.count, cloud=candidate.cloud,
            data_centers=(candidate.data_center,) if candidate.data_center else (),
            volume=wish.volume, volume_path=MOUNT, min_cuda=MIN_CUDA,
        )

    async def _candidates(self) -> list[Candidate]:
        wish = self._wish
        places = wish.data_centers if wish.volume is None else await self._place_of(wish.volume)
        clouds: tuple[Cloud, ...] = ("SECURE",) if wish.volume else wish.clouds
        offers = {cloud: await self._offers(cloud) for cloud in clouds}
        return candidates(wish.cards, offers, count=wish.count, data_centers=places)

    async def _offers(self, cloud: Literal["SECURE", "COMMUNITY"]) -> list[GpuOffer]:
        try:
            return await self._control.gpus("POD", cloud, self._wish.count)
        except ProviderError as error:
            if not error.retryable:
                raise
            return []                                 # at list prices then: the catalogue only orders the candidates

    async def _place_of(self, volume_id: str) -> tuple[str, ...]:
        """The volume's data centre: a pod elsewhere cannot mount it."""
        volume = next((each for each in await self._control.volumes() if each.id == volume_id), None)
        wanted = self._wish.data_centers
        if volume is None:
            detail, remedy = "the account has no such network volume", "create one with `callsheet runpod up`"
        elif wanted and volume.data_center not in wanted:
            detail = f"it lies in {volume.data_center}, and only {', '.join(wanted)} may be used"
            remedy = "leave the data centres empty, or take a volume that lies there"
        else:
            return (volume.data_center,) if volume.data_center else ()
        raise SettingInvalid(variable="CALLSHEET_RUNPOD_VOLUME", value=repr(volume_id), detail=detail, remedy=remedy)
