"""What a second costs now: the catalogue's price where it can be read, else the list's."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from callsheet.errors import ProviderError
from callsheet.pricing import Card, Rate, job_rate
from callsheet.runpod.control import Control


async def job_rates(control: Control, cards: Sequence[Card]) -> dict[str, Rate]:
    """RunPod's id of each allowed card -> what a second of an endpoint's worker costs."""
    found = {card.id: job_rate(card) for card in cards}
    with contextlib.suppress(ProviderError):               # the list is dearer than nothing, and known
        for offer in await control.gpus():
            rate = offer.job_rate()
            if offer.id in found and rate is not None:
                found[offer.id] = rate
    return found
