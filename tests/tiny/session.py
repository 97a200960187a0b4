"""Tiny models and LoRA files, built once for all tests of a process.

    models()                     a models' folder: CALLSHEET_MODELS of a test
    lora_file("flux", 1)         a file; the same number gives the same bytes
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from callsheet.weights import weights
from tests.tiny.clips import tiny_motion, tiny_wan_5b
from tests.tiny.loras import flux_lora, sd15_lora, sdxl_lora
from tests.tiny.pictures import tiny_models

_LORAS = {"flux": flux_lora, "sdxl": sdxl_lora, "sd15": sd15_lora}


@cache
def folder() -> Path:
    """Removed when the process ends. Nobody writes into it but the builders."""
    made = Path(tempfile.mkdtemp(prefix="callsheet-tiny-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@cache
def models() -> Path:
    """FLUX, SDXL and SD 1.5, both motion adapters, and Wan 5B."""
    import torch

    torch.set_num_threads(1)                              # more of them only wait for each other on such small work
    place = tiny_models(folder() / "models")
    for name, base, frames in (("motion-sdxl", "sdxl", 32), ("motion-sd15", "sd15", 32)):
        tiny_motion(place / weights(name).folder, unet=place / weights(base).folder / "unet", frames=frames)
    tiny_wan_5b(place / weights("wan-5b").folder)
    return place


@cache
def lora_file(family: str, seed: int, rank: int = 4) -> Path:
    """A LoRA of the family, as loud as it must be to be seen."""
    return _LORAS[family](folder() / "loras" / f"{family}_{seed}_{rank}.safetensors", seed, rank)
