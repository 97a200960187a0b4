"""What GPU seconds cost, and how many a recipe is expected to take at most.

Covers the cards that callsheet rents, their list prices, and estimates for recipes that are to make. A provider's
catalogue, where it can be reached, goes before the list (`Rate.source` tells). What was really paid is in costs.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from callsheet.recipe import Recipe
from callsheet.recipes import ClipRecipe, LipsyncRecipe, PosterRecipe, RestoreRecipe, UpscaleRecipe
from callsheet.units import Frozen

HOUR_S = 3600.0


class Card(Frozen):
    """A GPU that can be rented."""

    name: str
    """As people write it."""
    id: str
    """RunPod's id, for pods."""
    pool: str
    """RunPod's pool, for endpoints."""
    memory_gb: int
    pod_usd_per_hour: float
    """List price."""
    job_usd_per_second: float
    """List price on an endpoint, which is dearer than a pod."""
    speed: float = 1.0
    """Against an L40S, for estimates."""


CARDS: tuple[Card, ...] = (
    Card(name="A40", id="NVIDIA A40", pool="AMPERE_48", memory_gb=48, pod_usd_per_hour=0.79,
         job_usd_per_second=0.00034, speed=0.6),
    Card(name="L40S", id="NVIDIA L40S", pool="ADA_48_PRO", memory_gb=48, pod_usd_per_hour=0.99,
         job_usd_per_second=0.00053),
    Card(name="RTX A6000", id="NVIDIA RTX A6000", pool="AMPERE_48", memory_gb=48, pod_usd_per_hour=0.79,
         job_usd_per_second=0.00034, speed=0.6),
    Card(name="A100", id="NVIDIA A100 80GB PCIe", pool="AMPERE_80", memory_gb=80, pod_usd_per_hour=1.64,
         job_usd_per_second=0.00076, speed=1.1),
    Card(name="H100", id="NVIDIA H100 80GB HBM3", pool="ADA_80_PRO", memory_gb=80, pod_usd_per_hour=2.49,
         job_usd_per_second=0.00116, speed=2.0),
)


class Rate(Frozen):
    """What one second on a machine costs, as it was known when work was submitted."""

    gpu: str
    """RunPod's id of the card."""
    usd_per_second: float = Field(ge=0)
    """For all cards of the machine together."""
    source: str = "list"
    """`list`, `catalogue`, or `pod`: what the provider said when it created one."""

    def cost(self, seconds: float) -> float:
        """USD for so many seconds."""
        return seconds * self.usd_per_second


def card(name_or_id: str) -> Card:
    """The card of that name, id or pool's first. Raises KeyError with what was asked."""
    word = " ".join(name_or_id.split()).lower()
    for each in CARDS:
        if word in (each.name.lower(), each.id.lower()):
            return each
    raise KeyError(name_or_id)


def pod_rate(of: Card) -> Rate:
    """List price of a pod."""
    return Rate(gpu=of.id, usd_per_second=of.pod_usd_per_hour / HOUR_S)


def job_rate(of: Card) -> Rate:
    """List price of a second on an endpoint."""
    return Rate(gpu=of.id, usd_per_second=of.job_usd_per_second)


def dearest(rates: Iterable[Rate]) -> Rate:
    """The highest rate: what the worst case is reckoned with."""
    return max(rates, key=lambda rate: rate.usd_per_second)


class Estimate(Frozen):
    """What GPU work that is to make will cost."""

    recipes: int = 0
    seconds: float = 0.0
    """Expected on the first of the allowed cards, warm."""
    usd: float = 0.0
    """Expected."""
    worst_usd: float = 0.0
    """On the dearest of the allowed cards, every job taking as long as it may."""

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            recipes=self.recipes + other.recipes, seconds=self.seconds + other.seconds, usd=self.usd + other.usd,
            worst_usd=self.worst_usd + other.worst_usd,
        )


def jobs_estimate(
    recipes: Iterable[Recipe], cards: Sequence[Card], known: Mapping[str, Rate] | None = None
) -> Estimate:
    """One job a recipe on an endpoint. Cold starts count in the worst case, one a job.

    `known` has prices by card id that go before the list's.
    """
    rates = {each.id: (known or {}).get(each.id) or job_rate(each) for each in cards}
    first, slowest, total = cards[0], min(each.speed for each in cards), Estimate()
    dear = dearest(rates.values())
    for recipe in recipes:
        seconds = expected_s(recipe, first.speed)
        worst = dear.cost(worst_s(recipe, slowest) + COLD_START_S + IDLE_S)
        total += Estimate(recipes=1, seconds=seconds, usd=rates[first.id].cost(seconds), worst_usd=worst)
    return total


def pod_estimate(
    recipes: Sequence[Recipe], cards: Sequence[Card], known: Mapping[str, Rate] | None = None
) -> Estimate:
    """One pod that makes all of them: one cold start, and never more than its deadline. `known` as above."""
    if not recipes:
        return Estimate()
    rates = {each.id: (known or {}).get(each.id) or pod_rate(each) for each in cards}
    first, worst = cards[0], dearest(rates.values())
    seconds = sum(expected_s(recipe, first.speed) for recipe in recipes)
    return Estimate(
        recipes=len(recipes), seconds=seconds, usd=rates[first.id].cost(seconds + COLD_START_S),
        worst_usd=worst.cost(deadline_s(recipes, cards) + COLD_START_S),
    )


# ---- how long it takes

COLD_START_S = 60.0
"""A container that starts and loads its models: 30 to 60 s in the sources."""

IDLE_S = 5.0
"""How long an endpoint's worker stays, and is paid, after its last job."""

_DRAWN_S = 2.0
_POSTER_S = 20.0
_REFERENCE_FRAMES = 120
_CLIP_S = {20: 15.0, 30: 30.0, 40: 40.0, 50: 45.0}
"""Steps -> seconds for 120 frames on an L40S: 60, 120 and 180 s for a persona's four takes."""
_LIPSYNC_S_PER_S = {"draft": 0.4, "standard": 0.8, "high": 1.2, "premium": 1.6, "cinematic": 1.6}
"""Seconds a second of clip: 5, 10 and 20 s for the reference of 12.5 s."""
_CLIP_SECONDS = 5.0
_RESTORE_S = 15.0
_UPSCALE_S = 20.0
_SLACK = 4.0
"""How much longer than expected a job may take before it is stopped."""
_LEAST_S = 120.0
_LEAST_POD_S = 600.0


def expected_s(recipe: Recipe, speed: float = 1.0) -> float:
    """Seconds that a GPU recipe takes on a warm card of that speed; 0 for work that needs none."""
    if not recipe.stage.needs_gpu:
        return 0.0
    engine = getattr(recipe, "engine", None)
    if engine is not None and engine.name in ("placeholder", "mouth_warp"):
        return _DRAWN_S
    return _modelled_s(recipe) / speed


def worst_s(recipe: Recipe, speed: float = 1.0) -> float:
    """Seconds after which a job for it is stopped (`policy.executionTimeout`): so the most it can take."""
    return float(math.ceil(max(_LEAST_S, _SLACK * expected_s(recipe, speed))))


def deadline_s(recipes: Iterable[Recipe], cards: Sequence[Card]) -> float:
    """Seconds after which a pod that makes all of them stops itself, on the slowest card."""
    slowest = min(each.speed for each in cards)
    expected = sum(expected_s(recipe, slowest) for recipe in recipes)
    return float(math.ceil(_SLACK * expected + _LEAST_POD_S))


def _modelled_s(recipe: Recipe) -> float:
    if isinstance(recipe, PosterRecipe):
        return _POSTER_S * recipe.steps / 22
    if isinstance(recipe, ClipRecipe):
        steps = min(_CLIP_S, key=lambda known: abs(known - recipe.steps))
        return _CLIP_S[steps] * recipe.num_frames / _REFERENCE_FRAMES
    if isinstance(recipe, LipsyncRecipe):
        return _LIPSYNC_S_PER_S.get(recipe.quality, 0.8) * _CLIP_SECONDS
    if isinstance(recipe, RestoreRecipe):
        return _RESTORE_S
    assert isinstance(recipe, UpscaleRecipe), recipe.stage
    return _UPSCALE_S
