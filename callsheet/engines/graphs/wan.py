"""Clips of Wan 2.2, from words or from a first frame, at 24 frames a second.

    wan_graph(WanGraph(prompt="she walks", first_frame="poster.png", loras=(Lora("ava_wan.safetensors", 1.0, "Ava"),)))
    wan_graph(WanGraph(prompt="she walks", first_frame="poster.png", source=A14B, cfg=3.5, sampler_name="euler"))

The 5B is one model for both; the A14B is two experts, one for the noisy and one for the clear half of the steps, and
has files of its own for each way: those for clips from words are A14B_WORDS.
"""

from __future__ import annotations

from dataclasses import dataclass

from callsheet.engines.graphs.clip import ClipGraph, Made, finish, first_picture, made
from callsheet.engines.graphs.node import Graph, Inputs, Link, Node
from callsheet.engines.graphs.parts import Parts, chain, encode, load, load_encoder, load_model, load_vae
from callsheet.errors import InputError


@dataclass(frozen=True)
class Experts:
    """Wan's A14B: two models that share text encoder and decoder."""

    high: str
    """File of the expert for the noisy half."""
    low: str
    """File of the expert for the clear half."""
    encoders: tuple[str, ...]
    vae: str
    weight_dtype: str = "default"


_ENCODER = ("umt5_xxl_fp8_e4m3fn_scaled.safetensors",)
TI2V_5B = Parts("wan2.2_ti2v_5B_fp16.safetensors", _ENCODER, "wan2.2_vae.safetensors")
A14B = Experts("wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors", "wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors",
               _ENCODER, "wan_2.1_vae.safetensors")
A14B_WORDS = Experts("wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors",
                     "wan2.2_t2v_low_noise_14B_fp8_scaled.safetensors", _ENCODER, "wan_2.1_vae.safetensors")
_FRAMES = 4
"""Wan makes lengths of 4n + 1 frames."""


@dataclass(frozen=True)
class WanGraph(ClipGraph):
    """What a clip of Wan is made from. The defaults are the 5B's."""

    cfg: float = 5.0
    sampler_name: str = "uni_pc"
    scheduler_name: str = "simple"
    shift: float = 8.0
    """How much of the steps is spent on noise."""
    source: Parts | Experts = TI2V_5B


def wan_graph(clip: WanGraph) -> Graph:
    """Outputs: main (MP4) and last_frame (PNG). Raises InputError where two experts have only one step."""
    return _one_model(clip, clip.source) if isinstance(clip.source, Parts) else _two_experts(clip, clip.source)


def _one_model(clip: WanGraph, source: Parts) -> Graph:
    size = made(clip, side=32, frames=_FRAMES)
    model, encoder, vae = load(source, "wan")
    start = {"start_image": first_picture(clip, size)} if clip.first_frame else {}
    inputs: Inputs = {"vae": vae, **_shape(size), **start}
    sampled = Node("KSampler", "sampler", {
        "model": _prepared(clip, model, "LoRA of {who}", "noise"),
        "seed": clip.seed, "steps": clip.steps, "cfg": clip.cfg,
        "sampler_name": clip.sampler_name, "scheduler": clip.scheduler_name,
        "positive": encode(clip.prompt, encoder, "prompt"),
        "negative": encode(clip.negative, encoder, "negative prompt"),
        "latent_image": Node("Wan22ImageToVideoLatent", "size and length", inputs).out(),
        "denoise": 1.0,
    }).out()
    return finish(clip, _decoded(sampled, vae), size)


def _two_experts(clip: WanGraph, source: Experts) -> Graph:
    if clip.steps < 2:
        raise InputError(detail=f"two experts cannot share {clip.steps} step", remedy="ask for 2 steps or more")
    size = made(clip, side=16, frames=_FRAMES)
    encoder, vae = load_encoder(source.encoders, "wan"), load_vae(source.vae)
    start = _conditions(clip, size, encode(clip.prompt, encoder, "prompt"),
                        encode(clip.negative, encoder, "negative prompt"), vae)
    change = clip.steps // 2                           # a shift of 8 puts the noise of 0.9, where they change, there
    latent = start[2]
    for expert, file, first, last in (("high", source.high, 0, change), ("low", source.low, change, clip.steps)):
        model = load_model(file, f"{expert} noise expert", source.weight_dtype)
        latent = Node("KSamplerAdvanced", f"sampler of {expert} noise", {
            "latent_image": latent,
            "model": _prepared(clip, model, f"{expert} noise LoRA of {{who}}", f"{expert} noise"),
            "add_noise": "enable" if expert == "high" else "disable",
            "noise_seed": clip.seed, "steps": clip.steps, "cfg": clip.cfg,
            "sampler_name": clip.sampler_name, "scheduler": clip.scheduler_name,
            "positive": start[0], "negative": start[1],
            "start_at_step": first, "end_at_step": last,
            "return_with_leftover_noise": "enable" if expert == "high" else "disable",
        }).out()
    return finish(clip, _decoded(latent, vae), size)


def _conditions(clip: WanGraph, size: Made, positive: Link, negative: Link, vae: Link) -> tuple[Link, Link, Link]:
    """Positive, negative and the empty latent of the A14B."""
    if not clip.first_frame:
        return positive, negative, Node("EmptyHunyuanLatentVideo", "size and length", _shape(size)).out()
    node = Node("WanImageToVideo", "size, length and first frame", {
        "positive": positive, "negative": negative, "vae": vae, **_shape(size),
        "start_image": first_picture(clip, size),
    })
    return node.out(0), node.out(1), node.out(2)


def _shape(size: Made) -> dict[str, int]:
    return {"width": size.width, "height": size.height, "length": size.length, "batch_size": 1}


def _prepared(clip: WanGraph, model: Link, lora_title: str, title: str) -> Link:
    loaded = chain(model, clip.loras, lora_title)
    return Node("ModelSamplingSD3", f"shift of {title}", {"model": loaded, "shift": clip.shift}).out()


def _decoded(latent: Link, vae: Link) -> Link:
    return Node("VAEDecode", "decode", {"samples": latent, "vae": vae}).out()
