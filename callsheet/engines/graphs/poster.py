"""A poster: FLUX with a style LoRA and then one LoRA a character.

    poster_graph(PosterGraph(prompt="a portrait", style=Lora("SBai_style_101.safetensors", 1.0, "SBai_style_101"),
                             characters=(Lora("ava.safetensors", 0.7, "Ava"),)))

FLUX is distilled: its guidance is a number beside the prompt, the sampler's own (cfg) stays 1, and there is no
negative prompt. Outputs: main, a picture of exactly width x height.
"""

from __future__ import annotations

from dataclasses import dataclass

from callsheet.engines.graphs.node import Graph, Link, Node
from callsheet.engines.graphs.parts import Checkpoint, Lora, Parts, encode, load, multiple
from callsheet.presets import POSTER_FLUX_GUIDANCE, POSTER_STEPS

FLUX = Checkpoint("flux1-dev-fp8.safetensors")
FLUX_PARTS = Parts("flux1-dev.safetensors", ("clip_l.safetensors", "t5xxl_fp16.safetensors"), "ae.safetensors")
_STEP = 16
"""FLUX makes pictures whose sides are multiples of this."""


@dataclass(frozen=True)
class PosterGraph:
    """What a poster is made from."""

    prompt: str
    width: int = 1024
    """Pixels of the result; where FLUX makes other multiples, more is made and cropped about the middle."""
    height: int = 1024
    steps: int = POSTER_STEPS
    sampler_name: str = "euler"
    scheduler_name: str = "simple"
    flux_guidance: float = POSTER_FLUX_GUIDANCE
    style: Lora | None = None
    """Slot 1."""
    characters: tuple[Lora, ...] = ()
    """Slot 2 and those after it."""
    seed: int = 0
    source: Checkpoint | Parts = FLUX
    prefix: str = "callsheet"
    """Folder of the server's outputs that the file goes to."""


def poster_graph(poster: PosterGraph) -> Graph:
    model, clip, vae = load(poster.source, "flux")
    if poster.style:
        model, clip = _with_lora(model, clip, poster.style, f"style LoRA {poster.style.who}")
    for character in poster.characters:
        model, clip = _with_lora(model, clip, character, f"character LoRA of {character.who}")
    text = encode(poster.prompt, clip, "prompt")
    guided = Node("FluxGuidance", "guidance", {"conditioning": text, "guidance": poster.flux_guidance}).out()
    sampled = Node("KSampler", "sampler", {
        "model": model, "seed": poster.seed, "steps": poster.steps, "cfg": 1.0,
        "sampler_name": poster.sampler_name, "scheduler": poster.scheduler_name,
        "positive": guided,
        "negative": Node("ConditioningZeroOut", "no negative prompt", {"conditioning": text}).out(),
        "latent_image": _empty(poster),
        "denoise": 1.0,
    }).out()
    decoded = Node("VAEDecode", "decode", {"samples": sampled, "vae": vae}).out()
    picture = _cropped(decoded, poster)
    return Graph({"main": Node("SaveImage", "poster", {
        "images": picture, "filename_prefix": f"{poster.prefix}/poster",
    })})


def _with_lora(model: Link, clip: Link, lora: Lora, title: str) -> tuple[Link, Link]:
    """One strength for the model and the text encoders."""
    node = Node("LoraLoader", title, {
        "model": model, "clip": clip, "lora_name": lora.file,
        "strength_model": lora.strength, "strength_clip": lora.strength,
    })
    return node.out(0), node.out(1)


def _empty(poster: PosterGraph) -> Link:
    return Node("EmptySD3LatentImage", "size", {
        "width": multiple(poster.width, _STEP), "height": multiple(poster.height, _STEP), "batch_size": 1,
    }).out()


def _cropped(picture: Link, poster: PosterGraph) -> Link:
    left = (multiple(poster.width, _STEP) - poster.width) // 2
    top = (multiple(poster.height, _STEP) - poster.height) // 2
    if poster.width % _STEP == 0 and poster.height % _STEP == 0:
        return picture
    return Node("ImageCrop", "exact size", {
        "image": picture, "width": poster.width, "height": poster.height, "x": left, "y": top,
    }).out()
