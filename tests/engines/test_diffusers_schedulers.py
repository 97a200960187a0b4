"""Every pair of sampler and scheduler that is offered works in the library, and they differ from each other."""

from __future__ import annotations

import hashlib
import importlib.util
from typing import Any

import pytest

from callsheet.base_models import base_model
from callsheet.engines.diffusers import loading, pictures
from callsheet.engines.diffusers.samplers import FLOW, NOISE, check, make
from callsheet.engines.diffusers.work import Job
from callsheet.errors import RequestInvalid

pytestmark = pytest.mark.slow


def _there(sampler: str, scheduler: str, flows: bool) -> bool:
    try:
        check(sampler, scheduler, flows)
    except RequestInvalid:
        return False
    return True


PAIRS = [(sampler, scheduler, flows) for table, flows in ((NOISE, False), (FLOW, True))
         for sampler, found in table.items() for scheduler in found.schedulers]


@pytest.fixture(scope="module")
def pipes() -> dict[bool, Any]:
    pytest.importorskip("diffusers", reason="the extra `models` is not installed")
    import torch

    from tests.tiny.session import models

    made = {}
    for name, flows in (("sd15", False), ("flux1-dev", True)):
        model = base_model(name)
        with loading.quiet():
            made[flows] = pictures.load(loading.folders_of(model, models()), torch.float32, model)
        made[flows].set_progress_bar_config(disable=True)
    return made


def digest(pipe: Any, sampler: str, scheduler: str, steps: int = 5) -> str:
    job = Job("a harbour", "", 64, 64, 1, steps, 5.0, 3, sampler, scheduler)
    told: list[int] = []
    image = pictures.picture(pipe, job, lambda step, steps, latents: told.append(step))
    assert told and told == sorted(told) and len(set(told)) == len(told), told
    low, high = image.convert("L").getextrema()
    assert low < high, f"{sampler} with {scheduler} gives a blank picture"
    return hashlib.sha256(image.tobytes()).hexdigest()


@pytest.mark.parametrize("flows", [False, True])
def test_every_pair_that_is_offered_makes_a_picture_again_and_again(pipes: dict[bool, Any], flows: bool) -> None:
    pairs = [(sampler, scheduler) for sampler, scheduler, kind in PAIRS if kind is flows and
             _there(sampler, scheduler, kind)]
    made = {pair: digest(pipes[flows], *pair) for pair in pairs}
    again = {pair: digest(pipes[flows], *pair) for pair in pairs[::5]}
    assert all(made[pair] == again[pair] for pair in again), "the same job gave another picture"
    samplers = {sampler for sampler, _ in pairs}
    firsts = {sampler: made[(sampler, "simple")] for sampler in samplers}
    alike = {sampler: [other for other in firsts if firsts[other] == firsts[sampler]] for sampler in firsts}
    assert all(len(others) == 1 for others in alike.values()), f"samplers give another's picture: {alike}"
    for sampler in samplers:
        different = {scheduler for kind, scheduler in pairs if kind == sampler} - {"sgm_uniform"}
        assert len({made[(sampler, scheduler)] for scheduler in different}) == len(different), sampler


def test_the_models_own_scheduler_is_there_again_afterwards(pipes: dict[bool, Any]) -> None:
    own = pipes[True].scheduler
    digest(pipes[True], "dpmpp_2m", "simple")
    assert pipes[True].scheduler is own


def test_a_scheduler_keeps_what_the_model_says_of_its_noise(pipes: dict[bool, Any]) -> None:
    own = pipes[False].scheduler.config
    for sampler, scheduler, flows in PAIRS:
        if not flows and _there(sampler, scheduler, flows):
            made = make(sampler, scheduler, own, flows)
            assert made.config.beta_end == own.beta_end == 0.012, sampler
            assert made.config.beta_schedule == "scaled_linear", sampler


@pytest.mark.skipif(importlib.util.find_spec("scipy") is not None, reason="scipy is installed")
@pytest.mark.parametrize(("sampler", "scheduler"), [("lms", "simple"), ("euler", "beta")])
def test_what_needs_another_library_says_so(sampler: str, scheduler: str) -> None:
    with pytest.raises(RequestInvalid, match="needs the library scipy"):
        check(sampler, scheduler, flows=False)
