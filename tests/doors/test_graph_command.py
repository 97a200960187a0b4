"""`callsheet graph`: prints what a server would get, and checks it where a schema is given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from callsheet.doors import graph
from callsheet.engines.graphs.ltxv import LtxvGraph, ltxv_graph
from callsheet.engines.graphs.parts import Lora
from callsheet.engines.graphs.poster import FLUX_PARTS, PosterGraph, poster_graph
from callsheet.engines.graphs.wan import A14B, A14B_WORDS, WanGraph, wan_graph
from callsheet.errors import FileMissing, GraphRefused, InputError
from tests.support.graph_cases import SMALL_SCHEMA, schema

STYLE = Lora("SBai_style_101.safetensors", 1.0, "SBai_style_101")


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(graph.app, list(arguments), standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return json.loads(done.output)


def test_a_poster_has_the_defaults_of_the_source_system() -> None:
    assert run("poster", "--prompt", "Ava") == poster_graph(PosterGraph("Ava", style=STYLE)).as_json()


def test_every_option_of_a_poster_arrives() -> None:
    asked = PosterGraph(
        "Ava", width=960, height=544, steps=25, sampler_name="heun", scheduler_name="beta", flux_guidance=3.5,
        style=replace(STYLE, strength=0.4), characters=(Lora("ava.safetensors", 0.6, "ava"),
                                                        Lora("people/ben.safetensors", 0.5, "ben")),
        seed=9, source=FLUX_PARTS, prefix="posters/ava",
    )
    assert run(
        "poster", "--prompt", "Ava", "--width", "960", "--height", "544", "--steps", "25", "--sampler-name", "heun",
        "--scheduler-name", "beta", "--flux-guidance", "3.5", "--style-lora-name", "SBai_style_101.safetensors",
        "--style-lora-strength", "0.4", "--character-lora-name", "ava", "--character-lora-name", "people/ben",
        "--character-lora-strength", "0.6", "--character-lora-strength", "0.5", "--seed", "9", "--split",
        "--prefix", "posters/ava",
    ) == poster_graph(asked).as_json()


def test_a_style_can_be_left_out() -> None:
    assert run("poster", "--prompt", "x", "--style-lora-name", "") == poster_graph(PosterGraph("x")).as_json()


def test_the_experts_are_those_for_pictures_or_for_words() -> None:
    own: dict[str, Any] = {"cfg": 3.5, "sampler_name": "euler"}
    assert run("wan", "--prompt", "x", "--model", "a14b") == wan_graph(
        WanGraph("x", source=A14B_WORDS, **own)).as_json()
    assert run("wan", "--prompt", "x", "--model", "a14b", "--first-frame", "a.png") == wan_graph(
        WanGraph("x", source=A14B, first_frame="a.png", **own)).as_json()


def test_every_option_of_a_clip_arrives() -> None:
    common = (
        "--prompt", "she walks", "--negative", "blurry", "--width", "854", "--height", "480", "--frames", "48",
        "--fps", "30000/1001", "--steps", "12", "--cfg", "2.5", "--sampler-name", "lcm", "--lora", "ava", "--lora",
        "ben", "--lora-strength", "0.5", "--first-frame", "a.png", "--goes-on", "--seed", "3", "--prefix", "clips/ava",
    )
    asked: dict[str, Any] = {
        "prompt": "she walks", "negative": "blurry", "width": 854, "height": 480, "num_frames": 48,
        "fps": graph._rate("29.97"), "steps": 12, "cfg": 2.5, "sampler_name": "lcm",
        "loras": (Lora("ava.safetensors", 0.5, "ava"), Lora("ben.safetensors", 0.5, "ben")),
        "first_frame": "a.png", "goes_on": True, "seed": 3, "prefix": "clips/ava",
    }
    assert run("wan", *common, "--scheduler-name", "beta", "--shift", "5") == wan_graph(
        WanGraph(**asked, scheduler_name="beta", shift=5.0)).as_json()
    assert run("ltxv", *common, "--checkpoint", "ltx.safetensors") == ltxv_graph(
        LtxvGraph(**asked, checkpoint="ltx.safetensors")).as_json()


def test_a_kind_refuses_what_it_would_ignore() -> None:
    with pytest.raises(Exception, match="No such option: --fps"):
        run("poster", "--prompt", "x", "--fps", "24")
    with pytest.raises(Exception, match="No such option: --scheduler-name"):
        run("ltxv", "--prompt", "x", "--scheduler-name", "simple")


def test_strengths_are_one_for_all_or_one_each() -> None:
    with pytest.raises(InputError, match="3 strengths are given for 2 LoRAs"):
        graph.slots(["a", "b"], [1, 2, 3], 1.0)
    with pytest.raises(InputError, match="1 strengths? (are|is) given for 0 LoRAs"):
        run("wan", "--prompt", "x", "--lora-strength", "0.5")


@pytest.mark.parametrize("fps", ["fast", "0", "nan", "1.2.3"])
def test_what_is_no_rate_is_refused(fps: str) -> None:
    with pytest.raises(InputError, match="is no rate"):
        run("wan", "--prompt", "x", "--fps", fps)


def test_a_graph_that_a_server_would_make_is_printed_after_the_check() -> None:
    assert run("wan", "--prompt", "x", "--schema", str(SMALL_SCHEMA))


def test_a_graph_that_a_server_would_not_make_is_refused_and_not_printed(tmp_path: Path) -> None:
    info = schema()
    info["LoraLoader"]["input"]["required"]["lora_name"][0] = ["SBai_style_101.safetensors", "ava_v2.safetensors"]
    (tmp_path / "schema.json").write_text(json.dumps(info))
    with pytest.raises(GraphRefused, match=r"character LoRA of ava_v1.*near are ava_v2\.safetensors"):
        run("poster", "--prompt", "x", "--character-lora-name", "ava_v1", "--schema", str(tmp_path / "schema.json"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"1": {"class_type": "KSampler"}}'])
def test_what_is_no_schema_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "schema.json").write_text(text)
    with pytest.raises(InputError, match=r"no answer of a ComfyUI server.*curl"):
        run("wan", "--prompt", "x", "--schema", str(tmp_path / "schema.json"))
    with pytest.raises(FileMissing, match="the schema"):
        run("wan", "--prompt", "x", "--schema", str(tmp_path / "gone.json"))
