"""Write the example LoRAs: tiny, but with the true layer names and widths of FLUX.1, so that every check meets them.

    python manifests/examples/make_loras.py [FOLDER]

They were not trained: their numbers are small noise from a seed, and a picture made with them shows no real
person. Every run, on every machine, writes the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save

RANK = 2
WIDTH = 3072
"""FLUX.1's inner width."""

FOLDER = Path(__file__).parent / "loras"

PEFT = {
    "transformer.transformer_blocks.0.attn.to_q": (WIDTH, WIDTH),
    "transformer.single_transformer_blocks.0.attn.to_q": (WIDTH, WIDTH),
    "transformer.single_transformer_blocks.0.attn.to_k": (WIDTH, WIDTH),
    "transformer.single_transformer_blocks.0.attn.to_v": (WIDTH, WIDTH),
}
"""Layer, as diffusers and peft name it -> width in, width out."""

KOHYA = {
    "lora_unet_double_blocks_0_img_attn_proj": (WIDTH, WIDTH),
    "lora_unet_double_blocks_0_txt_attn_proj": (WIDTH, WIDTH),
    "lora_unet_double_blocks_0_img_attn_qkv": (WIDTH, 3 * WIDTH),
}
"""Layer, as sd-scripts names it -> width in, width out."""

Arrays = dict[str, np.ndarray]


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in examples().items():
        (folder / name).write_bytes(content)
        print(f"{folder / name}: {len(content)} bytes")


def examples() -> dict[str, bytes]:
    """File name -> its bytes."""
    return {
        "0000_european_16_male.safetensors": peft("0000_european_16_male"),
        "0001_european_20_female.safetensors": peft("0001_european_20_female"),
        "0002_european_35_female.safetensors": kohya("0002_european_35_female"),
        "SBai_style_101.safetensors": peft("SBai_style_101"),
    }


def peft(name: str) -> bytes:
    arrays: Arrays = {}
    for layer, (width, out) in PEFT.items():
        arrays[f"{layer}.lora_A.weight"] = noise(f"{name}/{layer}/A", (RANK, width))
        arrays[f"{layer}.lora_B.weight"] = noise(f"{name}/{layer}/B", (out, RANK))
    return reproducible(save(arrays, metadata={"format": "pt"}))


def kohya(name: str) -> bytes:
    arrays: Arrays = {}
    for layer, (width, out) in KOHYA.items():
        arrays[f"{layer}.lora_down.weight"] = noise(f"{name}/{layer}/down", (RANK, width))
        arrays[f"{layer}.lora_up.weight"] = noise(f"{name}/{layer}/up", (out, RANK))
        arrays[f"{layer}.alpha"] = np.array(RANK, dtype=np.float16)
    metadata = {
        "ss_base_model_version": "flux1",
        "ss_network_module": "networks.lora_flux",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(RANK),
        "ss_output_name": name,
        "modelspec.architecture": "flux-1-dev/lora",
    }
    return reproducible(save(arrays, metadata=metadata))


def noise(seed: str, shape: tuple[int, int]) -> np.ndarray:
    """Numbers between -1/128 and 1/128, exact in half precision. From a hash: it never changes with a library."""
    raw = hashlib.shake_256(seed.encode()).digest(shape[0] * shape[1])
    return (np.frombuffer(raw, dtype=np.int8).astype(np.float16) / np.float16(16384)).reshape(shape)


def reproducible(content: bytes) -> bytes:
    """The same file with its metadata in alphabetical order: the library writes it in another one each time."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8:8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode().ljust(length)
    assert len(text) == length, "the header must keep its length, for the tensors follow it"
    return content[:8] + text + content[8 + length:]


if __name__ == "__main__":
    main()
