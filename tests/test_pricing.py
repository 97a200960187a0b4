"""What GPU seconds cost, and how the worst case bounds what is submitted."""

from __future__ import annotations

import pytest

from callsheet.pricing import (
    CARDS,
    COLD_START_S,
    IDLE_S,
    Rate,
    card,
    deadline_s,
    expected_s,
    job_rate,
    jobs_estimate,
    pod_estimate,
    pod_rate,
    worst_s,
)
from callsheet.recipes import EngineId, IntakeRecipe, LipsyncRecipe, LoraUse, PlacedVoice, PosterRecipe, SegmentRecipe

FLUX = EngineId(name="diffusers", version=1, model="flux1-dev-fp8")
DRAWN = EngineId(name="placeholder", version=2)
AVA = (LoraUse(role="character", name="ava", sha256="0" * 64, strength=0.7),)


def poster(engine: EngineId = FLUX, steps: int = 22) -> PosterRecipe:
    return PosterRecipe(
        engine=engine, prompt="x", width=1024, height=1024, steps=steps, sampler_name="euler",
        scheduler_name="simple", flux_guidance=6.5, loras=AVA, seed=1,
    )


def segment(steps: int, frames: int = 120) -> SegmentRecipe:
    return SegmentRecipe(
        engine=FLUX, scene="x", prompt="x", width=512, height=512, num_frames=frames, steps=steps, cfg=7.0, loras=AVA,
        seed=1,
    )


@pytest.mark.parametrize(("name", "pod", "second"), [
    ("A40", 0.79, 0.00034), ("L40S", 0.99, 0.00053), ("H100", 2.49, 0.00116),
])
def test_cards_cost_what_users_quote_and_more_on_an_endpoint(name: str, pod: float, second: float) -> None:
    found = card(name)
    assert pod_rate(found).cost(3600) == pytest.approx(pod)
    assert job_rate(found).usd_per_second == second
    assert job_rate(found).cost(3600) > pod


@pytest.mark.parametrize("spelled", ["a40", "NVIDIA A40", "  Nvidia   a40 "])
def test_a_card_is_found_by_its_name_and_by_its_id(spelled: str) -> None:
    assert card(spelled).name == "A40"


def test_an_unknown_card_is_no_card() -> None:
    with pytest.raises(KeyError, match="T4"):
        card("T4")


def test_four_takes_cost_what_the_sources_say_of_a_persona() -> None:
    for steps, seconds in ((20, 60), (30, 120), (50, 180)):
        assert 4 * expected_s(segment(steps)) == seconds


def test_a_shorter_clip_takes_its_share_and_a_slower_card_longer() -> None:
    assert expected_s(segment(30, 60)) == expected_s(segment(30)) / 2
    assert expected_s(segment(30), speed=0.5) == expected_s(segment(30)) * 2


def test_what_needs_no_gpu_costs_nothing() -> None:
    assert expected_s(IntakeRecipe(sha256="0" * 64, kind="audio")) == 0
    lipsync = LipsyncRecipe(engine=FLUX, clip=segment(20).ref(), voices=(
        PlacedVoice(audio=poster().ref(), speaker="ava", start=0),))
    assert expected_s(lipsync) > 0


def test_a_drawn_picture_takes_seconds_whatever_its_steps() -> None:
    assert expected_s(poster(DRAWN, 22)) == expected_s(poster(DRAWN, 50)) < expected_s(poster())


def test_a_job_may_take_four_times_as_long_as_expected_and_at_least_two_minutes() -> None:
    assert worst_s(poster()) == 120
    assert worst_s(segment(50), speed=0.6) == 4 * 45 / 0.6


def test_the_worst_case_of_jobs_has_a_cold_start_for_each_on_the_dearest_card() -> None:
    cards = (card("A40"), card("H100"))
    found = jobs_estimate([poster(), poster(DRAWN)], cards)
    assert found.recipes == 2
    slowest = worst_s(poster(), cards[0].speed) + worst_s(poster(DRAWN))
    assert found.worst_usd == pytest.approx((slowest + 2 * (COLD_START_S + IDLE_S)) * 0.00116)
    assert found.usd < found.worst_usd


def test_the_worst_case_of_a_pod_is_its_deadline_on_the_dearest_card() -> None:
    cards = (card("A40"), card("L40S"))
    recipes = [poster(), segment(30)]
    found = pod_estimate(recipes, cards)
    assert found.worst_usd == pytest.approx((deadline_s(recipes, cards) + COLD_START_S) * 0.99 / 3600)
    assert found.seconds < deadline_s(recipes, cards)


def test_prices_that_are_known_go_before_the_lists() -> None:
    cards = (card("A40"),)
    dear = {cards[0].id: Rate(gpu=cards[0].id, usd_per_second=1.0, source="catalogue")}
    assert jobs_estimate([poster()], cards, dear).usd == pytest.approx(expected_s(poster(), cards[0].speed))
    assert pod_estimate([poster()], cards, dear).usd > 1000 * pod_estimate([poster()], cards).usd


def test_nothing_to_make_costs_nothing() -> None:
    assert pod_estimate([], CARDS).worst_usd == jobs_estimate([], CARDS).worst_usd == 0
