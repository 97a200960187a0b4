"""What a second costs now: the catalogue's price where it can be read, else the list's."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from callsheet.errors import ProviderError
from callsheet.pricing import Card, Rate, dearest, job_rate, pod_rate
from callsheet.runpod.control import Control
from callsheet.units import Frozen


class Rates(Frozen):
    """RunPod's id of each allowed card -> what a second on one costs."""

    pod: dict[str, Rate]
    """In the dearer of the clouds that have it."""
    job: dict[str, Rate]


async def rates(control: Control, cards: Sequence[Card]) -> Rates:
    """Of all allowed cards; those that the catalogue does not price, or all when it is silent, as the list has them."""
    pod, job = {card.id: pod_rate(card) for card in cards}, {card.id: job_rate(card) for card in cards}
    with contextlib.suppress(ProviderError):
        for offer in await control.gpus():
            clouds = [rate for cloud in ("SECURE", "COMMUNITY") if (rate := offer.pod_rate(cloud)) is not None]
            if offer.id in pod and clouds:
                pod[offer.id] = dearest(clouds)
            if offer.id in job and (rate := offer.job_rate()) is not None:
                job[offer.id] = rate
    return Rates(pod=pod, job=job)


async def job_rates(control: Control, cards: Sequence[Card]) -> dict[str, Rate]:
    """What a second of an endpoint's worker costs, by card id."""
    return (await rates(control, cards)).job
