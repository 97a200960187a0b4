"""Pods: which machine to ask for first, asking until one is there, and giving it back surely.

Covers the order of candidates (card x data centre x cloud), creation that never makes a second pod of one name, and
deletion. What goes on while a pod is there is tending.py's matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import anyio

from callsheet.errors import (
    AnswerUnknown,
    Fenced,
    NoCapacity,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
)
from callsheet.pricing import Card, Rate, pod_rate
from callsheet.runpod.http import PROVIDER, jittered, retry_after, status_of
from callsheet.runpod.orders import Cloud, PodOrder
from callsheet.units import Frozen

if TYPE_CHECKING:
    from callsheet.runpod.control import GpuOffer, Pod

PREFIX = "callsheet-"
"""What the names of our pods begin with; the flow run's id follows."""

Sleep = Callable[[float], Awaitable[None]]
Noted = Callable[["Pod"], Awaitable[None]]

_LEVELS = {"HIGH": 0, "MEDIUM": 1, "LOW": 2, "NONE": 3}
_TRIES = 4
_LOOK_S = (1.0, 2.0, 4.0)
"""Pauses before each look for a pod whose creation was not answered: the list may lag behind."""
_BUSY_S = 10.0


class Pods(Protocol):
    """What of the control plane is needed here."""

    async def pods(self) -> list[Pod]: ...
    async def create_pod(self, order: PodOrder) -> Pod: ...
    async def delete_pod(self, pod_id: str) -> bool: ...


class Candidate(Frozen):
    """One kind of machine in one place."""

    gpu: str
    """RunPod's id of the card."""
    cloud: Cloud
    data_center: str | None
    """None leaves it to the provider."""
    rate: Rate
    """Of the whole machine."""
    availability: Literal["NONE", "LOW", "MEDIUM", "HIGH"] = "NONE"


def pod_name(flow_run_id: object) -> str:
    """The only name that a run's pod ever has: looked up, it tells whether there is one already."""
    return f"{PREFIX}{flow_run_id}"


def candidates(
    cards: Sequence[Card],
    offers: Mapping[Cloud, Sequence[GpuOffer]],
    *,
    count: int = 1,
    data_centers: Sequence[str] = (),
) -> list[Candidate]:
    """What to ask for, in this order: free ones before those that seem taken, then the cheapest, then the most free.

    `offers` are the catalogue's cards for each cloud that is allowed; a cloud whose catalogue could not be read has
    none and is tried at list prices. The catalogue may be wrong in a moment, so what it calls taken is tried last.
    """
    found: list[Candidate] = []
    for cloud, catalogue in offers.items():
        for card in cards:
            offer = next((offer for offer in catalogue if offer.id == card.id), None)
            if offer is None and catalogue:
                continue
            found += _places(card, cloud, offer, count, data_centers)
    preference = [card.id for card in cards]
    return sorted(found, key=lambda each: (
        each.availability == "NONE", each.rate.usd_per_second, _LEVELS[each.availability],
        preference.index(each.gpu), each.data_center is None,
    ))


def _places(
    card: Card, cloud: Cloud, offer: GpuOffer | None, count: int, data_centers: Sequence[str]
) -> list[Candidate]:
    if offer is None:
        listed = pod_rate(card)
        rate = listed.model_copy(update={"usd_per_second": listed.usd_per_second * count})
        return [
            Candidate(gpu=card.id, cloud=cloud, data_center=place, rate=rate) for place in data_centers or (None,)
        ]
    priced = offer.pod_rate(cloud, count)
    most = offer.max_count.secure if cloud == "SECURE" else offer.max_count.community
    if priced is None or (most and most < count):
        return []
    stock = {place.id: place.availability for place in offer.data_centers}
    wanted = tuple(data_centers) or tuple(place for place, level in stock.items() if level != "NONE")
    found = [
        Candidate(gpu=card.id, cloud=cloud, data_center=place, rate=priced, availability=stock.get(place, "NONE"))
        for place in wanted
    ]
    if not data_centers:                              # the scheduler may know a place that the catalogue does not
        found.append(Candidate(gpu=card.id, cloud=cloud, data_center=None, rate=priced))
    return found


async def named(control: Pods, name: str) -> list[Pod]:
    """The pods of that name that are not over, oldest first."""
    found = [pod for pod in await control.pods() if pod.name == name and not pod.over]
    return sorted(found, key=lambda pod: (pod.created_at is None, pod.created_at or 0, pod.id))


async def rent(
    control: Pods,
    orders: Sequence[PodOrder],
    on_created: Noted,
    give_back: Noted,
    *,
    check: Callable[[], Awaitable[None]] | None = None,
    sleep: Sleep = asyncio.sleep,
) -> Pod:
    """The pod of that name if there is one, else the first that can be had. All orders bear one name.

    `on_created` writes the handle down before anything else can happen, a cancellation included; when it fails
    `give_back` deletes the pod. `check` is called before each order and raises when the pod is not wanted any more.
    Raises NoCapacity when each was refused, ProviderRefused, ProviderDenied and ProviderUnpaid where no other order
    would fare better, AnswerUnknown when the provider is too ill to say.
    """
    refused: list[ProviderError] = []
    for existing in await named(control, orders[0].name) if orders else []:
        await on_created(existing)
        return existing
    for order in orders:
        if check is not None:
            await check()
        try:
            return await _placed(control, order, on_created, give_back, sleep)
        except (ProviderRefused, ProviderDenied) as error:
            if status_of(error) not in (400, 403):    # 400: no capacity here; 403: not this card for this account
                raise
            refused.append(error)
    if refused and all(isinstance(error, ProviderDenied) for error in refused):
        raise refused[-1]
    last = f"; the last answer: {refused[-1].facts.get('detail')}" if refused else ""
    raise NoCapacity(provider=PROVIDER, detail=f"{len(orders)} combinations of card and place were tried{last}")


async def _placed(control: Pods, order: PodOrder, on_created: Noted, give_back: Noted, sleep: Sleep) -> Pod:
    """One order, repeated only when it surely was not carried out."""
    for number in range(1, _TRIES + 1):
        try:
            return await _created(control, order, on_created, give_back)
        except ProviderError as error:
            if not error.retryable:
                raise
            failure = error
        if isinstance(failure, AnswerUnknown):
            found = await _looked_for(control, order.name, sleep)
            if found is not None:
                await on_created(found)
                return found
        elif number < _TRIES:
            patience = _BUSY_S if isinstance(failure, ProviderBusy) else 2.0 ** number
            await sleep(retry_after(failure) or jittered(patience))
    raise failure


async def _created(control: Pods, order: PodOrder, on_created: Noted, give_back: Noted) -> Pod:
    # Between the request and the note of its answer nothing may interrupt: the handle would be lost.
    with anyio.CancelScope(shield=True):
        pod = await control.create_pod(order)
        try:
            await on_created(pod)
        except Fenced:                                # whoever took over may have found this very pod by its name
            with contextlib.suppress(ProviderError):  # theirs are the second pods that this leaves
                if len(await named(control, order.name)) > 1:
                    await give_back(pod)
            raise
        except BaseException:
            await give_back(pod)
            raise
    return pod


async def _looked_for(control: Pods, name: str, sleep: Sleep) -> Pod | None:
    for pause in _LOOK_S:
        await sleep(pause)
        found = await named(control, name)
        if found:
            return found[0]
    return None


async def release(
    control: Pods,
    pod_id: str,
    *,
    patience_s: float = 300.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> bool:
    """Delete the pod, which ends its bill; False when it was gone already.

    Asked again for `patience_s` while the provider fails, whatever cancels us meanwhile. Raises ProviderError then,
    and at once what no repetition changes.
    """
    with anyio.CancelScope(shield=True):
        deleted = await _deleted(control, pod_id, clock() + patience_s, clock, sleep)
    return deleted  # noqa: RET504 - inside the scope a type checker sees no return


async def _deleted(control: Pods, pod_id: str, ends: float, clock: Callable[[], float], sleep: Sleep) -> bool:
    pause = 1.0
    while True:
        try:
            return await control.delete_pod(pod_id)
        except ProviderError as error:
            if not error.retryable or clock() >= ends:
                raise
            await sleep(max(retry_after(error) or 0.0, jittered(pause)))
        pause = min(pause * 2, 15.0)
