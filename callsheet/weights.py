"""Model weights that the engines load: what each is, under which licence, how large, and where it lies on a volume.

    weights("wan-5b").folder     below <volume>/models

Values only: fetching them is weights_fetch.py's matter. The layout is that of ComfyUI's workers where those read the
same file (checkpoints/, upscale_models/), and one folder a pipeline for diffusers. Files of a hub are checked against
the digest that the hub tells; others are pinned here. Nothing of this is needed for the engines that draw.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from callsheet.errors import InputError
from callsheet.units import Frozen, Sha256

GATED = "gated: accept its licence on the hub's page first"
PICKLE = "a .pth file: it is loaded with weights_only=True, never otherwise"


class Pinned(Frozen):
    """A file that no hub tells a digest of."""

    url: str
    sha256: Sha256
    size: int
    """Bytes."""

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


class Weights(Frozen):
    """One set of files that an engine loads."""

    name: str
    what: str
    licence: str
    folder: str
    """Below the models' folder."""
    gb: float = Field(gt=0)
    """About, in 10^9 bytes; the hub tells the exact size before anything is fetched."""
    repo: str = ""
    """Of the hub; empty where all files are pinned."""
    revision: str = "main"
    files: tuple[str, ...] = ()
    """Paths in the repository; * stands for anything. Each must be there."""
    pinned: tuple[Pinned, ...] = ()
    note: str = ""


_FP16 = ("diffusion_pytorch_model.fp16.safetensors", "model.fp16.safetensors")


def _pipeline(*parts: str) -> tuple[str, ...]:
    """All of a diffusers pipeline's folders."""
    return ("model_index.json", *(f"{part}/*" for part in parts))


def _half(networks: Iterable[str], encoders: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """A diffusers pipeline in half precision, of a repository that also has it whole."""
    return (
        "model_index.json", *(f"{part}/*" for part in others),
        *(f"{part}/{file}" for part in networks for file in ("config.json", _FP16[0])),
        *(f"{part}/{file}" for part in encoders for file in ("config.json", _FP16[1])),
    )


CATALOGUE: tuple[Weights, ...] = (
    Weights(
        name="flux-dev", what="posters: FLUX.1 [dev], bf16", licence="FLUX.1 [dev] non-commercial", gb=34,
        repo="black-forest-labs/FLUX.1-dev", folder="diffusers/flux1-dev", note=GATED,
        files=_pipeline("scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "transformer",
                        "vae"),
    ),
    Weights(
        name="flux-dev-fp8", what="posters on ComfyUI: FLUX.1 [dev] in one fp8 file",
        licence="FLUX.1 [dev] non-commercial", gb=17.3, repo="Comfy-Org/flux1-dev", folder="checkpoints",
        files=("flux1-dev-fp8.safetensors",),
    ),
    Weights(
        name="sdxl", what="clips of SDXL LoRAs: Stable Diffusion XL base 1.0, fp16", licence="CreativeML OpenRAIL++-M",
        gb=7, repo="stabilityai/stable-diffusion-xl-base-1.0", folder="diffusers/sdxl-base-1.0",
        files=_half(("unet", "vae"), ("text_encoder", "text_encoder_2"), ("scheduler", "tokenizer", "tokenizer_2")),
    ),
    Weights(
        name="motion-sdxl", what="AnimateDiff motion adapter for SDXL, beta", licence="Apache-2.0", gb=1,
        repo="guoyww/animatediff-motion-adapter-sdxl-beta", folder="diffusers/animatediff-sdxl-beta",
        files=("config.json", "diffusion_pytorch_model.safetensors"),
    ),
    Weights(
        name="sd15", what="clips of SD 1.5 LoRAs: Stable Diffusion 1.5, fp16", licence="CreativeML OpenRAIL-M", gb=2.8,
        repo="stable-diffusion-v1-5/stable-diffusion-v1-5", folder="diffusers/sd15",
        files=_half(("unet", "vae"), ("text_encoder",), ("scheduler", "tokenizer", "feature_extractor")),
        note="its safety checker is not fetched: load it with safety_checker=None",
    ),
    Weights(
        name="motion-sd15", what="AnimateDiff motion adapter for SD 1.5, v1-5-2", licence="Apache-2.0", gb=1.8,
        repo="guoyww/animatediff-motion-adapter-v1-5-2", folder="diffusers/animatediff-v1-5-2",
        files=("config.json", "diffusion_pytorch_model.safetensors"),
    ),
    Weights(
        name="control-sd15", what="clips of SD 1.5 LoRAs that follow poses: ControlNet 1.1 openpose",
        licence="CreativeML OpenRAIL-M", gb=0.73, repo="lllyasviel/control_v11p_sd15_openpose",
        folder="diffusers/control-sd15-openpose", files=("config.json", "diffusion_pytorch_model.fp16.safetensors"),
    ),
    Weights(
        name="wan-5b", what="segments: Wan 2.2 TI2V 5B", licence="Apache-2.0", gb=23,
        repo="Wan-AI/Wan2.2-TI2V-5B-Diffusers", folder="diffusers/wan2.2-ti2v-5b",
        files=_pipeline("scheduler", "text_encoder", "tokenizer", "transformer", "vae"),
    ),
    Weights(
        name="wan-14b", what="segments of the premium tier: Wan 2.2 I2V A14B", licence="Apache-2.0", gb=69,
        repo="Wan-AI/Wan2.2-I2V-A14B-Diffusers", folder="diffusers/wan2.2-i2v-a14b",
        files=_pipeline("scheduler", "text_encoder", "tokenizer", "transformer", "transformer_2", "vae"),
    ),
    Weights(
        name="dia", what="speech: Dia 1.6B", licence="Apache-2.0", gb=6.5, repo="nari-labs/Dia-1.6B-0626",
        folder="speech/dia-1.6b", files=("*.json", "*.safetensors"),
    ),
    Weights(
        name="dac", what="speech: the codec that Dia speaks through, 44.1 kHz", licence="MIT", gb=0.31,
        repo="descript/dac_44khz", folder="speech/dac-44khz", files=("config.json", "model.safetensors"),
    ),
    Weights(
        name="musetalk", what="lip-sync: MuseTalk 1.5", licence="MIT", gb=3.4, repo="TMElyralab/MuseTalk",
        folder="lipsync/musetalk-1.5", files=("musetalkV15/musetalk.json", "musetalkV15/unet.pth"), note=PICKLE,
    ),
    Weights(
        name="musetalk-vae", what="lip-sync: the autoencoder that MuseTalk paints with", licence="MIT", gb=0.4,
        repo="stabilityai/sd-vae-ft-mse", folder="lipsync/sd-vae-ft-mse",
        files=("config.json", "diffusion_pytorch_model.safetensors"),
    ),
    Weights(
        name="musetalk-ears", what="lip-sync: Whisper tiny, which MuseTalk hears with", licence="Apache-2.0", gb=0.2,
        repo="openai/whisper-tiny", folder="lipsync/whisper-tiny",
        files=("config.json", "model.safetensors", "preprocessor_config.json"),
    ),
    Weights(
        name="latentsync", what="lip-sync: LatentSync 1.6, 512 px", licence="OpenRAIL++ (its code: Apache-2.0)", gb=5.2,
        repo="ByteDance/LatentSync-1.6", folder="lipsync/latentsync-1.6",
        files=("latentsync_unet.pt", "whisper/tiny.pt"), note=PICKLE,
    ),
    Weights(
        name="gfpgan", what="faces: GFPGAN 1.4", licence="Apache-2.0", gb=0.35, folder="facerestore_models",
        note=PICKLE,
        pinned=(Pinned(
            url="https://github.com/TencentARC/GFPGAN/releases/download/v1.3.0/GFPGANv1.4.pth", size=348632874,
            sha256="e2cd4703ab14f4d01fd1383a8a8b266f9a5833dacee8e6a79d3bf21a1b6be5ad",
        ),),
    ),
    Weights(
        name="realesrgan", what="upscaling: Real-ESRGAN x4plus", licence="BSD-3-Clause", gb=0.07,
        folder="upscale_models", note=PICKLE,
        pinned=(Pinned(
            url="https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/RealESRGAN_x4plus.pth", size=67040989,
            sha256="4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        ),),
    ),
)


def weights(name: str) -> Weights:
    """Of that name. Raises InputError with the names there are."""
    for each in CATALOGUE:
        if each.name == name.strip().lower():
            return each
    raise InputError(detail=f"there are no weights {name!r}",
                     remedy=f"choose of {', '.join(each.name for each in CATALOGUE)}")
