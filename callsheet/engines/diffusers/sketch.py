"""A quick look at unfinished work: the latents made small, then decoded by the model's own decoder.

A sixteenth of the pixels takes about a sixteenth of the time. For people's eyes alone; the work goes on untouched.
"""

from __future__ import annotations

from typing import Any

from PIL import Image

from callsheet.engines.diffusers.loading import Loaded, quiet
from callsheet.engines.diffusers.memory import Held
from callsheet.engines.diffusers.work import Job

SIDE = 32
"""Latent pixels of the longer side that are decoded."""


def sketch(loaded: Loaded, job: Job, latents: Any) -> Image.Image | None:
    """What the latents come to. None where parts of the pipeline are not on the device between steps."""
    if loaded.plan.held is Held.GROUP_OFFLOAD:
        return None
    import torch

    vae = loaded.pipe.vae
    with torch.no_grad():
        small = _small(_one(loaded.pipe, job, latents.detach()))
        dtype = vae.dtype
        exact = bool(getattr(vae.config, "force_upcast", False)) and dtype != torch.float32
        try:
            if exact:                                     # this decoder overflows in half precision
                with quiet():
                    vae.to(torch.float32)
            decoded = vae.decode(_unscaled(vae, small).to(vae.dtype), return_dict=False)[0]
        finally:
            if exact:
                with quiet():
                    vae.to(dtype)
        if decoded.ndim == 5:
            decoded = decoded[:, :, 0]
        pixels = ((decoded[0].float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def _one(pipe: Any, job: Job, latents: Any) -> Any:
    """The first picture of a batch, or the frame in a clip's middle: 1 x channels x height x width."""
    if latents.ndim == 3:                                 # FLUX keeps patches of 2 x 2 in a row
        side = 16
        width, height = (-(-size // side) * side for size in (job.width, job.height))
        latents = pipe._unpack_latents(latents, height, width, pipe.vae_scale_factor)
    if latents.ndim == 5:
        latents = latents[:, :, latents.shape[2] // 2]
    return latents[:1]


def _small(latents: Any) -> Any:
    import torch

    factor = max(1, round(max(latents.shape[-2:]) / SIDE))
    return torch.nn.functional.avg_pool2d(latents.float(), factor) if factor > 1 else latents.float()


def _unscaled(vae: Any, latents: Any) -> Any:
    """From the numbers that a denoiser works on to those that the decoder knows."""
    import torch

    config = vae.config
    if getattr(config, "latents_mean", None) and getattr(config, "z_dim", None):     # Wan's decoder, made for clips
        shape = (1, len(config.latents_mean), 1, 1, 1)
        mean = torch.tensor(config.latents_mean, device=latents.device).view(shape)
        spread = torch.tensor(config.latents_std, device=latents.device).view(shape)
        return latents[:, :, None] * spread + mean
    return latents / config.scaling_factor + (getattr(config, "shift_factor", None) or 0.0)
