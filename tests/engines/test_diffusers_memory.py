"""How the diffusers engine holds a model in the memory that is free. Needs no library."""

from __future__ import annotations

import pytest

from callsheet.base_models import MODELS
from callsheet.engines.diffusers.memory import Held, plan, work_gib

FLUX, A14B, WAN_5B = 31.4, 64.0, 20.6
POSTER = work_gib(1024, 1024)


@pytest.mark.parametrize(
    ("card", "weights", "held"),
    [
        (47.5, FLUX, Held.FULL),
        (31.5, FLUX, Held.CASTED),
        (23.5, FLUX, Held.CASTED),
        (15.5, FLUX, Held.GROUP_OFFLOAD),
        (4.0, FLUX, Held.REFUSED),
        (79.0, A14B, Held.FULL),
        (47.5, A14B, Held.CASTED),
        (23.5, WAN_5B, Held.CASTED),
    ],
)
def test_what_fits_whole_is_whole_and_less_memory_means_a_smaller_way(card: float, weights: float, held: Held) -> None:
    decided = plan(card, weights, POSTER)
    assert decided.held is held, f"{decided} for {weights} GiB on {card} GiB"


def test_a_plan_never_needs_more_than_is_free() -> None:
    for model in MODELS:
        for free in range(1, 100):
            decided = plan(float(free), model.gib, POSTER)
            assert (decided.needed <= free) == (decided.held is not Held.REFUSED), decided


def test_more_memory_never_leads_to_a_smaller_way() -> None:
    order = [Held.REFUSED, Held.GROUP_OFFLOAD, Held.CASTED, Held.FULL]
    held = [order.index(plan(free / 4, FLUX, POSTER).held) for free in range(400)]
    assert held == sorted(held)


def test_ways_that_a_device_does_not_have_are_not_taken() -> None:
    assert plan(30, FLUX, POSTER, may_cast=False).held is Held.GROUP_OFFLOAD
    assert plan(30, FLUX, POSTER, may_cast=False, may_offload=False).held is Held.REFUSED


def test_the_record_says_the_way_and_its_figures() -> None:
    assert str(plan(47.5, FLUX, 3.0)) == "full: 35.1 GiB of 47.5 GiB free"


def test_larger_longer_and_more_work_takes_more() -> None:
    one = work_gib(512, 512)
    assert one < work_gib(1024, 512) < work_gib(1024, 1024)
    assert one < work_gib(512, 512, frames=16) and one < work_gib(512, 512, together=2)
