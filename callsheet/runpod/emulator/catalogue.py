"""Cards, data centres, prices and how many machines are free.

The list prices are those of callsheet.pricing where it has them; the others are round figures of the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from callsheet.pricing import CARDS, HOUR_S, Card

_POD_USD = {"RTX A6000": 0.49, "A100": 1.64}
_JOB_USD_S = {"RTX A6000": 0.00034, "A100": 0.00076}
COMMUNITY = 0.8
"""Of the secure price."""
MOST_CARDS = 8

DATA_CENTERS = {
    "EU-RO-1": ("Romania", "EUROPE"),
    "EU-CZ-1": ("Czechia", "EUROPE"),
    "US-KS-2": ("Kansas", "NORTH_AMERICA"),
    "US-TX-3": ("Texas", "NORTH_AMERICA"),
}
"""Id -> name and region. Each has standard network volumes and every card."""

_PLENTY = 1000


def pod_usd_per_hour(card: Card, cloud: str) -> float:
    """List price of one card."""
    secure = card.pod_usd_per_hour if card.pod_usd_per_hour is not None else _POD_USD[card.name]
    return secure if cloud == "SECURE" else round(secure * COMMUNITY, 4)


def job_usd_per_hour(card: Card) -> float:
    """List price of one card on an endpoint."""
    second = card.job_usd_per_second if card.job_usd_per_second is not None else _JOB_USD_S[card.name]
    return round(second * HOUR_S, 6)


def pools() -> frozenset[str]:
    return frozenset(card.pool for card in CARDS)


def card_of(gpu: str) -> Card | None:
    return next((card for card in CARDS if card.id == gpu), None)


class Capacity:
    """Which machines are free. Patterns are `card@data centre`; what none matches has plenty."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self.limits = dict(limits)

    def free(self, gpu: str, data_center: str, taken: Counter[tuple[str, str]]) -> int:
        """Machines of that card there, `taken` ones off."""
        for pattern, limit in self.limits.items():
            if fnmatchcase(f"{gpu}@{data_center}", pattern):
                used = sum(count for (g, d), count in taken.items() if fnmatchcase(f"{g}@{d}", pattern))
                return max(0, limit - used)
        return _PLENTY

    def place(self, gpus: Iterable[str], data_centers: Iterable[str], taken: Counter[tuple[str, str]],
              count: int = 1) -> tuple[str, str] | None:
        """The first card and data centre with room, in the order given."""
        centers = list(data_centers) or list(DATA_CENTERS)
        return next(((gpu, center) for gpu in gpus for center in centers if self.free(gpu, center, taken) >= count),
                    None)


def level(free: int) -> str:
    """The catalogue's word for so many free machines."""
    return "NONE" if free <= 0 else "LOW" if free <= 2 else "MEDIUM" if free <= 8 else "HIGH"
