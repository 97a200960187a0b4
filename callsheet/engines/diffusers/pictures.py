"""Posters and single pictures: FLUX.1, SDXL and SD 1.5.

    pipe = load(folders, torch.bfloat16, base_model("flux1-dev"))
    picture(pipe, job, tell)

Pictures of several jobs are made together where they share everything but words and seeds. Sides that the model does
not take are made larger and cut at the middle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from callsheet.base_models import BaseModel
from callsheet.engines.diffusers import samplers
from callsheet.engines.diffusers.canvas import eight_bits
from callsheet.engines.diffusers.loading import unheard
from callsheet.engines.diffusers.steps import after_step, quiet, solved
from callsheet.engines.diffusers.words import embedded, parts_of
from callsheet.engines.diffusers.work import Job, Tell
from callsheet.models import Family

if TYPE_CHECKING:
    import torch

MULTIPLE: Mapping[Family, int] = {Family.FLUX: 16, Family.SDXL: 8, Family.SD15: 8}
"""Of pixels, which a side must be."""
WORDS = 512
"""Tokens that FLUX's large encoder reads."""


def load(folders: Mapping[str, Path], dtype: torch.dtype, model: BaseModel) -> Any:
    """The family's pipeline, on the processor."""
    import diffusers

    kind, folder = {
        Family.FLUX: (diffusers.FluxPipeline, "flux-dev"),
        Family.SDXL: (diffusers.StableDiffusionXLPipeline, "sdxl"),
        Family.SD15: (diffusers.StableDiffusionPipeline, "sd15"),
    }[model.family]
    given: dict[str, Any] = {} if model.family is Family.FLUX else {"variant": "fp16"}
    if model.family is Family.SD15:
        given |= {"safety_checker": None, "requires_safety_checker": False, "feature_extractor": None}
    if model.family is Family.SDXL:
        given["add_watermarker"] = False
    pipe = kind.from_pretrained(
        str(folders[folder]), dtype=dtype, use_safetensors=True, local_files_only=True, **given
    )
    pipe.vae.enable_slicing()
    return quiet(pipe)


def picture(pipe: Any, job: Job, tell: Tell) -> Image.Image:
    """One picture of exactly job.width x job.height."""
    return pictures(pipe, [job], tell)[0]


def pictures(pipe: Any, jobs: Sequence[Job], tell: Tell) -> list[Image.Image]:
    """Of jobs that differ in prompt, negative and seed alone. Each equals the picture of its job made alone, up to the
    last bit where the device computes a batch in another order."""
    flows = hasattr(pipe, "transformer")
    job = jobs[0]
    uneven = not flows and len({parts_of(pipe, each) for each in jobs}) > 1      # longer words make longer rows
    if len(jobs) > 1 and (uneven or job.sampler in samplers.OWN_NOISE):
        return [picture(pipe, each, tell) for each in jobs]
    multiple = MULTIPLE[Family.FLUX if flows else Family.SDXL]
    width, height = (-(-side // multiple) * multiple for side in (job.width, job.height))
    with solved(pipe, job, flows=flows), unheard():       # FLUX's CLIP reads the first words only, T5 all of them
        made = pipe(
            width=width, height=height, num_inference_steps=job.steps, guidance_scale=job.guidance,
            generator=[each.generator() for each in jobs], callback_on_step_end=after_step(tell),
            output_type="np", **(_flux(jobs) if flows else embedded(pipe, jobs)),
        ).images
    return [_cut(Image.fromarray(image), job.width, job.height) for image in eight_bits(made, "a picture")]


def warnings(pipe: Any, job: Job) -> tuple[str, ...]:
    """What the picture does not show of what was asked."""
    if not hasattr(pipe, "transformer"):                  # the others read words of any length
        return ()
    with unheard():
        length = len(pipe.tokenizer_2(job.prompt).input_ids)
    return (f"the prompt is {length} tokens long, FLUX reads the first {WORDS}",) if length > WORDS else ()


def _flux(jobs: Sequence[Job]) -> dict[str, Any]:
    """The words as they are. FLUX.1 [dev] is guided from inside: it has no negative."""
    steps = samplers.sigmas(jobs[0].scheduler, jobs[0].steps) if jobs[0].sampler == "euler" else None
    return {"prompt": [job.prompt for job in jobs], "max_sequence_length": WORDS, "sigmas": steps}


def _cut(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
