"""The bill, reckoned from the lives of machines. Pure.

Each machine is paid in whole seconds, rounded up once for its whole life. A second belongs to the hour in which it
begins, and has the price that was in force then.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from callsheet.runpod.emulator.rows import Life
from callsheet.units import Frozen

HOUR_S = 3600


class Charge(Frozen):
    """What one machine cost in one hour at one price."""

    provider_id: str
    hour: int
    """Hours since 1970."""
    seconds: int
    usd_per_second: float

    @property
    def usd(self) -> float:
        return self.seconds * self.usd_per_second


def seconds(life: Life, now: float) -> int:
    """Whole seconds that it has cost so far."""
    until = now if life.ended is None else life.ended
    return max(0, math.ceil(round(until - life.started, 6)))


def charges(life: Life, now: float) -> list[Charge]:
    """Its seconds by hour and price, in order of time."""
    total = seconds(life, now)
    cuts = {0, total}
    hour = math.floor(life.started / HOUR_S)
    while (hour := hour + 1) * HOUR_S < life.started + total:
        cuts.add(_first_second(life.started, hour * HOUR_S))
    cuts |= {min(total, _first_second(life.started, price.at)) for price in life.prices[1:]}
    edges = sorted(cuts)
    found = []
    for begin, end in pairwise(edges):
        at = life.started + begin
        rate = [price for price in life.prices if price is life.prices[0] or price.at <= at][-1]
        found.append(Charge(provider_id=life.provider_id, hour=math.floor(at / HOUR_S), seconds=end - begin,
                            usd_per_second=rate.usd_per_second))
    return found


def _first_second(started: float, moment: float) -> int:
    """Number of the first second of a life that begins at a moment or after it."""
    return max(0, math.ceil(moment - started))


def by_hour(lives: Iterable[Life], now: float) -> dict[tuple[str, int], float]:
    """(provider id, hour) -> USD."""
    found: Counter[tuple[str, int]] = Counter()
    for life in lives:
        for charge in charges(life, now):
            found[charge.provider_id, charge.hour] += charge.usd          # type: ignore[assignment]    # floats add up too
    return {place: float(usd) for place, usd in found.items()}


def usd(life: Life, now: float) -> float:
    """What it has cost so far."""
    return sum(charge.usd for charge in charges(life, now))
