"""`callsheet graph KIND`: the graph that a ComfyUI server would get, as its API JSON. Talks to no server.

Reads the options, prints, and checks against a schema where one is given. engines/graphs builds and checks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import typer
from pydantic import TypeAdapter, ValidationError

from callsheet.engines.graphs.ltxv import LTXV_2B, LtxvGraph, ltxv_graph
from callsheet.engines.graphs.names import is_file
from callsheet.engines.graphs.node import Graph
from callsheet.engines.graphs.parts import Lora
from callsheet.engines.graphs.poster import FLUX, FLUX_PARTS, PosterGraph, poster_graph
from callsheet.engines.graphs.schema import require
from callsheet.engines.graphs.wan import A14B, A14B_WORDS, TI2V_5B, WanGraph, wan_graph
from callsheet.errors import FileMissing, InputError
from callsheet.models import Poster
from callsheet.presets import GENERATION_RATE, MAX_SEGMENT_FRAMES, POSTER_FLUX_GUIDANCE, POSTER_STEPS
from callsheet.units import Rate

app = typer.Typer(name="graph", help="ComfyUI graphs as API JSON: print them, check them.", no_args_is_help=True)

_STYLE = Poster.model_fields["style_lora_name"].default
_OWN = {"5b": (5.0, "uni_pc"), "a14b": (3.5, "euler")}
"""cfg and sampler of Wan's models."""
_SIDE = {"min": 16, "max": 7680}

Prompt = Annotated[str, typer.Option(help="What is seen.")]
Negative = Annotated[str, typer.Option(help="What is not to be seen.")]
Width = Annotated[int, typer.Option(help="Pixels.", **_SIDE)]
Height = Annotated[int, typer.Option(help="Pixels.", **_SIDE)]
Steps = Annotated[int, typer.Option(min=1, max=10000)]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1)]
Sampler = Annotated[str, typer.Option("--sampler-name")]
Scheduler = Annotated[str, typer.Option("--scheduler-name")]
Cfg = Annotated[float, typer.Option(min=0, max=100, help="How closely the words are followed.")]
Loras = Annotated[list[str] | None, typer.Option("--lora", metavar="FILE", help="Of the server; repeatable.")]
Strengths = Annotated[
    list[float] | None, typer.Option("--lora-strength", help="Once for all, or once a LoRA. Default: 1.0.")
]
First = Annotated[str, typer.Option("--first-frame", metavar="NAME", help="Of an uploaded picture to start from.")]
GoesOn = Annotated[bool, typer.Option("--goes-on", help="The first frame is the last of the clip before: drop it.")]
Frames = Annotated[int, typer.Option("--frames", min=1, max=MAX_SEGMENT_FRAMES, help="Exactly this many come out.")]
Fps = Annotated[str, typer.Option(help="Frames a second: 24, 29.97 or 30000/1001.")]
Prefix = Annotated[str, typer.Option(help="Folder of the server's outputs that files go to.")]
Schema = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A server's answer to /object_info: the graph is checked against it first."),
]


@app.command()
def poster(
    prompt: Prompt,
    width: Width = 1024,
    height: Height = 1024,
    steps: Steps = POSTER_STEPS,
    sampler_name: Sampler = "euler",
    scheduler_name: Scheduler = "simple",
    flux_guidance: Annotated[float, typer.Option(min=0, max=100)] = POSTER_FLUX_GUIDANCE,
    style_lora_name: Annotated[str, typer.Option(metavar="FILE", help="Slot 1; '' leaves it out.")] = _STYLE,
    style_lora_strength: Annotated[float, typer.Option()] = 1.0,
    character_lora_name: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Slot 2 and those after it; repeatable.")
    ] = None,
    character_lora_strength: Annotated[
        list[float] | None, typer.Option(help="Once for all, or once a character. Default: 0.7.")
    ] = None,
    split: Annotated[bool, typer.Option("--split", help="Model, text encoders and decoder are files apart.")] = False,
    seed: Seed = 0,
    prefix: Prefix = "callsheet",
    schema: Schema = None,
) -> None:
    """A picture by FLUX.

    Example: callsheet graph poster --prompt "portrait of Ava" --character-lora-name ava
    """
    style = slots([style_lora_name], [style_lora_strength], 1.0) if style_lora_name else ()
    _show(poster_graph(PosterGraph(
        prompt=prompt, width=width, height=height, steps=steps, sampler_name=sampler_name,
        scheduler_name=scheduler_name, flux_guidance=flux_guidance, style=style[0] if style else None,
        characters=slots(character_lora_name or [], character_lora_strength or [], 0.7),
        seed=seed, source=FLUX_PARTS if split else FLUX, prefix=prefix,
    )), "a poster", schema)


@app.command()
def wan(
    prompt: Prompt,
    model: Annotated[Literal["5b", "a14b"], typer.Option(help="One model, or two experts.")] = "5b",
    negative: Negative = "",
    width: Width = 768,
    height: Height = 768,
    frames: Frames = MAX_SEGMENT_FRAMES,
    fps: Fps = str(GENERATION_RATE),
    steps: Steps = 30,
    cfg: Annotated[float | None, typer.Option(min=0, max=100, help="Default: 5.0, 3.5 for a14b.")] = None,
    sampler_name: Annotated[str, typer.Option("--sampler-name", help="Default: uni_pc, euler for a14b.")] = "",
    scheduler_name: Scheduler = "simple",
    shift: Annotated[float, typer.Option(min=0, max=100, help="How much of the steps is spent on noise.")] = 8.0,
    lora: Loras = None,
    lora_strength: Strengths = None,
    first_frame: First = "",
    goes_on: GoesOn = False,
    seed: Seed = 0,
    prefix: Prefix = "callsheet",
    schema: Schema = None,
) -> None:
    """A clip by Wan 2.2, from words or from a first frame.

    Example: callsheet graph wan --prompt "she walks" --first-frame poster.png --lora ava_wan
    """
    experts = A14B if first_frame else A14B_WORDS
    own_cfg, own_sampler = _OWN[model]
    _show(wan_graph(WanGraph(
        prompt=prompt, negative=negative, width=width, height=height, num_frames=frames, fps=_rate(fps), steps=steps,
        cfg=own_cfg if cfg is None else cfg,
        sampler_name=sampler_name or own_sampler, scheduler_name=scheduler_name, shift=shift,
        loras=slots(lora or [], lora_strength or [], 1.0), first_frame=first_frame, goes_on=goes_on, seed=seed,
        source=TI2V_5B if model == "5b" else experts, prefix=prefix,
    )), "a clip", schema)


@app.command()
def ltxv(
    prompt: Prompt,
    checkpoint: Annotated[str, typer.Option(metavar="FILE", help="Model and decoder.")] = LTXV_2B,
    negative: Negative = "",
    width: Width = 768,
    height: Height = 768,
    frames: Frames = MAX_SEGMENT_FRAMES,
    fps: Fps = str(GENERATION_RATE),
    steps: Steps = 30,
    cfg: Cfg = 3.0,
    sampler_name: Sampler = "euler",
    lora: Loras = None,
    lora_strength: Strengths = None,
    first_frame: First = "",
    goes_on: GoesOn = False,
    seed: Seed = 0,
    prefix: Prefix = "callsheet",
    schema: Schema = None,
) -> None:
    """A clip by LTX-Video, from words or from a first frame.

    Example: callsheet graph ltxv --prompt "she walks" --first-frame last_frame.png --goes-on
    """
    _show(ltxv_graph(LtxvGraph(
        prompt=prompt, negative=negative, width=width, height=height, num_frames=frames, fps=_rate(fps), steps=steps,
        cfg=cfg, sampler_name=sampler_name, loras=slots(lora or [], lora_strength or [], 1.0),
        first_frame=first_frame, goes_on=goes_on, seed=seed, checkpoint=checkpoint, prefix=prefix,
    )), "a clip", schema)


def slots(names: Sequence[str], strengths: Sequence[float], default: float) -> tuple[Lora, ...]:
    """LoRAs with their strengths: none takes the default, one is for all, else one each. Names may lack the suffix."""
    if len(strengths) not in ({0, 1, len(names)} if names else {0}):
        raise InputError(detail=f"{len(strengths)} strengths are given for {len(names)} LoRAs",
                         remedy="give one for all of them, or one each")
    each = strengths if len(strengths) == len(names) else [strengths[0] if strengths else default] * len(names)
    files = [name if is_file(name) else f"{name}.safetensors" for name in names]
    return tuple(Lora(file, strength, PurePosixPath(file).stem) for file, strength in zip(files, each, strict=True))


def _show(graph: Graph, what: str, schema: Path | None) -> None:
    if schema:
        require(graph, _read(schema), "ComfyUI", what, saved=True)
    typer.echo(graph.text())


def _read(path: Path) -> dict[str, Any]:
    """Raises FileMissing, or InputError for what is no answer to /object_info."""
    if not path.is_file():
        raise FileMissing(path=path, what="the schema")
    try:
        info = json.loads(path.read_bytes())
    except ValueError:
        info = None
    if not isinstance(info, dict) or not all(isinstance(node, dict) and "input" in node for node in info.values()):
        raise InputError(detail=f"{path} is no answer of a ComfyUI server to /object_info",
                         remedy="save one: curl http://127.0.0.1:8188/object_info -o schema.json")
    return info


def _rate(text: str) -> Fraction:
    try:
        return TypeAdapter[Fraction](Rate).validate_python(float(text) if "." in text else text)
    except (ValidationError, ValueError):
        raise InputError(detail=f"--fps {text!r} is no rate", remedy="write 24, 29.97 or 30000/1001") from None
