"""ComfyUI's names of samplers and schedulers -> the library's schedulers.

    check("euler", "simple", flows=True)                       # before anything is loaded
    pipe.scheduler = make("dpmpp_2m", "karras", pipe.scheduler.config, flows=False)

A sampler is the solver, a scheduler says where its steps lie. FLUX and Wan are flow models, Stable Diffusion predicts
noise: each has its own table. Left out for flow models are solvers that add noise at each step: their pipelines do not
seed it, so a recipe would not repeat. ComfyUI's pictures are approached, not matched number by number.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from callsheet.errors import RequestInvalid

_EVEN = ("normal", "simple", "sgm_uniform")
_SAME = ("simple", "sgm_uniform")
"""Two names for steps that end one before nothing: all that solvers with steps of their own have."""
_CURVED = ("karras", "exponential", "beta")
_ALL = (*_EVEN, *_CURVED)


@dataclass(frozen=True)
class Sampler:
    """One solver."""

    kind: str
    """Class in diffusers."""
    config: Mapping[str, Any] = field(default_factory=dict)
    schedulers: tuple[str, ...] = _ALL
    """Those it can be combined with."""
    needs: str = ""
    """A library beyond the extra `models`."""


NOISE: Mapping[str, Sampler] = MappingProxyType({
    "euler": Sampler("EulerDiscreteScheduler"),
    "euler_ancestral": Sampler("EulerAncestralDiscreteScheduler", schedulers=_EVEN),
    "heun": Sampler("HeunDiscreteScheduler"),
    "dpm_2": Sampler("KDPM2DiscreteScheduler"),
    "dpm_2_ancestral": Sampler("KDPM2AncestralDiscreteScheduler"),
    "lms": Sampler("LMSDiscreteScheduler", needs="scipy"),
    "dpmpp_sde": Sampler("DPMSolverSDEScheduler", needs="torchsde"),
    "dpmpp_2m": Sampler("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "dpmpp_2m_sde": Sampler("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    "dpmpp_3m_sde": Sampler("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}),
    "deis": Sampler("DEISMultistepScheduler"),
    "ddim": Sampler("DDIMScheduler", {"clip_sample": False, "set_alpha_to_one": False},
                    schedulers=(*_EVEN, "ddim_uniform")),
    "ddpm": Sampler("DDPMScheduler", {"clip_sample": False}, schedulers=_EVEN),
    "uni_pc": Sampler("UniPCMultistepScheduler", {"solver_type": "bh1", "final_sigmas_type": "sigma_min"}),
    "uni_pc_bh2": Sampler("UniPCMultistepScheduler", {"solver_type": "bh2"}),
    "lcm": Sampler("LCMScheduler", schedulers=_SAME),
})
"""For models that predict noise."""

OWN_NOISE = frozenset({"dpmpp_sde"})
"""Solvers that take no generator and draw the noise of their steps by themselves."""

_FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
FLOW: Mapping[str, Sampler] = MappingProxyType({
    "euler": Sampler("FlowMatchEulerDiscreteScheduler"),
    "dpmpp_2m": Sampler("DPMSolverMultistepScheduler", {**_FLOW, "algorithm_type": "dpmsolver++", "solver_order": 2},
                        schedulers=_SAME),
    "deis": Sampler("DEISMultistepScheduler", _FLOW, schedulers=_SAME),
    "uni_pc": Sampler("UniPCMultistepScheduler", {**_FLOW, "solver_type": "bh1", "final_sigmas_type": "sigma_min"},
                      schedulers=_SAME),
    "uni_pc_bh2": Sampler("UniPCMultistepScheduler", {**_FLOW, "solver_type": "bh2"}, schedulers=_SAME),
})
"""For flow models."""

_PLACES: Mapping[str, Mapping[str, Any]] = MappingProxyType({
    "normal": {"timestep_spacing": "linspace"},
    "simple": {"timestep_spacing": "trailing"},
    "sgm_uniform": {"timestep_spacing": "trailing"},
    "ddim_uniform": {"timestep_spacing": "leading"},
    "karras": {"timestep_spacing": "linspace", "use_karras_sigmas": True},
    "exponential": {"timestep_spacing": "linspace", "use_exponential_sigmas": True},
    "beta": {"timestep_spacing": "linspace", "use_beta_sigmas": True},
})
_STRAIGHT = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
_NEEDS = {"beta": "scipy"}


def check(sampler: str, scheduler: str, flows: bool) -> None:
    """Whether there is such a pair for the model. Raises RequestInvalid with what there is."""
    table = FLOW if flows else NOISE
    kind = "flow models" if flows else "models that predict noise"
    if sampler not in table:
        elsewhere = " (for models that predict noise alone)" if flows and sampler in NOISE else ""
        raise RequestInvalid(
            field="sampler_name", detail=f"{kind} have no sampler {sampler!r}{elsewhere}",
            remedy=f"choose one of {', '.join(table)}",
        )
    found = table[sampler]
    if scheduler not in found.schedulers:
        raise RequestInvalid(
            field="scheduler_name", detail=f"{sampler} has no scheduler {scheduler!r} on {kind}",
            remedy=f"choose one of {', '.join(found.schedulers)}",
        )
    for library in filter(None, (found.needs, _NEEDS.get(scheduler, ""))):
        if importlib.util.find_spec(library) is None:
            raise RequestInvalid(
                field="sampler_name", detail=f"{sampler} with {scheduler} needs the library {library}",
                remedy=f"pip install {library}, or choose another, such as euler with simple",
            )


def make(sampler: str, scheduler: str, own: Mapping[str, Any], flows: bool) -> Any:
    """A fresh scheduler, with everything else as the model's own has it. Raises RequestInvalid as `check` does.

    Args:
        own: The configuration of the model's own scheduler.
    """
    import diffusers

    check(sampler, scheduler, flows)
    found = (FLOW if flows else NOISE)[sampler]
    kind = getattr(diffusers, found.kind)
    known = kind._get_init_keys(kind) - {"self", "kwargs"}
    wanted = {name: value for name, value in own.items() if name in known and not name.startswith("_")}
    wanted |= {**_STRAIGHT, **_PLACES[scheduler], **found.config}
    with old_arrays():
        return kind(**{name: value for name, value in wanted.items() if name in known})


@contextmanager
def old_arrays() -> Iterator[None]:
    """Without the warnings about solvers that hand tensors to numpy in a way which it will give up."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"__array(_wrap)?__ ", DeprecationWarning)
        yield


def sigmas(scheduler: str, steps: int) -> list[float] | None:
    """Where a flow model's Euler steps lie, before the model shifts them; None leaves it to the pipeline, which does
    what ComfyUI calls simple."""
    if scheduler != "normal":
        return None
    least = 1e-3
    return [1.0 - n * (1.0 - least) / max(1, steps - 1) for n in range(steps)]
