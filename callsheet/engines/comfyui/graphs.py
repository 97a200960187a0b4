"""Recipes as graphs: what a poster or a clip asks for, in the fields of engines/graphs. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from callsheet.engines.comfyui.casting import LTXV
from callsheet.engines.comfyui.server_files import Shelf
from callsheet.engines.graphs.ltxv import LtxvGraph, ltxv_graph
from callsheet.engines.graphs.node import Graph
from callsheet.engines.graphs.parts import Lora
from callsheet.engines.graphs.poster import PosterGraph, poster_graph
from callsheet.engines.graphs.wan import Experts, WanGraph, wan_graph
from callsheet.recipes import ClipRecipe, LoraUse, PosterRecipe

Build = Callable[[str], Graph]
"""A graph whose files go to a folder of the server's outputs."""


def slots(loras: Sequence[LoraUse]) -> tuple[LoraUse, ...]:
    """The style first; without one at strength 0, which need not be there."""
    kept = [use for use in loras if use.role == "character" or (use.name and use.strength != 0)]
    return tuple(sorted(kept, key=lambda use: use.role != "style"))


def folder(recipe: PosterRecipe | ClipRecipe) -> str:
    """Below the server's outputs: kind, actor, recipe. People find a file again by it."""
    actor = next((use.name for use in recipe.loras if use.role == "character"), "nobody")
    return f"callsheet/{recipe.stage}/{re.sub(r'[^A-Za-z0-9_-]+', '_', actor)[:60]}/{recipe.fingerprint[:16]}"


def poster(recipe: PosterRecipe, loras: Sequence[tuple[LoraUse, Lora]], shelf: Shelf) -> Build:
    style = [lora for use, lora in loras if use.role == "style"]
    source = shelf.poster()
    return lambda prefix: poster_graph(PosterGraph(
        prompt=recipe.prompt, width=recipe.width, height=recipe.height, steps=recipe.steps,
        sampler_name=recipe.sampler_name, scheduler_name=recipe.scheduler_name, flux_guidance=recipe.flux_guidance,
        style=style[0] if style else None,
        characters=tuple(lora for use, lora in loras if use.role == "character"),
        seed=recipe.seed, source=source, prefix=prefix,
    ))


def clip(recipe: ClipRecipe, loras: Sequence[Lora], first_frame: str, shelf: Shelf) -> Build:
    """`first_frame` is the name of the uploaded picture; empty where the clip starts from its words."""
    common: dict[str, Any] = {
        "prompt": recipe.prompt, "negative": recipe.negative, "width": recipe.width, "height": recipe.height,
        "num_frames": recipe.num_frames, "fps": recipe.fps, "steps": recipe.steps, "loras": tuple(loras),
        "first_frame": first_frame, "goes_on": bool(first_frame) and recipe.start_frame > 0, "seed": recipe.seed,
        "cfg": recipe.cfg,
    }
    if recipe.engine.model == LTXV:
        checkpoint, encoders = shelf.ltxv()
        return lambda prefix: ltxv_graph(LtxvGraph(
            **common, checkpoint=checkpoint, encoders=encoders, prefix=prefix))
    source = shelf.wan(recipe.engine.model, bool(first_frame))
    if isinstance(source, Experts):
        common["sampler_name"] = "euler"
    return lambda prefix: wan_graph(WanGraph(**common, source=source, prefix=prefix))
