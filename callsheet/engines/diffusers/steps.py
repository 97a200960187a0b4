"""Calling the library's clip pipelines: each step is told, the solver is the job's, and nothing is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from callsheet.engines.diffusers import samplers
from callsheet.engines.diffusers.work import Job, Tell


def quiet(pipe: Any) -> Any:
    """The pipeline, without its own progress bar."""
    pipe.set_progress_bar_config(disable=True)
    return pipe


def after_step(tell: Tell) -> Callable[..., dict[str, Any]]:
    """What a pipeline calls after each step: `tell` ends the work by raising."""

    def after(pipe: Any, step: int, timestep: Any, tensors: Mapping[str, Any]) -> dict[str, Any]:
        tell(step + 1, pipe.num_timesteps, tensors["latents"])
        return {}

    return after


@contextmanager
def solved(pipe: Any, job: Job, *, flows: bool) -> Iterator[None]:
    """The pipeline with the solver that the job names, or with the model's own.

    Raises RequestInvalid for a pair that there is not.
    """
    own = pipe.scheduler
    if job.sampler:
        config = dict(own.config)
        shift = config.get("flow_shift", config.get("shift"))
        if shift is not None:                         # solvers call the same number by two names
            config |= {"flow_shift": shift, "shift": shift}
        pipe.scheduler = samplers.make(job.sampler, job.scheduler, config, flows=flows)
        if job.sampler in samplers.OWN_NOISE:         # else it is another picture each time
            pipe.scheduler.noise_sampler_seed = job.seed
    try:
        with samplers.old_arrays():
            yield
    finally:
        pipe.scheduler = own
