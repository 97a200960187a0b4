"""A pipeline on its device: whole, with its large networks in eight bits, or with its parts brought there in turn.

    hold(pipe, Held.CASTED, "cuda", torch.bfloat16)

Which way it is held is decided in memory.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callsheet.engines.diffusers.memory import Held

if TYPE_CHECKING:
    import torch

NETWORKS = ("transformer", "transformer_2", "unet")
"""Parts of pipelines that LoRAs change and that work at every step."""
ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")


def hold(pipe: Any, held: Held, device: str, dtype: torch.dtype, stored: torch.dtype | None = None) -> None:
    """Bring a pipeline that is on the processor to the device in that way. `stored`: precision of casted weights."""
    import torch

    if held is Held.CASTED:
        cast_weights(pipe, dtype, stored or torch.float8_e4m3fn)
    if held is Held.GROUP_OFFLOAD:
        pipe.enable_group_offload(
            onload_device=torch.device(device), offload_device=torch.device("cpu"), offload_type="leaf_level",
            use_stream=device.startswith("cuda"), low_cpu_mem_usage=True,
        )
        return
    pipe.to(device)


_AS_THEY_ARE = ("norm", "embed", "shared", r"\.wo$")
"""Parts of text encoders that stay in their own precision; T5 brings what goes into `wo` to that layer's precision."""


def networks(pipe: Any) -> dict[str, Any]:
    """The pipeline's parts that LoRAs change."""
    return {name: part for name in NETWORKS if (part := getattr(pipe, name, None)) is not None}


def widen(pipe: Any, dtype: torch.dtype) -> None:
    """LoRA layers take after the layers beside them: where those are stored in fewer bits, bring them back."""
    for network in networks(pipe).values():
        for name, parameter in network.named_parameters():
            if ".lora_" in name:
                parameter.data = parameter.data.to(dtype)


def cast_weights(pipe: Any, dtype: torch.dtype, stored: torch.dtype) -> None:
    """Keep the large networks' weights in fewer bits; each layer is cast while it works."""
    from diffusers.hooks import apply_layerwise_casting

    for name in (*NETWORKS, *ENCODERS):
        part = getattr(pipe, name, None)
        if part is None:
            continue
        if hasattr(part, "enable_layerwise_casting"):
            part.enable_layerwise_casting(storage_dtype=stored, compute_dtype=dtype)
        else:
            apply_layerwise_casting(
                part, storage_dtype=stored, compute_dtype=dtype, skip_modules_pattern=_AS_THEY_ARE,
            )
