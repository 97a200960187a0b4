"""The scale that a LoRA's file gives each of its layers: alpha by rank.

    with_own_scales(path, target)     True: `target` is the same LoRA, its scales multiplied into its weights

For files of the SD families whose layers differ, as those of a LoRA that was made smaller do: the library would give
all layers the scale that most have.
"""

from __future__ import annotations

from pathlib import Path

_ALPHA, _DOWN, _UP = ".alpha", ".lora_down.weight", ".lora_up.weight"


def with_own_scales(path: Path, target: Path) -> bool:
    """Write `target` where it is needed; False where all layers of `path` have one alpha, or none."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(str(path), framework="pt") as file:
        names = list(file.keys())
        alphas = {name.removesuffix(_ALPHA): float(file.get_tensor(name)) for name in names if name.endswith(_ALPHA)}
        if len(set(alphas.values())) < 2:
            return False
        tensors = {name: file.get_tensor(name) for name in names if not name.endswith(_ALPHA)}
        metadata = file.metadata()
    for layer, alpha in alphas.items():
        down, up = tensors.get(layer + _DOWN), tensors.get(layer + _UP)
        if down is not None and up is not None:
            tensors[layer + _UP] = (up.float() * (alpha / down.shape[0])).contiguous()
    save_file(tensors, str(target), metadata=metadata)
    return True
