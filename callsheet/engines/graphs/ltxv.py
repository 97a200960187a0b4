"""Clips of LTX-Video, from words or from a first frame.

    ltxv_graph(LtxvGraph(prompt="she walks", first_frame="poster.png"))

Its checkpoint has no text encoder: that is a file of its own. Its steps are spaced by its own node, so that there is
no scheduler to name.
"""

from __future__ import annotations

from dataclasses import dataclass

from callsheet.engines.graphs.clip import ClipGraph, Made, finish, first_picture, made
from callsheet.engines.graphs.node import Graph, Link, Node
from callsheet.engines.graphs.parts import chain, encode, load_encoder

LTXV_2B = "ltx-video-2b-v0.9.5.safetensors"
_SIDE, _FRAMES = 32, 8
"""It makes sides of multiples of 32 pixels and lengths of 8n + 1 frames."""
_LEAST_SIDE, _LEAST_FRAMES = 64, 9
"""Less than this the server refuses, of frames where a clip starts from a picture."""


@dataclass(frozen=True)
class LtxvGraph(ClipGraph):
    """What a clip of LTX-Video is made from."""

    cfg: float = 3.0
    sampler_name: str = "euler"
    checkpoint: str = LTXV_2B
    """Has the model and its decoder."""
    encoders: tuple[str, ...] = ("t5xxl_fp16.safetensors",)


def ltxv_graph(clip: LtxvGraph) -> Graph:
    """Outputs: main (MP4) and last_frame (PNG)."""
    size = made(clip, _SIDE, _FRAMES, _LEAST_SIDE, _LEAST_FRAMES)
    checkpoint = Node("CheckpointLoaderSimple", "checkpoint", {"ckpt_name": clip.checkpoint})
    encoder, vae = load_encoder(clip.encoders, "ltxv"), checkpoint.out(2)
    positive, negative, latent = _start(clip, size, encoder, vae)
    told = Node("LTXVConditioning", "frame rate", {
        "positive": positive, "negative": negative, "frame_rate": float(clip.fps),
    })
    sampled = Node("SamplerCustom", "sampler", {
        "model": chain(checkpoint.out(0), clip.loras), "add_noise": True, "noise_seed": clip.seed, "cfg": clip.cfg,
        "positive": told.out(0), "negative": told.out(1),
        "sampler": Node("KSamplerSelect", "sampler's name", {"sampler_name": clip.sampler_name}).out(),
        "sigmas": Node("LTXVScheduler", "steps", {
            "steps": clip.steps, "max_shift": 2.05, "base_shift": 0.95, "stretch": True, "terminal": 0.1,
            "latent": latent,
        }).out(),
        "latent_image": latent,
    }).out(0)
    return finish(clip, Node("VAEDecode", "decode", {"samples": sampled, "vae": vae}).out(), size)


def _start(clip: LtxvGraph, size: Made, encoder: Link, vae: Link) -> tuple[Link, Link, Link]:
    """Positive, negative and the latent that is sampled."""
    positive = encode(clip.prompt, encoder, "prompt")
    negative = encode(clip.negative, encoder, "negative prompt")
    shape = {"width": size.width, "height": size.height, "length": size.length, "batch_size": 1}
    if not clip.first_frame:
        return positive, negative, Node("EmptyLTXVLatentVideo", "size and length", shape).out()
    node = Node("LTXVImgToVideo", "size, length and first frame", {
        "positive": positive, "negative": negative, "vae": vae, "image": first_picture(clip, size), **shape,
        "strength": 1.0,
    })
    return node.out(0), node.out(1), node.out(2)
