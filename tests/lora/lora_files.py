"""Hand-made safetensors files: the tests need no library that could hide what is in them."""

from __future__ import annotations

import json
from math import prod
from typing import Any

BYTES = {"F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "F16": 2, "BF16": 2, "F32": 4, "F64": 8}

Shapes = dict[str, tuple[int, ...]]


def pair(layer: str, width: int, out: int, rank: int = 2, style: str = "peft", alpha: bool = False) -> Shapes:
    """The two matrices of one layer, named as `style` names them."""
    down, up = {
        "peft": (".lora_A.weight", ".lora_B.weight"),
        "kohya": (".lora_down.weight", ".lora_up.weight"),
        "diffusers": ("_lora.down.weight", "_lora.up.weight"),
    }[style]
    shapes: Shapes = {layer + down: (rank, width), layer + up: (out, rank)}
    return {**shapes, layer + ".alpha": ()} if alpha else shapes


def header_of(shapes: Shapes, metadata: dict[str, str] | None = None, dtype: str = "F16") -> dict[str, Any]:
    """A true header for tensors of these shapes, laid out in their order."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    start = 0
    for name, shape in shapes.items():
        end = start + prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
        start = end
    return header


def packed(header: dict[str, Any] | bytes, data: bytes | None = None) -> bytes:
    """Length, header, data; without `data`, as many zeros as the header speaks of."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    if data is None:
        assert isinstance(header, dict)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        data = bytes(max(ends, default=0))
    return len(text).to_bytes(8, "little") + text + data


def lora(shapes: Shapes, metadata: dict[str, str] | None = None, dtype: str = "F16") -> bytes:
    return packed(header_of(shapes, metadata, dtype))


FLUX_LAYER = "transformer.single_transformer_blocks.0.attn.to_q"
FLUX = pair(FLUX_LAYER, 3072, 3072)
