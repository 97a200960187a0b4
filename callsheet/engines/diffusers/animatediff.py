"""AnimateDiff: clips of the SDXL and SD 1.5 families from words, with as many characters as there are LoRAs.

    pipe = load({"sdxl": folder, "motion-sdxl": other}, torch.float16, base_model("animatediff-sdxl"))
    frames(pipe, job, tell)       exactly job.frames of job.width x job.height

Clips longer than the motion adapter was made for go through freenoise.py. It starts from no picture: the library has
none for SDXL. SD 1.5 can follow another clip, and pictures through a ControlNet (control.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from callsheet.base_models import BaseModel
from callsheet.engines.diffusers import control, freenoise
from callsheet.engines.diffusers.canvas import Canvas, Frames, eight_bits
from callsheet.engines.diffusers.steps import after_step, quiet, solved
from callsheet.engines.diffusers.words import embedded
from callsheet.engines.diffusers.work import Job, Tell
from callsheet.errors import EngineUnable
from callsheet.models import Family

if TYPE_CHECKING:
    import torch

_WHAT = "a clip"
PIXELS_AT_ONCE = 2 * 1024 * 1024
"""Of frames that the VAE makes or reads at once."""


def load(folders: Mapping[str, Path], dtype: torch.dtype, model: BaseModel) -> Any:
    """The pipeline of one of the two families, on the processor. Its VAE calculates in float32: SDXL's runs over in
    half precision.
    """
    import torch
    from diffusers import AnimateDiffPipeline, AnimateDiffSDXLPipeline, AutoencoderKL, DDIMScheduler, MotionAdapter
    from diffusers import UNet2DConditionModel as Unet

    base, motion = (folders[name] for name in model.weights)
    local: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    half = {"variant": "fp16"} if any(base.glob("unet/*.fp16.safetensors")) else {}
    adapter = MotionAdapter.from_pretrained(motion, dtype=dtype, **local)
    vae = AutoencoderKL.from_pretrained(base, subfolder="vae", dtype=torch.float32, **half, **local)
    # What the adapters were trained with.
    scheduler = DDIMScheduler.from_pretrained(
        base, subfolder="scheduler", beta_schedule="linear", timestep_spacing="linspace", clip_sample=False,
        steps_offset=1,
    )
    unet = _moving(Unet.from_pretrained(base, subfolder="unet", dtype=dtype, **half, **local), adapter, model.name)
    maker = AnimateDiffSDXLPipeline if model.family is Family.SDXL else AnimateDiffPipeline
    pipe = maker.from_pretrained(
        base, unet=unet, motion_adapter=adapter, vae=vae, scheduler=scheduler, dtype=dtype, **half, **local
    )
    pipe.control_folder = folders.get(control.CONTROL)
    freenoise.prepare(pipe)
    return quiet(pipe)


def frames(pipe: Any, job: Job, tell: Tell) -> Frames:
    """A clip of exactly job.frames. Raises EngineUnable for what this family cannot do, EngineError for NaN."""
    _require_possible(pipe, job)
    canvas = Canvas.of(job, max(8, pipe.vae_scale_factor))
    with solved(pipe, job, flows=False):
        latents = (_after_clip if job.video else _by_words)(pipe, job, canvas, tell)
    return canvas.cut(_decoded(pipe, latents, canvas))


def _moving(unet: Any, adapter: Any, name: str) -> Any:
    """The UNet with the adapter's motion layers in it.

    The library's own way leaves the layers that tell SDXL its size and the prompt's sum at random numbers: so
    everything is copied once more, and nothing but motion may be left over.
    """
    from diffusers import UNetMotionModel

    moving = UNetMotionModel.from_unet2d(unet, adapter)
    left = moving.load_state_dict(unet.state_dict(), strict=False)
    odd = [*left.unexpected_keys, *(key for key in left.missing_keys if ".motion_modules." not in key)]
    if odd:
        raise EngineUnable(
            engine="diffusers", what=_WHAT, detail=f"{name} and its motion adapter do not fit at {odd[0]}",
            remedy="fetch both again",
        )
    return moving


def _require_possible(pipe: Any, job: Job) -> None:
    large = hasattr(pipe, "text_encoder_2")
    shorter = next((len(given) for given in (job.video, job.control) if 1 < len(given) < job.frames), 0)
    for wrong, detail, remedy in (
        (
            job.first is not None or job.last is not None, "AnimateDiff starts from words, and takes no picture",
            "choose wan2.2-ti2v-5b, or leave the picture out",
        ),
        (
            large and job.video, "AnimateDiff follows no other clip with SDXL models",
            "choose animatediff-sd15 with SD 1.5 LoRAs, or wan2.2-ti2v-5b",
        ),
        (
            large and job.control, "AnimateDiff follows no control pictures with SDXL models",
            "choose animatediff-sd15 with SD 1.5 LoRAs",
        ),
        (
            job.video and job.control, "AnimateDiff follows a clip or control pictures, not both", "give one of them",
        ),
        (
            job.control and pipe.control_folder is None, "there is no ControlNet beside the model",
            f"callsheet models download {control.CONTROL}",
        ),
        (
            len(job.video) == 1 < job.frames or shorter,
            f"what it is to follow has {shorter or 1} frames, {job.frames} are asked", "ask for no more frames",
        ),
    ):
        if wrong:
            raise EngineUnable(engine="diffusers", what=_WHAT, detail=detail, remedy=remedy)


def _by_words(pipe: Any, job: Job, canvas: Canvas, tell: Tell) -> torch.Tensor:
    scale = pipe.vae_scale_factor
    noise = freenoise.begin(pipe, job, high=canvas.high // scale, wide=canvas.wide // scale)
    more: dict[str, Any] = {"latents": noise, "num_frames": job.frames, "height": canvas.high, "width": canvas.wide}
    if not job.control:
        return _call(pipe, job, tell, steps=job.steps, **more)
    shown = [canvas.place(picture) for picture in job.control]
    more["conditioning_frames"] = shown * job.frames if len(shown) == 1 else shown[:job.frames]
    return _call(control.led(pipe, pipe.control_folder), job, tell, steps=job.steps, **more)


def _after_clip(pipe: Any, job: Job, canvas: Canvas, tell: Tell) -> torch.Tensor:
    """Latents made after another clip. A freedom of less than one step leaves it as it is."""
    latents = _encoded(pipe, [np.asarray(canvas.place(picture)) for picture in job.video[:job.frames]])
    steps = int(job.steps * job.freedom)
    if steps < 1:
        return latents
    freenoise.look_through(pipe, job.frames)
    return _call(
        control.after_clip(pipe), job, tell, latents=latents.to(pipe.unet.dtype), strength=job.freedom, steps=steps,
        enforce_inference_steps=True, height=canvas.high, width=canvas.wide,
    )


def _call(pipe: Any, job: Job, tell: Tell, *, steps: int, **more: Any) -> torch.Tensor:
    made: torch.Tensor = pipe(
        num_inference_steps=steps, guidance_scale=job.guidance, generator=job.generator(), output_type="latent",
        callback_on_step_end=after_step(tell), **embedded(pipe, [job]), **more,
    ).frames
    return made


def _at_once(canvas: Canvas) -> int:
    return max(1, PIXELS_AT_ONCE // (canvas.wide * canvas.high))


def _decoded(pipe: Any, latents: torch.Tensor, canvas: Canvas) -> Frames:
    """Frames of latents (1, channels, frames, ...), some at a time."""
    import torch

    rows = latents[0].transpose(0, 1).to(pipe.vae.dtype) / pipe.vae.config.scaling_factor
    done = []
    with torch.no_grad():
        for part in rows.split(_at_once(canvas)):
            pixels = pipe.vae.decode(part).sample.float().cpu() / 2 + 0.5
            done.append(eight_bits(pixels.clamp(0, 1).permute(0, 2, 3, 1).numpy(), _WHAT))
    return np.concatenate(done)


def _encoded(pipe: Any, pictures: list[Any]) -> torch.Tensor:
    """Latents (1, channels, frames, ...) of RGB pictures, the likeliest ones."""
    import torch

    rows = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    at_once = max(1, PIXELS_AT_ONCE // (rows.shape[2] * rows.shape[3]))
    done = []
    with torch.no_grad():
        for part in rows.split(at_once):
            pixels = part.to(pipe._execution_device, pipe.vae.dtype) / 127.5 - 1
            done.append(pipe.vae.encode(pixels).latent_dist.mode())
    return torch.cat(done).transpose(0, 1)[None] * pipe.vae.config.scaling_factor
