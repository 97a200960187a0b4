"""Tiny clip models with random weights, in the layout of the real ones, so that the real loaders load them.

    tiny_wan_5b(models / "diffusers/wan2.2-ti2v-5b")
    tiny_wan_14b(models / "diffusers/wan2.2-i2v-a14b")
    tiny_motion(models / "diffusers/animatediff-sdxl-beta", unet=models / "diffusers/sdxl-base-1.0/unet")
    wan_lora(folder / "ava.safetensors", seed=1)

A LoRA is known as Wan's by a width of 1536 or more: a Wan model of WIDTH loads it, a narrow one is quicker.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from tests.tiny.loras import lora

WORDS = ("a", "man", "woman", "on", "the", "left", "right", "happy", "dark", "red", "forest", "walks", "and", "clip")
"""What the text encoder knows; all other words are one and the same to it."""
WIDTH = 1536


def tiny_wan_5b(folder: Path, width: int = 24) -> Path:
    """TI2V: one transformer, timesteps a token, a VAE that shrinks 16 times. Saved as the real one is, for words."""
    import torch
    from diffusers import AutoencoderKLWan, WanPipeline

    torch.manual_seed(5)
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=16, in_channels=12, out_channels=12, is_residual=True, patch_size=2, dim_mult=[1, 1, 1, 1],
        num_res_blocks=1, temperal_downsample=[False, True, True], scale_factor_spatial=16, scale_factor_temporal=4,
        latents_mean=[0.0] * 16, latents_std=[1.0] * 16,
    )
    parts = _wan_parts()
    pipe = WanPipeline(
        **parts, vae=vae, transformer=_wan_transformer(16, 16, width), expand_timesteps=True, boundary_ratio=None
    )
    return _saved(pipe, folder)


def tiny_wan_14b(folder: Path, width: int = 24) -> Path:
    """I2V: two experts that see the pictures beside the noise, a VAE that shrinks 8 times."""
    import torch
    from diffusers import AutoencoderKLWan, WanImageToVideoPipeline

    torch.manual_seed(14)
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    experts = [_wan_transformer(16 + 16 + 4, 16, width) for _ in range(2)]
    pipe = WanImageToVideoPipeline(
        **_wan_parts(), vae=vae, transformer=experts[0], transformer_2=experts[1], boundary_ratio=0.9
    )
    return _saved(pipe, folder)


def wan_lora(path: Path, seed: int, width: int = WIDTH, rank: int = 4, strength: float = 1.0) -> Path:
    """For a tiny Wan of that width, in diffusers' names."""
    layers = {f"transformer.blocks.0.attn{n}.to_{part}": (width, width) for n in (1, 2) for part in ("q", "k", "v")}
    return lora(path, layers, "wan", seed, rank, strength)


def tiny_motion(folder: Path, unet: Path, frames: int = 32) -> Path:
    """A motion adapter for the UNet of a tiny pipeline, made for clips of up to `frames`."""
    import torch
    from diffusers import MotionAdapter

    config = json.loads((unet / "config.json").read_text())
    torch.manual_seed(3)
    adapter = MotionAdapter(
        block_out_channels=tuple(config["block_out_channels"]), motion_layers_per_block=config["layers_per_block"],
        motion_norm_num_groups=config["norm_num_groups"], motion_num_attention_heads=2, motion_max_seq_length=frames,
        use_motion_mid_block=False,
    )
    for name, weight in adapter.named_parameters():
        if "proj_out" in name:                        # new ones are nought: frames would not know of each other
            torch.nn.init.normal_(weight, std=0.3)
    adapter.save_pretrained(folder)
    return folder


def tiny_control(folder: Path, unet: Path) -> Path:
    """A ControlNet for the UNet of a tiny pipeline."""
    import torch
    from diffusers import ControlNetModel, UNet2DConditionModel

    torch.manual_seed(4)
    base = UNet2DConditionModel.from_pretrained(unet, **_variant(unet))
    control = ControlNetModel.from_unet(base, conditioning_embedding_out_channels=(8, 8, 8, 8))
    for name, weight in control.named_parameters():
        if "controlnet_" in name or "cond_embedding.conv_out" in name:
            torch.nn.init.normal_(weight, std=0.1)    # as above
    control.save_pretrained(folder)
    return folder


def _variant(folder: Path) -> dict[str, Any]:
    return {"variant": "fp16"} if any(folder.glob("*.fp16.safetensors")) else {}


def _wan_transformer(inputs: int, outputs: int, width: int) -> Any:
    import torch
    from diffusers import WanTransformer3DModel

    heads = max(width // 128, 2)
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=heads, attention_head_dim=width // heads, in_channels=inputs,
        out_channels=outputs, text_dim=32, freq_dim=32, ffn_dim=48, num_layers=1, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=64,
    )
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if name.startswith("proj_out"):
                weight.mul_(20)                       # else the noise that goes in drowns what the model says
    return transformer


def _wan_parts() -> dict[str, Any]:
    from diffusers import UniPCMultistepScheduler
    from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"▁{word}", -1.0) for word in WORDS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0)
        encoder = UMT5EncoderModel(UMT5Config(
            vocab_size=len(vocabulary), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        ))
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0)
    return {"tokenizer": tokenizer, "text_encoder": encoder, "scheduler": scheduler}


def _saved(pipe: Any, folder: Path) -> Path:
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder
