"""Tiny random networks for faces, in the real files' formats and places (callsheet/weights.py)."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from callsheet.faces.spandrel_models import spandrel_module
from callsheet.settings import Settings
from callsheet.weights import weights


def need_models(*modules: str) -> None:
    """Skip the test where the extra is not installed."""
    for module in ("torch", "spandrel", *modules):
        if find_spec(module) is None:
            pytest.skip(f"{module}, of the extra `models`, is not installed")


def one_thread() -> None:
    """Tiny networks take longer on many cores, and much longer where tests share them."""
    import torch

    torch.set_num_threads(1)


def settings_for(models: Path, **more: str) -> Settings:
    """As configured for a machine with these models and no GPU."""
    return Settings.load({"CALLSHEET_MODELS": str(models), "CALLSHEET_DEVICE": "cpu", **more})


def place(models: Path, name: str, file: str = "") -> Path:
    """Where a file of the catalogue lies, its folder made."""
    wanted = weights(name)
    path = models / wanted.folder / (file or (wanted.files or (wanted.pinned[0].name,))[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_upscaler(models: Path, scale: int = 4, seed: int = 1) -> Path:
    """A Compact network that enlarges nearly as its nearest neighbours would."""
    import torch

    spandrel_module()
    from spandrel.architectures.Compact import Compact

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Compact(num_in_ch=3, num_out_ch=3, num_feat=4, num_conv=1, upscale=scale)
    state = {key: value * 0.1 for key, value in net.state_dict().items()}
    path = place(models, "realesrgan")
    torch.save({"params_ema": state}, path)
    return path


def write_gfpgan(models: Path, seed: int = 1) -> Path:
    """GFPGAN v1-clean in its only size (86 million numbers, random)."""
    import torch

    spandrel_module()
    from spandrel.architectures.GFPGAN import GFPGAN

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = GFPGAN(
            out_size=512, num_style_feat=512, channel_multiplier=2, decoder_load_path=None, fix_decoder=False,
            num_mlp=8, input_is_latent=True, different_w=True, narrow=1, sft_half=True,
        )
    path = place(models, "gfpgan")
    torch.save({"params_ema": net.state_dict()}, path)
    return path


def write_musetalk(models: Path, seed: int = 1) -> None:
    """A U-Net from 8 channels to 4, an autoencoder and a Whisper, all with few and small layers."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=32, in_channels=8, out_channels=4, layers_per_block=1, block_out_channels=(4, 8),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16, attention_head_dim=4, norm_num_groups=4,
        )
        vae = AutoencoderKL(block_out_channels=(2, 2, 4, 4), latent_channels=4, norm_num_groups=2, **blocks)
        ears = WhisperModel(WhisperConfig(
            d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=16, decoder_ffn_dim=16, vocab_size=32, pad_token_id=0, bos_token_id=1, eos_token_id=2,
            decoder_start_token_id=1, max_target_positions=8,
        ))
    config, state = (place(models, "musetalk", f"musetalkV15/{name}") for name in ("musetalk.json", "unet.pth"))
    config.write_text(unet.to_json_string())
    torch.save(unet.state_dict(), state)
    vae.save_pretrained(place(models, "musetalk-vae").parent)
    folder = place(models, "musetalk-ears").parent
    ears.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)


def write_latentsync(models: Path, checkout: Path, gpu: bool = True) -> Path:
    """A checkout whose program draws, with an environment of its own that sees a GPU or does not."""
    for file in ("latentsync_unet.pt", "whisper/tiny.pt"):
        place(models, "latentsync", file).touch()
    for file in ("configs/unet/stage2_512.yaml", "checkpoints/whisper/tiny.pt", "scripts/__init__.py"):
        (checkout / file).parent.mkdir(parents=True, exist_ok=True)
        (checkout / file).touch()
    shutil.copy(Path(__file__).with_name("latentsync_inference.py"), checkout / "scripts" / "inference.py")
    (checkout / "torch.py").write_text(f"class cuda:\n    is_available = staticmethod(lambda: {gpu})\n")
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return checkout
