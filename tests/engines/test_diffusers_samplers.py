"""ComfyUI's names of samplers and schedulers: which pairs there are. Making them is in test_diffusers_schedulers.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from callsheet.engines.diffusers import samplers, steps
from callsheet.engines.diffusers.samplers import FLOW, NOISE, check, sigmas
from callsheet.engines.diffusers.work import Job
from callsheet.errors import RequestInvalid


def test_the_default_pair_is_there_for_every_model() -> None:
    for flows in (True, False):
        check("euler", "simple", flows)


@pytest.mark.parametrize("flows", [True, False])
def test_an_unknown_sampler_is_refused_with_all_there_are(flows: bool) -> None:
    with pytest.raises(RequestInvalid) as caught:
        check("eulr", "simple", flows)
    assert all(name in caught.value.fix for name in (FLOW if flows else NOISE)), caught.value


@pytest.mark.parametrize(
    ("sampler", "scheduler", "flows"),
    [("euler_ancestral", "karras", False), ("ddim", "karras", False), ("lcm", "beta", False),
     ("dpmpp_2m", "karras", True), ("euler", "unheard", True)],
)
def test_an_impossible_pair_is_refused_with_the_schedulers_of_that_sampler(
    sampler: str, scheduler: str, flows: bool
) -> None:
    with pytest.raises(RequestInvalid, match="scheduler_name") as caught:
        check(sampler, scheduler, flows)
    assert "simple" in caught.value.fix and scheduler not in caught.value.fix


def test_a_sampler_that_flow_models_lack_is_said_to_be_there_for_others() -> None:
    with pytest.raises(RequestInvalid, match="for models that predict noise alone"):
        check("euler_ancestral", "simple", flows=True)


def test_simple_is_left_to_the_pipeline_and_normal_ends_close_to_nothing() -> None:
    assert sigmas("simple", 22) is None
    steps = sigmas("normal", 22)
    assert steps is not None and len(steps) == 22
    assert steps[0] == 1.0 and steps[-1] == pytest.approx(0.001)
    assert steps == sorted(steps, reverse=True)
    assert sigmas("normal", 1) == [1.0]


def test_a_solver_that_draws_its_own_noise_gets_the_recipes_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = SimpleNamespace(noise_sampler_seed=None)
    monkeypatch.setattr(samplers, "make", lambda *_, **how: fresh)
    own = SimpleNamespace(config={})
    pipe = SimpleNamespace(scheduler=own)
    job = Job("", "", 64, 64, 1, 2, 1.0, seed=7, sampler="dpmpp_sde", scheduler="karras")
    with steps.solved(pipe, job, flows=False):
        assert pipe.scheduler is fresh and fresh.noise_sampler_seed == 7
    assert pipe.scheduler is own
