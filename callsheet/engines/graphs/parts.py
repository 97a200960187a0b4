"""What graphs of every kind are put together from: files that the server has, LoRA chains, prompts.

    model, clip, vae = load(Checkpoint("flux1-dev-fp8.safetensors"), "flux")

File names are those of the server's own lists, folders included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from callsheet.engines.graphs.node import Inputs, Link, Node
from callsheet.errors import InputError


@dataclass(frozen=True)
class Lora:
    """A LoRA file that the server has."""

    file: str
    strength: float
    who: str
    """What people call the actor or the style: errors and node titles name it."""


@dataclass(frozen=True)
class Checkpoint:
    """One file that holds the model, its text encoders and its decoder."""

    file: str


@dataclass(frozen=True)
class Parts:
    """The model, its text encoders and its decoder as files of their own."""

    model: str
    encoders: tuple[str, ...]
    """One or two files, in the order in which the model's loader takes them."""
    vae: str
    weight_dtype: str = "default"
    """How the server holds the model: default, fp8_e4m3fn, fp8_e4m3fn_fast or fp8_e5m2."""


def load(source: Checkpoint | Parts, kind: str) -> tuple[Link, Link, Link]:
    """Model, text encoder and decoder. `kind` is the text encoder's type in the server's words."""
    if isinstance(source, Checkpoint):
        node = Node("CheckpointLoaderSimple", "checkpoint", {"ckpt_name": source.file})
        return node.out(0), node.out(1), node.out(2)
    return load_model(source.model, "model", source.weight_dtype), load_encoder(source.encoders, kind), load_vae(
        source.vae
    )


def load_model(file: str, title: str, weight_dtype: str) -> Link:
    return Node("UNETLoader", title, {"unet_name": file, "weight_dtype": weight_dtype}).out()


def load_encoder(files: tuple[str, ...], kind: str) -> Link:
    """Raises InputError unless there are one or two."""
    if len(files) == 1:
        return Node("CLIPLoader", "text encoder", {"clip_name": files[0], "type": kind}).out()
    if len(files) == 2:
        names = {"clip_name1": files[0], "clip_name2": files[1], "type": kind}
        return Node("DualCLIPLoader", "text encoders", names).out()
    raise InputError(detail=f"{len(files)} text encoders are given for {kind}", remedy="give one or two")


def load_vae(file: str) -> Link:
    return Node("VAELoader", "decoder", {"vae_name": file}).out()


def chain(model: Link, loras: Iterable[Lora], title: str = "LoRA of {who}") -> Link:
    """The model with LoRAs one after the other, in this order."""
    for lora in loras:
        inputs: Inputs = {"model": model, "lora_name": lora.file, "strength_model": lora.strength}
        model = Node("LoraLoaderModelOnly", title.format(who=lora.who), inputs).out()
    return model


def encode(text: str, clip: Link, title: str) -> Link:
    return Node("CLIPTextEncode", title, {"text": literal(text), "clip": clip}).out()


def literal(text: str) -> str:
    """So that the encoder reads exactly this text: to the server, bare parentheses are weights."""
    return text.replace("(", r"\(").replace(")", r"\)")


def multiple(size: int, step: int) -> int:
    """The next multiple of `step` that is not smaller."""
    return math.ceil(size / step) * step
