"""AnimateDiff after another clip, or led by pictures through a ControlNet, from the parts of a loaded pipeline.

    after_clip(pipe)(latents=...)              led(pipe, folder)(conditioning_frames=...)

The library has both for the SD 1.5 family alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from callsheet.engines.diffusers.freenoise import FRAMES_AT_ONCE, in_parts
from callsheet.engines.diffusers.steps import quiet

if TYPE_CHECKING:
    import torch

CONTROL = "control-sd15"
"""Name of the ControlNet among the weights; it is not needed for clips that nothing leads."""


def after_clip(pipe: Any) -> Any:
    """The pipeline that starts from a clip's latents, with a share of noise."""
    from diffusers import AnimateDiffVideoToVideoPipeline

    return quiet(AnimateDiffVideoToVideoPipeline(**_parts(pipe)))


def led(pipe: Any, folder: Path) -> Any:
    """The pipeline that the ControlNet in a folder leads. It is loaded the first time, and then stays with `pipe`."""
    from diffusers import AnimateDiffControlNetPipeline

    if getattr(pipe, "led_by", None) is None:
        pipe.led_by = _load(folder, pipe.unet.dtype)
    pipe.led_by.to(pipe._execution_device)
    return quiet(AnimateDiffControlNetPipeline(**_parts(pipe), controlnet=pipe.led_by))


def _load(folder: Path, dtype: torch.dtype) -> Any:
    from diffusers import ControlNetModel

    half = {"variant": "fp16"} if any(folder.glob("*.fp16.safetensors")) else {}
    control = ControlNetModel.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, local_files_only=True, **half
    )
    in_parts(control, FRAMES_AT_ONCE)
    return control


def _parts(pipe: Any) -> dict[str, Any]:
    names = ("vae", "text_encoder", "tokenizer", "unet", "motion_adapter", "scheduler")
    return {name: getattr(pipe, name) for name in names}
