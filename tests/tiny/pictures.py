"""Tiny picture models with random weights, in the layout of the real ones, so that the real loaders load them.

    tiny_models(folder)              # folder/diffusers/flux1-dev, sdxl-base-1.0, sd15

The same seed gives the same weights, so that digests can be compared. Words are read letter by letter by CLIP, and
word by word by T5 as far as the poster's template has them.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from callsheet.base_models import base_model
from callsheet.prompts import POSTER_TEMPLATE
from callsheet.weights import weights

FAMILIES = ("flux-dev", "sdxl", "sd15")


def tiny_models(folder: Path, names: tuple[str, ...] = FAMILIES) -> Path:
    """The models' folder, with those weights of weights.CATALOGUE in it."""
    makers = {"flux-dev": tiny_flux, "sdxl": tiny_sdxl, "sd15": tiny_sd15}
    for name in names:
        makers[name](folder / weights(name).folder)
    return folder


def tiny_flux(folder: Path) -> Path:
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    torch.manual_seed(1)
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=[4, 4, 8], guidance_embeds=True,
    )
    pipe = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True), vae=_vae(0.3611, 0.1159),
        text_encoder=_clip(32), tokenizer=_letters(), text_encoder_2=_t5(32), tokenizer_2=_words(),
        transformer=transformer,
    )
    return _saved(pipe.to(torch.bfloat16), folder)


def tiny_sdxl(folder: Path) -> Path:
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    torch.manual_seed(2)
    unet = UNet2DConditionModel(
        **_UNET, attention_head_dim=(2, 4), cross_attention_dim=64, use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=8, transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=6 * 8 + 32,
    )
    pipe = StableDiffusionXLPipeline(
        scheduler=EulerDiscreteScheduler(**_BETAS, timestep_spacing="leading", steps_offset=1), vae=_vae(0.13025),
        text_encoder=_clip(32), tokenizer=_letters(), text_encoder_2=_clip(32, projected=True),
        tokenizer_2=_letters("!"), unet=unet, add_watermarker=False,
    )
    return _saved(pipe.to(torch.float16), folder, variant="fp16")


def tiny_sd15(folder: Path) -> Path:
    """Its index names a safety checker and a feature extractor, as the real one does."""
    import torch
    from diffusers import PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    torch.manual_seed(3)
    unet = UNet2DConditionModel(**_UNET, attention_head_dim=2, cross_attention_dim=32)
    pipe = StableDiffusionPipeline(
        scheduler=PNDMScheduler(**_BETAS, skip_prk_steps=True, steps_offset=1), vae=_vae(0.18215),
        text_encoder=_clip(32), tokenizer=_letters(), unet=unet, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )
    _saved(pipe.to(torch.float16), folder, variant="fp16")
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
              "feature_extractor": ["transformers", "CLIPImageProcessor"], "requires_safety_checker": True}
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "feature_extractor").mkdir()
    (folder / "feature_extractor" / "preprocessor_config.json").write_text('{"crop_size": 224, "size": 224}')
    return folder


_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_UNET: dict[str, Any] = {
    "block_out_channels": (8, 16), "layers_per_block": 1, "sample_size": 32, "in_channels": 4, "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "norm_num_groups": 2,
}


def _saved(pipe: Any, folder: Path, **how: str) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe.save_pretrained(str(folder), safe_serialization=True, **how)
    return folder


def _vae(scale: float, shift: float | None = None) -> Any:
    """Shrinks eight times, like the real ones."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(4, 4, 8, 8), layers_per_block=1,
        norm_num_groups=2, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        scaling_factor=scale, shift_factor=shift, mid_block_add_attention=False, sample_size=64,
    )


def _clip(width: int, projected: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(_letters()), hidden_size=width, intermediate_size=32, projection_dim=width, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=77, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )
    return CLIPTextModelWithProjection(config) if projected else CLIPTextModel(config)


def _letters(pad: str = "<|endoftext|>") -> Any:
    """CLIP's tokenizer with single letters."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    names = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    return CLIPTokenizer(
        vocab={name: n for n, name in enumerate(names)}, merges=[], model_max_length=77, pad_token=pad,
        unk_token="<|endoftext|>", bos_token="<|startoftext|>", eos_token="<|endoftext|>",
    )


def _t5(width: int) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(T5Config(
        vocab_size=len(_words()), d_model=width, d_kv=16, d_ff=32, num_layers=1, num_heads=2,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    ))


def _words() -> Any:
    """T5's tokenizer with the words of the poster's template, and letters for all others."""
    from transformers import T5Tokenizer

    words = sorted({f"▁{word}" for word in POSTER_TEMPLATE.split()})
    letters = [chr(code) for code in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -4.0)]
    pieces += [(letter, -6.0) for letter in letters] + [(word, -1.0) for word in words]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)


def folder_of(models: Path, model: str) -> Path:
    """Where the first weights of a base model lie."""
    return models / weights(base_model(model).weights[0]).folder
