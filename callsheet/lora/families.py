"""Which base model a LoRA was trained for, told from the names and widths of its layers.

Key names decide; where they leave more than one family open, the trainer's metadata does. Covers the
layouts of peft and diffusers, kohya's sd-scripts, XLabs and the original FLUX and Wan code. What it cannot
tell, or knows to be another model, it refuses: a LoRA of the wrong family is silently ignored when loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from callsheet.errors import LoraFamilyUnknown, LoraUnreadable
from callsheet.lora.header import Tensor, shown
from callsheet.models import Family

Style = Literal["peft", "kohya", "diffusers"]
"""How the two matrices of a layer are named: lora_A/lora_B, lora_down/lora_up, or lora.down/lora.up."""

_MATRIX = re.compile(
    r"^(?P<layer>.+?)(?:"
    r"\.lora_(?P<peft>[AB])(?:\.[\w-]+)?\.weight"
    r"|\.lora_(?P<kohya>down|up)\.weight"
    r"|[._]lora(?P<stream>[12]?)(?:_linear_layer)?\.(?P<diffusers>down|up)\.weight"
    r"|\.(?P<lycoris>(?:hada|lokr)_[wt][0-9]?(?:_[ab])?)"
    r")$"
)

_FLUX = re.compile(r"(?:^|[._])(?P<kind>single_transformer_blocks|single_blocks|double_blocks)[._](?P<n>[0-9]+)[._]")
_NOT_FLUX1 = re.compile(
    r"img_mod[._]linear|modulation[._]linear|(?:img|txt)_mlp[._]fc[12]|token_refiner"      # HunyuanVideo
    r"|to_qkv_mlp_proj|stream_modulation|joint_transformer_blocks|distilled_guidance"      # FLUX.2, AuraFlow, Chroma
)
_FLUX_FROM_MODEL = re.compile(r"(?:(?:attn|processor)[._](?:to_[qkv]|add_[qkv]_proj|qkv)[12]?|linear1)$")
_FLUX_WIDTH = 3072
_FLUX_BLOCKS = {"double_blocks": 19, "single_blocks": 38, "single_transformer_blocks": 38}

_UNET = re.compile(r"(?:^|[._])(?:(?:down|up|input|output)_blocks|mid_block|middle_block)[._]")
_FROM_TEXT = re.compile(r"attn2[._](?:processor[._])?to_[kv]$")
_SECOND_CLIP = re.compile(r"^(?:lora_te2_|text_encoder_2\.)text_model")
_TEXT_WIDTHS = {768: Family.SD15, 2048: Family.SDXL}

_WAN = re.compile(
    r"(?:^|\.|^lora_unet_|^lycoris_)blocks[._][0-9]+[._]"
    r"(?:(?:self|cross)_attn[._][qkvo]|attn[12][._]to_(?:q|k|v|out[._]0))$"
)
_WAN_WIDTHS = (1536, 3072, 5120)

_SAID = ("ss_base_model_version", "modelspec.architecture")
_WORDS: Mapping[Family, re.Pattern[str]] = {
    Family.FLUX: re.compile(r"flux[._-]?1"),
    Family.SDXL: re.compile(r"sdxl|stable-diffusion-xl"),
    Family.SD15: re.compile(r"sd[._-]?v?1(?:[._-]|$)|sd15|stable-diffusion-v1"),
    Family.WAN: re.compile(r"wan(?![a-z])"),
}


@dataclass(frozen=True)
class Layer:
    """One adapted layer of the base model."""

    name: str
    style: Style
    down: tuple[int, ...] | None = None
    """Shape of the first matrix: rank, input width, then a convolution's kernel; None for other factorings."""
    up: tuple[int, ...] | None = None
    """Shape of the second matrix: output width, rank, then a convolution's kernel."""


def layers_of(tensors: Iterable[Tensor], path: str) -> tuple[Layer, ...]:
    """Pair the matrices of each adapted layer. LyCORIS layers count, with unknown shapes.

    Raises LoraUnreadable when a matrix has no partner or the ranks of the two differ.
    """
    halves: dict[str, dict[str, tuple[int, ...]]] = {}
    styles: dict[str, Style] = {}
    for tensor in tensors:
        match = _MATRIX.match(tensor.name)
        if match is None:
            continue
        name = match["layer"] + (match["stream"] or "")
        which = match["peft"] or match["kohya"] or match["diffusers"]
        half = {"A": "down", "B": "up"}.get(which or "", which or "other")
        halves.setdefault(name, {})[half] = tensor.shape
        styles[name] = "peft" if match["peft"] else "diffusers" if match["diffusers"] else "kohya"
    return tuple(_layer(name, styles[name], shapes, path) for name, shapes in sorted(halves.items()))


def _layer(name: str, style: Style, shapes: Mapping[str, tuple[int, ...]], path: str) -> Layer:
    down, up = shapes.get("down"), shapes.get("up")
    if down is None and up is None:
        return Layer(name, style)
    if down is None or up is None:
        raise LoraUnreadable(path=path, detail=f"{shown(name)} has only one of its two matrices")
    if len(down) < 2 or len(up) < 2 or not down[0] or down[0] != up[1]:
        raise LoraUnreadable(path=path, detail=f"the matrices of {shown(name)} do not fit: {down} and {up}")
    return Layer(name, style, down, up)


def family_of(layers: tuple[Layer, ...], metadata: Mapping[str, str], path: str) -> Family:
    """The one family that fits all layers. Raises LoraFamilyUnknown saying what was seen."""
    if not layers:
        raise LoraFamilyUnknown(path=path, detail="it has no LoRA layers")
    # Each returns the families it leaves open, or nothing. UNet before Wan: both speak of blocks.
    seen = [found for found in (_flux(layers, path), _unet(layers, path), _wan(layers, path)) if found]
    if len(seen) > 1:
        names = " and ".join("/".join(sorted(found)) for found in seen)
        raise LoraFamilyUnknown(path=path, detail=f"it mixes layers of {names}")
    open_to = seen[0] if seen else frozenset(Family)
    if len(open_to) == 1:
        return next(iter(open_to))
    said = _said(metadata)
    if said is not None and said in open_to:
        return said
    told = f", and its metadata says {said}" if said else ", and its metadata does not tell"
    raise LoraFamilyUnknown(path=path, detail=f"its layers are named like {shown(layers[0].name)}{told}")


def _flux(layers: tuple[Layer, ...], path: str) -> frozenset[Family]:
    """FLUX.1: fixed numbers of blocks, 3072 wide. Later and foreign models share the names of its blocks."""
    found = [(layer, match) for layer in layers if (match := _FLUX.search(layer.name))]
    if not found:
        return frozenset()
    for layer in layers:
        if _NOT_FLUX1.search(layer.name):
            raise LoraFamilyUnknown(path=path, detail=f"FLUX.1 has no {shown(layer.name)}")
    for layer, match in found:
        if int(match["n"]) >= _FLUX_BLOCKS[match["kind"]]:
            raise LoraFamilyUnknown(path=path, detail=f"FLUX.1 has no {match['kind']} {match['n'][:9]}")
        # A narrower one is a reduced FLUX, as people make it to try a pipeline out.
        if layer.down and _FLUX_FROM_MODEL.search(layer.name) and layer.down[1] > _FLUX_WIDTH:
            raise LoraFamilyUnknown(path=path, detail=f"its blocks are {layer.down[1]} wide, FLUX.1's {_FLUX_WIDTH}")
    return frozenset({Family.FLUX})


def _unet(layers: tuple[Layer, ...], path: str) -> frozenset[Family]:
    """Stable Diffusion: the text enters the UNet 768 (1.5) or 2048 (XL) wide; only XL has a second CLIP."""
    second_clip = any(_SECOND_CLIP.search(layer.name) for layer in layers)
    unet = [layer for layer in layers if _UNET.search(layer.name)]
    widths = {layer.down[1] for layer in unet if layer.down and _FROM_TEXT.search(layer.name)}
    found = {_TEXT_WIDTHS.get(width) for width in widths} | ({Family.SDXL} if second_clip else set())
    if len(found) > 1 or None in found:
        seen = ", ".join(str(width) for width in sorted(widths)) + (" with a second CLIP" if second_clip else "")
        raise LoraFamilyUnknown(path=path, detail=f"its text enters {seen}: sdxl takes 2048 numbers a word, sd15 768")
    if found:
        return frozenset(family for family in found if family)
    return frozenset({Family.SD15, Family.SDXL}) if unet else frozenset()


def _wan(layers: tuple[Layer, ...], path: str) -> frozenset[Family]:
    """Wan: attention 1536 (1.3B), 3072 (5B) or 5120 (14B) wide. The names alone are not enough."""
    widths = {layer.down[1] for layer in layers if layer.down and _WAN.search(layer.name)}
    if not widths:
        return frozenset()
    if len(widths) > 1 or not widths <= set(_WAN_WIDTHS):
        seen = ", ".join(str(width) for width in sorted(widths))
        raise LoraFamilyUnknown(path=path, detail=f"its blocks are {seen} wide: wan has 1536, 3072 or 5120")
    return frozenset({Family.WAN})


def _said(metadata: Mapping[str, str]) -> Family | None:
    for key in _SAID:
        word = metadata.get(key, "").strip().lower()
        for family, pattern in _WORDS.items():
            if pattern.match(word):
                return family
    return None
