"""What is tried after a failure, as values: the ladder of each policy, and which errors lead onto it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import (
    BudgetExceeded,
    CallsheetError,
    Cancelled,
    DownloadFailed,
    EngineError,
    EngineNotHere,
    EngineTimedOut,
    EngineUnable,
    FrameFailed,
    JobFailed,
    JobLost,
    JobTimedOut,
    LoraUnfit,
    MediaUnreadable,
    NoCapacity,
    NotInStore,
    OutOfMemory,
    PosterFailed,
    PromptRefused,
    ProviderDenied,
    ProviderUnpaid,
    WrongFamily,
)
from callsheet.fallback import Fault, after, fault, takes_as_much
from callsheet.models import Fallback
from callsheet.recipes import EngineId, Instead, PosterRecipe, SegmentRecipe

WAN, DRAWN = EngineId(name="diffusers", version=3, model="wan2.2-i2v-a14b"), EngineId(name="placeholder", version=2)
TOO_LARGE = Fault("too little memory", counts=True, too_large=True, alike=True)
BROKEN = Fault("the server went away", counts=True, too_large=False)


def clip(width: int = 1024, height: int = 576, frames: int = 120, engine: EngineId = WAN) -> SegmentRecipe:
    return SegmentRecipe(engine=engine, scene="s", prompt="p", width=width, height=height, num_frames=frames,
                         steps=20, cfg=5.0, loras=(), seed=1)


def poster(width: int = 1024, height: int = 1024, model: str = "flux1-dev-fp8") -> PosterRecipe:
    return PosterRecipe(engine=WAN.model_copy(update={"model": model}), prompt="p", width=width, height=height,
                        steps=22, sampler_name="euler", scheduler_name="simple", flux_guidance=6.5, loras=(), seed=1)


def ladder(
    asked: SegmentRecipe | PosterRecipe, failed: Fault, policy: Fallback, drawn: EngineId | None = DRAWN
) -> list[str]:
    """Everything that is tried when all of it fails, in order."""
    tried: list[Instead] = []
    while (step := after(asked, tried, failed, policy, drawn)) is not None:
        tried.append(step)
        assert len(tried) < 20, "it never ends"
    return [" ".join(filter(None, (step.engine.name, step.engine.model, str(step.px or "")))) for step in tried]


def test_each_policy_has_its_ladder() -> None:
    smaller = ["diffusers wan2.2-ti2v-5b", "diffusers wan2.2-ti2v-5b 576", "diffusers wan2.2-ti2v-5b 384"]
    assert ladder(clip(), TOO_LARGE, Fallback.NEVER) == []
    assert ladder(clip(), TOO_LARGE, Fallback.SMALLER) == smaller
    assert ladder(clip(), TOO_LARGE, Fallback.PLACEHOLDER) == [*smaller, "placeholder"]
    assert ladder(clip(), BROKEN, Fallback.PLACEHOLDER) == [smaller[0], "placeholder"]
    assert ladder(clip(), TOO_LARGE, Fallback.PLACEHOLDER, drawn=None) == smaller


def test_a_model_without_a_smaller_one_makes_smaller_pictures() -> None:
    flux = "diffusers flux1-dev-fp8"
    assert ladder(poster(), TOO_LARGE, Fallback.PLACEHOLDER) == [
        f"{flux} 768", f"{flux} 512", "placeholder flux1-dev-fp8"], "a drawn poster says which model was asked"
    assert ladder(poster(), BROKEN, Fallback.SMALLER) == []
    assert ladder(poster(model="my-own-checkpoint"), TOO_LARGE, Fallback.SMALLER)[0].endswith("768")


def test_no_picture_is_made_smaller_than_256_pixels() -> None:
    assert ladder(poster(400, 400), TOO_LARGE, Fallback.SMALLER) == ["diffusers flux1-dev-fp8 304"]
    assert ladder(poster(320, 320), TOO_LARGE, Fallback.SMALLER) == []


def test_what_was_asked_to_be_drawn_is_drawn_or_fails() -> None:
    assert ladder(clip(engine=DRAWN), TOO_LARGE, Fallback.PLACEHOLDER) == []


@given(
    st.sampled_from(Fallback), st.integers(32, 2048).map(lambda n: 2 * n), st.integers(32, 2048).map(lambda n: 2 * n),
    st.sampled_from(["wan2.2-i2v-a14b", "wan2.2-ti2v-5b", "animatediff-sdxl", "unheard-of", ""]), st.booleans(),
)
def test_a_ladder_ends_repeats_nothing_and_only_goes_down(
    policy: Fallback, width: int, height: int, model: str, too_large: bool
) -> None:
    asked = clip(width, height, engine=WAN.model_copy(update={"model": model}))
    steps = ladder(asked, Fault("x", counts=True, too_large=too_large), policy)
    assert len(set(steps)) == len(steps) <= 4
    assert all("placeholder" not in step for step in steps[:-1])
    sides = [int(step.rpartition(" ")[2]) for step in steps if step.rpartition(" ")[2].isdigit()]
    assert sides == sorted(sides, reverse=True) and all(256 <= side < (width * height) ** 0.5 + 16 for side in sides)


def test_a_step_that_nobody_knows_any_more_ends_the_ladder() -> None:
    unknown = Instead(engine=EngineId(name="gone", version=1), why="x")
    assert after(clip(), [unknown], TOO_LARGE, Fallback.PLACEHOLDER, DRAWN) is None


@pytest.mark.parametrize(("error", "too_large"), [
    (OutOfMemory(engine="e", what="w", detail="d"), True),
    (EngineTimedOut(engine="e", what="w", detail="d", seconds=9), True),
    (JobTimedOut(job_id="j", seconds=9, detail="d"), True),
    (JobLost(job_id="j", detail="d"), True),
    (JobFailed(job_id="j", detail="d", job_code="engine.memory"), True),
    (JobFailed(job_id="j", detail="d", job_code="poster.failed"), False),
    (EngineError(engine="e", what="w", detail="d"), False),
    (EngineNotHere(engine="e", what="w", detail="d"), False),
    (PosterFailed(actor="a", detail="d"), False),
    (FrameFailed(what="w", detail="d"), False),
    (DownloadFailed(url="u", detail="d"), False),
], ids=lambda value: getattr(value, "code", str(value)))
def test_what_an_engine_fails_with_may_be_replaced(error: CallsheetError, too_large: bool) -> None:
    found = fault(error)
    assert (found.counts, found.too_large, found.why) == (True, too_large, error.what)


@pytest.mark.parametrize("error", [
    WrongFamily(path="a", found="flux", wanted="sdxl"), LoraUnfit(path="a", model="m", detail="d"),
    MediaUnreadable(path="a", kind="a picture", detail="d"), PromptRefused(engine="e", what="w", detail="d"),
    EngineUnable(engine="e", what="w", detail="no such scheduler"),
    NotInStore(key="k", url="u"), Cancelled(what="w"), ProviderDenied(provider="p", detail="d"),
    ProviderUnpaid(provider="p", detail="d"), NoCapacity(provider="p", detail="d"), CallsheetError(detail="a mistake"),
    BudgetExceeded(scope="day/x", hard=1.0, spent=1.0, what="w", worst=1.0),
    JobFailed(job_id="j", detail="d", job_code="lora.wrong_family"), JobFailed(job_id="j", detail="d", job_code=""),
], ids=lambda error: f"{error.code} {error.facts.get('job_code', '')}")
def test_what_is_wrong_with_input_money_or_ourselves_is_never_replaced(error: CallsheetError) -> None:
    assert not fault(error).counts
    assert after(clip(), [], fault(error), Fallback.PLACEHOLDER, DRAWN) is None


def test_only_what_takes_at_least_as_much_is_spared_the_same_failure() -> None:
    failed = clip(1024, 576, 120)
    assert takes_as_much(clip(1024, 576, 120), failed) and takes_as_much(clip(576, 1024, 120), failed)
    assert not takes_as_much(clip(1024, 576, 24), failed), "a short clip may fit"
    assert not takes_as_much(clip(768, 432, 120), failed), "a smaller picture may fit"
    other = WAN.model_copy(update={"model": "wan2.2-ti2v-5b"})
    assert not takes_as_much(clip(1024, 576, 120, other), failed), "another model may fit"
