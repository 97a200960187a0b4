"""Clips that are longer than a motion adapter was made for, in memory that does not grow with them.

    prepare(pipe)                       once, before LoRAs and anything else touch the UNet
    latents = begin(pipe, job, high=512, wide=512)

FreeNoise lets the motion layers look at a clip through windows that overlap, and begins all windows with the same noise
in another order. The window is what the adapter was made for. The UNet's other layers take frames one by one, and are
given some at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from callsheet.engines.diffusers.work import Job

if TYPE_CHECKING:
    import torch

FRAMES_AT_ONCE = 32
"""Pictures that a layer of the UNet works on at once, guided and unguided counted as two."""
PLACES_AT_ONCE = 4096
"""Places of the picture whose motion a layer works on at once."""


def prepare(pipe: Any) -> None:
    """Make the UNet ready for clips of any length."""
    from diffusers.pipelines.free_noise_utils import AnimateDiffFreeNoiseMixin

    settings = _settings(pipe, _window(pipe))
    for block in _blocks(pipe.unet):
        if getattr(block, "motion_modules", None) is not None:
            AnimateDiffFreeNoiseMixin._enable_free_noise_in_block(settings, block)
            for module in block.motion_modules:
                for layer in module.transformer_blocks:
                    in_parts(layer, PLACES_AT_ONCE)
        for kind in ("resnets", "attentions", "downsamplers", "upsamplers"):
            for layer in getattr(block, kind, None) or ():
                in_parts(layer, FRAMES_AT_ONCE)


def begin(pipe: Any, job: Job, *, high: int, wide: int) -> torch.Tensor:
    """Set the windows for the job, and return the noise it begins with: 1, channels, frames, high, wide of latents.

    The noise is made in float32, so that a seed means the same whatever precision the model works in.
    """
    import torch
    from diffusers.pipelines.free_noise_utils import AnimateDiffFreeNoiseMixin

    settings = look_through(pipe, job.frames)
    noise = AnimateDiffFreeNoiseMixin._prepare_latents_free_noise(
        settings, 1, pipe.unet.config.in_channels, job.frames, high, wide, torch.float32, torch.device("cpu"),
        job.generator(),
    )
    return noise.to(pipe.unet.dtype)


def look_through(pipe: Any, frames: int) -> SimpleNamespace:
    """Set the windows for a clip of so many frames. A short one is seen whole."""
    settings = _settings(pipe, min(_window(pipe), frames))
    for block in _blocks(pipe.unet):
        for module in getattr(block, "motion_modules", None) or ():
            for layer in module.transformer_blocks:
                layer.set_free_noise_properties(
                    settings._free_noise_context_length, settings._free_noise_context_stride,
                    settings._free_noise_weighting_scheme,
                )
    return settings


def in_parts(layer: Any, most: int) -> None:
    """Let a layer whose rows do not depend on each other work on at most so many of them at a time."""
    whole = layer.forward

    @functools.wraps(whole)
    def forward(*given: Any, **named: Any) -> Any:
        rows = next(_rows([*given, *named.values()]))
        if rows <= most:
            return whole(*given, **named)
        parts = []
        for start in range(0, rows, most):
            part = functools.partial(_part, rows=rows, start=start, end=start + most)
            parts.append(whole(*map(part, given), **{name: part(value) for name, value in named.items()}))
        return _joined(parts)

    layer.forward = forward


def _window(pipe: Any) -> int:
    return int(pipe.motion_adapter.config.motion_max_seq_length)


def _settings(pipe: Any, window: int) -> SimpleNamespace:
    """What the library's methods read from a pipeline. They are asked without making the pipeline one that does
    FreeNoise by itself: that interpolates prompts between frames, and has no words left for a clip of one frame.
    """
    return SimpleNamespace(
        _free_noise_context_length=window, _free_noise_context_stride=max(1, window // 4),
        _free_noise_weighting_scheme="pyramid", _free_noise_noise_type="shuffle_context",
        vae_scale_factor=1, device=pipe.unet.device, dtype=pipe.unet.dtype,
    )


def _blocks(unet: Any) -> tuple[Any, ...]:
    return (*unet.down_blocks, unet.mid_block, *unet.up_blocks)


def _rows(values: Sequence[Any]) -> Iterator[int]:
    import torch

    return (len(value) for value in values if torch.is_tensor(value) and value.ndim > 1)


def _part(value: Any, rows: int, start: int, end: int) -> Any:
    import torch

    return value[start:end] if torch.is_tensor(value) and value.ndim and len(value) == rows else value


def _joined(parts: Sequence[Any]) -> Any:
    import torch

    first = parts[0]
    if torch.is_tensor(first):
        return torch.cat(list(parts))
    if isinstance(first, Mapping):
        raise TypeError("a layer that works in parts returns tensors, or tuples of them")
    return tuple(_joined(each) for each in zip(*parts, strict=True))
