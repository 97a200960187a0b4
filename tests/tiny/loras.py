"""Tiny LoRA files whose headers say what they were trained for, and whose layers the tiny models have.

    flux_lora(folder / "ava.safetensors", seed=1)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SAID = {"sdxl": "sdxl_base_v1-0", "sd15": "sd_1.5", "wan": "wan2.2", "flux": "flux1"}
"""What a trainer writes into the metadata; decides where a tiny model's widths are nobody's."""

FLUX_LAYERS: Mapping[str, tuple[int, int]] = {
    f"transformer.{block}.{name}": (32, 32)
    for block, names in (
        ("transformer_blocks.0", ("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0")),
        ("single_transformer_blocks.0", ("attn.to_q", "attn.to_k", "attn.to_v")),
    )
    for name in names
}
"""Layer -> its input and output width, in the tiny FLUX."""

UNET_LAYERS: Mapping[str, tuple[int, int]] = {
    f"unet.{block}.attentions.{n}.transformer_blocks.0.attn1.{name}": (16, 16)
    for block, count in (("down_blocks.1", 1), ("up_blocks.0", 2))
    for n in range(count)
    for name in ("to_q", "to_k", "to_v", "to_out.0")
}
"""In the tiny SDXL and SD 1.5."""


def flux_lora(path: Path, seed: int, rank: int = 4, strength: float = 1.0, layers: int | None = None) -> Path:
    """In peft's names. `layers` takes only the first of them."""
    return lora(path, FLUX_LAYERS, "flux", seed, rank, strength, layers)


def sdxl_lora(path: Path, seed: int, rank: int = 4, strength: float = 1.0, layers: int | None = None) -> Path:
    return lora(path, UNET_LAYERS, "sdxl", seed, rank, strength, layers)


def sd15_lora(path: Path, seed: int, rank: int = 4, strength: float = 1.0, layers: int | None = None) -> Path:
    return lora(path, UNET_LAYERS, "sd15", seed, rank, strength, layers)


def lora(
    path: Path, layers: Mapping[str, tuple[int, int]], family: str, seed: int, rank: int = 4, strength: float = 1.0,
    first: int | None = None,
) -> Path:
    """A LoRA of random numbers, `strength` times as large as the tiny models' own weights."""
    import torch
    from safetensors.torch import save_file

    dice = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, (wide, out) in list(layers.items())[:first]:
        tensors[f"{name}.lora_A.weight"] = torch.randn(rank, wide, generator=dice) * strength
        tensors[f"{name}.lora_B.weight"] = torch.randn(out, rank, generator=dice) * strength
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path), metadata={"format": "pt", "ss_base_model_version": SAID[family]})
    return path
