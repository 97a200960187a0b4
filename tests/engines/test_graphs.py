"""The graphs themselves: what is wired to what, and exactly how many frames and pixels come out."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.engines.graphs.clip import LAST, ClipGraph
from callsheet.engines.graphs.ltxv import LtxvGraph, ltxv_graph
from callsheet.engines.graphs.node import Graph, Node
from callsheet.engines.graphs.parts import Lora, Parts, literal, load_encoder
from callsheet.engines.graphs.poster import FLUX_PARTS, PosterGraph, poster_graph
from callsheet.engines.graphs.wan import A14B, A14B_WORDS, WanGraph, wan_graph
from callsheet.errors import InputError
from tests.support.graph_cases import AVA, BEN, STYLE, inputs, ltxvs, posters, wans

FULL = PosterGraph("portrait of Ava", style=STYLE, characters=(AVA, BEN), seed=7)
WAN = WanGraph("she walks", negative="blurry", first_frame="poster.png", loras=(AVA,), seed=7)
LTXV = LtxvGraph("she walks", negative="blurry", first_frame="poster.png", loras=(AVA,), seed=7)
clips = wans | ltxvs


def built(options: Any) -> Graph:
    make: Any = {PosterGraph: poster_graph, WanGraph: wan_graph, LtxvGraph: ltxv_graph}[type(options)]
    graph: Graph = make(options)
    return graph


def upstream(graph: Graph, number: str) -> list[str]:
    """Class types that lead to a node, nearest first."""
    prompt, found, ends = graph.as_json(), [], [number]
    while ends:
        node = prompt[ends.pop(0)]
        found.append(node["class_type"])
        ends += [value[0] for value in node["inputs"].values() if isinstance(value, list)]
    return found


# ---------------------------------------------------------------------------------------------------------- the nodes


@settings(deadline=None)
@given(posters | clips)
def test_the_same_options_are_printed_the_same(options: Any) -> None:
    assert built(options).text() == built(options).text()


@settings(deadline=None)
@given(clips)
def test_a_node_is_printed_after_all_that_lead_to_it(clip: ClipGraph) -> None:
    for number, node in built(clip).as_json().items():
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                assert int(value[0]) < int(number), f"node {number} takes {name} of the later node {value[0]}"


def test_a_node_that_is_taken_twice_is_printed_once() -> None:
    picture = Node("LoadImage", "picture", {"image": "a.png"})
    graph = Graph({name: Node("SaveImage", name, {"images": picture.out()}) for name in ("main", "last_frame")})
    assert [node["class_type"] for node in graph.as_json().values()] == ["LoadImage", "SaveImage", "SaveImage"]
    assert graph.ids == {"main": "2", "last_frame": "3"}


def test_printed_graphs_are_json_and_keep_letters_of_any_language() -> None:
    graph = poster_graph(replace(FULL, prompt="Zoë läuft"))
    assert json.loads(graph.text()) == graph.as_json()
    assert "Zoë läuft" in graph.text()


OTHERS: dict[str, Any] = {
    "prompt": "other", "negative": "other", "width": 512, "height": 512, "num_frames": 33, "fps": Fraction(12),
    "steps": 11, "cfg": 1.25, "sampler_name": "lcm", "scheduler_name": "beta", "shift": 4.5, "seed": 4711,
    "flux_guidance": 2.25, "loras": (BEN,), "characters": (BEN,), "style": BEN, "first_frame": "other.png",
    "goes_on": True, "prefix": "elsewhere", "checkpoint": "other.safetensors", "encoders": ("other.safetensors",),
    "source": Parts("m.safetensors", ("e.safetensors",), "v.safetensors", "fp8_e4m3fn"),
}
"""For every field a value that none of the graphs below has."""


@pytest.mark.parametrize(("options", "name"), [
    (options, field.name) for options in (FULL, WAN, replace(WAN, source=A14B), LTXV) for field in fields(options)
])
def test_no_option_is_taken_and_ignored(options: PosterGraph | ClipGraph, name: str) -> None:
    other = built(replace(options, **{name: OTHERS[name]}))
    assert other.text() != built(options).text()
    if not isinstance(OTHERS[name], (tuple, bool, Lora, Parts, Fraction)):
        shown = [value for node in other.as_json().values() for value in node["inputs"].values()]
        assert any(value == OTHERS[name] or f"{OTHERS[name]}/" in str(value) for value in shown), f"{name} is nowhere"


@pytest.mark.parametrize("clip", [WAN, replace(WAN, source=A14B), replace(WAN, source=A14B, first_frame=""), LTXV])
def test_every_sampler_has_all_that_is_asked(clip: Any) -> None:
    graph = built(replace(clip, seed=4711, cfg=1.25, sampler_name="lcm", fps=Fraction(12)))
    samplers = [node for node in graph.as_json().values() if "cfg" in node["inputs"]]
    assert len(samplers) == (2 if clip.__dict__.get("source") is A14B else 1)
    for node in samplers:
        asked = node["inputs"]
        assert asked.get("seed", asked.get("noise_seed")) == 4711, f"{node['_meta']['title']} has another seed"
        assert asked["cfg"] == 1.25
        for name in ("positive", "negative"):
            assert words(graph, asked[name], name) == getattr(clip, "prompt" if name == "positive" else "negative")
    assert inputs(graph, "CreateVideo")[0]["fps"] == 12.0
    assert [node["frame_rate"] for node in inputs(graph, "LTXVConditioning")] == [12.0] * isinstance(clip, LtxvGraph)


def words(graph: Graph, link: list[Any], name: str) -> str:
    """The text that a link comes from, through nodes that pass positive and negative on."""
    node = graph.as_json()[link[0]]
    if node["class_type"] == "CLIPTextEncode":
        return str(node["inputs"]["text"])
    assert link[1] == ("positive", "negative").index(name), f"{node['class_type']} swaps the prompts"
    return words(graph, node["inputs"][name], name)


def test_each_expert_samples_its_own_half_with_its_own_file() -> None:
    graph = wan_graph(replace(WAN, source=replace(A14B, weight_dtype="fp8_e5m2"), scheduler_name="beta", shift=4.5))
    prompt = graph.as_json()
    files = []
    for sampler in inputs(graph, "KSamplerAdvanced"):
        assert sampler["scheduler"] == "beta"
        node = prompt[sampler["model"][0]]["inputs"]
        assert node["shift"] == 4.5
        loader = prompt[prompt[node["model"][0]]["inputs"]["model"][0]]["inputs"]
        files.append((loader["unet_name"], loader["weight_dtype"]))
    assert files == [(A14B.high, "fp8_e5m2"), (A14B.low, "fp8_e5m2")]


# -------------------------------------------------------------------------------------------------------- the poster


def test_the_poster_is_the_graph_of_the_notes() -> None:
    graph = poster_graph(FULL)
    (sampler,) = inputs(graph, "KSampler")
    assert {name: sampler[name] for name in ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise")} == {
        "seed": 7, "steps": 22, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    assert inputs(graph, "FluxGuidance")[0]["guidance"] == 6.5
    assert inputs(graph, "EmptySD3LatentImage") == [{"width": 1024, "height": 1024, "batch_size": 1}]
    prompt = graph.as_json()
    assert prompt[sampler["negative"][0]]["class_type"] == "ConditioningZeroOut"
    assert prompt[sampler["positive"][0]]["class_type"] == "FluxGuidance"
    assert inputs(graph, "SaveImage")[0]["filename_prefix"] == "callsheet/poster"


@settings(deadline=None)
@given(st.floats(-2, 2, allow_nan=False))
def test_the_character_strength_is_wired_to_model_and_text(strength: float) -> None:
    graph = poster_graph(replace(FULL, characters=(replace(AVA, strength=strength),)))
    style, character = inputs(graph, "LoraLoader")
    assert (character["strength_model"], character["strength_clip"]) == (strength, strength)
    assert (style["strength_model"], style["strength_clip"]) == (1.0, 1.0)


def test_slot_1_is_the_style_and_characters_follow_in_their_order() -> None:
    graph = poster_graph(FULL)
    prompt = graph.as_json()
    loaded, node = [], prompt[inputs(graph, "KSampler")[0]["model"][0]]
    while node["class_type"] == "LoraLoader":
        loaded.append(node["inputs"]["lora_name"])
        assert node["inputs"]["clip"] == [node["inputs"]["model"][0], 1], "model and text go through the same LoRAs"
        node = prompt[node["inputs"]["model"][0]]
    assert loaded[::-1] == [STYLE.file, AVA.file, BEN.file]
    assert node["class_type"] == "CheckpointLoaderSimple"


def test_the_text_is_encoded_by_what_all_loras_changed() -> None:
    graph = poster_graph(FULL)
    text, sampler = inputs(graph, "CLIPTextEncode")[0], inputs(graph, "KSampler")[0]
    assert text["clip"] == [sampler["model"][0], 1]


def test_every_lora_is_titled_with_its_actor() -> None:
    titles = [node["_meta"]["title"] for node in poster_graph(FULL).as_json().values() if "LoRA" in str(node)]
    assert titles == ["style LoRA SBai_style_101", "character LoRA of Ava", "character LoRA of Ben"]


def test_a_poster_of_split_files_has_two_text_encoders() -> None:
    graph = poster_graph(replace(FULL, source=FLUX_PARTS))
    assert inputs(graph, "DualCLIPLoader") == [
        {"clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl_fp16.safetensors", "type": "flux"}]
    assert not inputs(graph, "CheckpointLoaderSimple")


@settings(deadline=None)
@given(posters)
def test_a_poster_of_any_size_is_exactly_that_size(poster: PosterGraph) -> None:
    graph = poster_graph(poster)
    (size,), crops = inputs(graph, "EmptySD3LatentImage"), inputs(graph, "ImageCrop")
    assert size["width"] % 16 == size["height"] % 16 == 0, f"{size} is no size of FLUX"
    out = crops[0] if crops else size
    assert (out["width"], out["height"]) == (poster.width, poster.height)
    for crop in crops:
        assert abs(size["width"] - crop["width"] - 2 * crop["x"]) <= 1, "cropped about the middle"
        assert abs(size["height"] - crop["height"] - 2 * crop["y"]) <= 1, "cropped about the middle"


def test_the_encoder_reads_the_prompt_exactly() -> None:
    prompt = 'Ava (smiling), 50% off: "hello" \\ {a|b} [x]'
    (node,) = inputs(poster_graph(replace(FULL, prompt=prompt)), "CLIPTextEncode")
    assert node["text"] == 'Ava \\(smiling\\), 50% off: "hello" \\ {a|b} [x]', "bare parentheses would be weights"
    assert literal("no brackets: nothing changes") == "no brackets: nothing changes"


def test_more_than_two_text_encoders_are_refused() -> None:
    with pytest.raises(InputError, match=r"3 text encoders.*one or two"):
        load_encoder(("a", "b", "c"), "flux")


# ---------------------------------------------------------------------------------------------------------- the clips


@settings(deadline=None)
@given(clips)
def test_exactly_the_frames_asked_for_come_out(clip: ClipGraph) -> None:
    graph = built(clip)
    step = 4 if isinstance(clip, WanGraph) else 8
    length = next(node["inputs"]["length"] for node in graph.as_json().values() if "batch_size" in node["inputs"])
    kept = next(cut for cut in inputs(graph, "ImageFromBatch") if cut["batch_index"] != LAST)
    assert length % step == 1, f"{length} frames would silently become fewer"
    assert kept["length"] == clip.num_frames
    assert kept["batch_index"] == int(clip.goes_on), "a clip that goes on drops the repeated first frame"
    assert kept["batch_index"] + kept["length"] <= length, f"{length} frames are too few"
    assert length - kept["length"] < step + 9, f"{length} frames are wasteful for {clip.num_frames}"


@pytest.mark.parametrize(("goes_on", "first"), [(False, 0), (True, 1)])
@pytest.mark.parametrize("clip", [WAN, replace(WAN, source=A14B), LTXV])
def test_a_segment_of_120_frames_asks_for_121(clip: ClipGraph, goes_on: bool, first: int) -> None:
    graph = built(replace(clip, goes_on=goes_on))
    assert "'length': 121" in str(graph.as_json())
    assert [(cut["batch_index"], cut["length"]) for cut in inputs(graph, "ImageFromBatch")] == [(first, 120), (LAST, 1)]


@settings(deadline=None)
@given(clips)
def test_the_last_frame_is_the_clips_own_last_one(clip: ClipGraph) -> None:
    graph = built(clip)
    prompt = graph.as_json()
    video = prompt[prompt[graph.ids["main"]]["inputs"]["video"][0]]["inputs"]["images"]
    last = prompt[prompt[graph.ids["last_frame"]]["inputs"]["images"][0]]["inputs"]
    assert (last["batch_index"], last["length"]) == (LAST, 1)
    assert last["image"] == video, "frames that are cut off the video must not be the next clip's first"


@settings(deadline=None)
@given(clips)
def test_a_clip_of_any_size_is_exactly_that_size(clip: ClipGraph) -> None:
    graph = built(clip)
    size = next(node["inputs"] for node in graph.as_json().values() if "batch_size" in node["inputs"])
    multiple = 16 if isinstance(clip, WanGraph) and clip.source in (A14B, A14B_WORDS) else 32
    assert size["width"] % multiple == size["height"] % multiple == 0, f"{size} is no size of the model"
    scaled = inputs(graph, "ImageScale")
    out = scaled[-1] if scaled else size
    assert (out["width"], out["height"]) == (clip.width, clip.height)


@pytest.mark.parametrize("clip", [WAN, LTXV])
def test_a_chain_of_clips_does_not_creep_into_its_picture(clip: ClipGraph) -> None:
    scaled = inputs(built(replace(clip, width=854, height=480)), "ImageScale")
    assert [(each["width"], each["height"], each["crop"]) for each in scaled] == [
        (854, 480, "center"), (864, 480, "disabled"), (854, 480, "disabled")]


@pytest.mark.parametrize("clip", [WAN, replace(WAN, source=A14B), LTXV])
def test_a_first_frame_leads_to_the_clip_and_words_alone_load_no_picture(clip: ClipGraph) -> None:
    graph = built(clip)
    assert inputs(graph, "LoadImage") == [{"image": "poster.png"}]
    assert "LoadImage" in upstream(graph, graph.ids["main"])
    assert not inputs(built(replace(clip, first_frame="")), "LoadImage")


@pytest.mark.parametrize("make", [WanGraph, LtxvGraph])
def test_a_clip_cannot_go_on_from_nothing(make: type[ClipGraph]) -> None:
    with pytest.raises(InputError, match="goes on has no first frame"):
        make("she walks", goes_on=True)


@pytest.mark.parametrize("make", [WanGraph, LtxvGraph])
def test_a_clip_has_even_sides(make: type[ClipGraph]) -> None:
    with pytest.raises(InputError, match=r"cannot be 768x431.*even sides"):
        make("she walks", height=431)


@pytest.mark.parametrize("clip", [WAN, LTXV])
def test_strength_and_order_of_a_clips_loras_are_wired(clip: ClipGraph) -> None:
    graph = built(replace(clip, loras=(STYLE, replace(AVA, strength=0.35))))
    first, second = inputs(graph, "LoraLoaderModelOnly")
    assert (first["lora_name"], first["strength_model"]) == (STYLE.file, 1.0)
    assert (second["lora_name"], second["strength_model"]) == (AVA.file, 0.35)
    assert graph.as_json()[second["model"][0]]["inputs"] == first


def test_the_5b_samples_with_its_shift_and_both_prompts() -> None:
    graph = wan_graph(WAN)
    (sampler,) = inputs(graph, "KSampler")
    prompt = graph.as_json()
    assert prompt[sampler["model"][0]]["inputs"]["shift"] == 8.0
    assert (sampler["sampler_name"], sampler["scheduler"], sampler["cfg"]) == ("uni_pc", "simple", 5.0)
    assert prompt[sampler["positive"][0]]["inputs"]["text"] == "she walks"
    assert prompt[sampler["negative"][0]]["inputs"]["text"] == "blurry"
    assert inputs(graph, "CLIPLoader")[0]["type"] == "wan"


@pytest.mark.parametrize("steps", [2, 3, 20, 31])
def test_two_experts_share_the_steps_and_pass_the_noise_on(steps: int) -> None:
    graph = wan_graph(replace(WAN, source=A14B, steps=steps))
    high, low = inputs(graph, "KSamplerAdvanced")
    assert (high["start_at_step"], low["end_at_step"]) == (0, steps)
    assert 0 < high["end_at_step"] == low["start_at_step"] < steps
    assert (high["add_noise"], high["return_with_leftover_noise"]) == ("enable", "enable")
    assert (low["add_noise"], low["return_with_leftover_noise"]) == ("disable", "disable")
    prompt = graph.as_json()
    assert prompt[low["latent_image"][0]]["inputs"] == high


def test_both_experts_load_the_actors_lora() -> None:
    graph = wan_graph(replace(WAN, source=A14B))
    assert [each["lora_name"] for each in inputs(graph, "LoraLoaderModelOnly")] == [AVA.file, AVA.file]
    titles = [node["_meta"]["title"] for node in graph.as_json().values() if "LoRA" in node["_meta"]["title"]]
    assert titles == ["high noise LoRA of Ava", "low noise LoRA of Ava"]


def test_two_experts_cannot_share_one_step() -> None:
    with pytest.raises(InputError, match=r"two experts cannot share 1 step.*2 steps or more"):
        wan_graph(replace(WAN, source=A14B, steps=1))


def test_ltxv_is_told_the_frame_rate_and_spaces_its_steps_by_the_length() -> None:
    graph = ltxv_graph(LTXV)
    prompt = graph.as_json()
    (sampler,), (spacing,) = inputs(graph, "SamplerCustom"), inputs(graph, "LTXVScheduler")
    assert inputs(graph, "LTXVConditioning")[0]["frame_rate"] == 24.0
    assert prompt[sampler["positive"][0]]["class_type"] == "LTXVConditioning"
    assert spacing["steps"] == 30
    assert spacing["latent"] == sampler["latent_image"]
    assert inputs(graph, "CLIPLoader")[0]["type"] == "ltxv"


@pytest.mark.parametrize("clip", [WAN, LTXV])
def test_the_video_is_asked_for_in_words_of_old_and_new_servers(clip: ClipGraph) -> None:
    (save,) = inputs(built(clip), "SaveVideo")
    assert (save["format"], save["codec"], save["format.codec"]) == ("mp4", "h264", "h264")


@pytest.mark.parametrize("clip", [WAN, LTXV])
def test_files_go_to_the_folder_of_the_clip(clip: ClipGraph) -> None:
    prompt = built(replace(clip, prefix="segments/ava/run-7")).as_json()
    saved = [node["inputs"]["filename_prefix"] for node in prompt.values() if "filename_prefix" in node["inputs"]]
    assert saved == ["segments/ava/run-7/clip", "segments/ava/run-7/last_frame"]
