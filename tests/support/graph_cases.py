"""Every combination of options that a graph can have, and the schemas that graphs are checked against."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from callsheet.engines.graphs.ltxv import LtxvGraph, ltxv_graph
from callsheet.engines.graphs.node import Graph
from callsheet.engines.graphs.parts import Checkpoint, Lora, Parts
from callsheet.engines.graphs.poster import FLUX, FLUX_PARTS, PosterGraph, poster_graph
from callsheet.engines.graphs.wan import A14B, A14B_WORDS, TI2V_5B, WanGraph, wan_graph

TESTS = Path(__file__).resolve().parents[1]
REFERENCE = Path(os.environ.get("CALLSHEET_REFERENCE", TESTS.parents[1] / "shared" / "reference"))
SMALL_SCHEMA = TESTS / "engines" / "data" / "node_schema_small.json"
FULL_SCHEMA = REFERENCE / "comfyui-object-info-0.33.json"
"""What a server of version 0.33 without models answered; not always here."""

STYLE = Lora("SBai_style_101.safetensors", 1.0, "SBai_style_101")
AVA = Lora("people/ava_v2.safetensors", 0.7, "Ava")
BEN = Lora("ben.safetensors", 0.5, "Ben")

words = st.text(min_size=0, max_size=40)
strengths = st.floats(-2, 2, allow_nan=False)
sides = st.integers(8, 1024).map(lambda half: 2 * half)
loras = st.builds(Lora, st.sampled_from(["a.safetensors", "people/b.safetensors"]), strengths, words)
samplers = st.sampled_from(["euler", "uni_pc", "dpmpp_2m"])
schedulers = st.sampled_from(["simple", "karras", "beta"])
seeds = st.integers(0, 2**64 - 1)
several = st.lists(loras, max_size=3).map(tuple)

posters = st.builds(
    PosterGraph, prompt=words, width=sides, height=sides, steps=st.integers(1, 60), sampler_name=samplers,
    scheduler_name=schedulers, flux_guidance=st.floats(0, 20), style=st.none() | loras, characters=several, seed=seeds,
    source=st.sampled_from([FLUX, FLUX_PARTS]),
)
STARTS: tuple[dict[str, Any], ...] = ({}, {"first_frame": "first.png"}, {"first_frame": "first.png", "goes_on": True})


@st.composite
def clips(draw: st.DrawFn) -> dict[str, Any]:
    """What clips of both models have in common."""
    return {
        **draw(st.sampled_from(STARTS)), "prompt": draw(words), "negative": draw(words),
        "width": draw(sides), "height": draw(sides), "num_frames": draw(st.integers(1, 120)),
        "fps": draw(st.sampled_from([Fraction(24), Fraction(30000, 1001)])),
        "steps": draw(st.integers(2, 60)), "loras": draw(several), "seed": draw(seeds),
        "cfg": draw(st.floats(1, 20)), "sampler_name": draw(samplers),
    }


wans = st.builds(
    lambda clip, scheduler, shift, source: WanGraph(**clip, scheduler_name=scheduler, shift=shift, source=source),
    clips(), schedulers, st.floats(1, 12), st.sampled_from([TI2V_5B, A14B, A14B_WORDS]),
)
ltxvs = clips().map(lambda clip: LtxvGraph(**clip))
graphs: st.SearchStrategy[Graph] = posters.map(poster_graph) | wans.map(wan_graph) | ltxvs.map(ltxv_graph)


def every_choice() -> Iterator[Graph]:
    """Each combination of what is chosen, not measured, with sizes and lengths that fit the model and that do not."""
    sources: tuple[Checkpoint | Parts, ...] = (FLUX, FLUX_PARTS)
    for source, style, people, width in product(sources, (None, STYLE), ((), (AVA,), (AVA, BEN)), (1024, 1000)):
        yield poster_graph(PosterGraph("x", width=width, style=style, characters=people, source=source))
    for start, used, width, frames in product(STARTS, ((), (STYLE, AVA)), (768, 854), (1, 48, 120)):
        clip = {**start, "prompt": "x", "loras": used, "width": width, "num_frames": frames}
        yield ltxv_graph(LtxvGraph(**clip))
        for model in (TI2V_5B, A14B, A14B_WORDS):
            yield wan_graph(WanGraph(**clip, source=model))


def schema(path: Path = SMALL_SCHEMA) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def inputs(graph: Graph, class_type: str) -> list[dict[str, Any]]:
    """Inputs of all nodes of a class, in the graph's order."""
    return [node["inputs"] for node in graph.as_json().values() if node["class_type"] == class_type]
