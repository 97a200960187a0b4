"""The check of graphs against a server's schema: all of ours pass it, and it finds what a server keeps quiet about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.engines.comfyui.server_files import Shelf
from callsheet.engines.graphs.fields import fields
from callsheet.engines.graphs.names import find, near
from callsheet.engines.graphs.node import Graph, Node
from callsheet.engines.graphs.parts import Lora
from callsheet.engines.graphs.poster import PosterGraph, poster_graph
from callsheet.engines.graphs.schema import Fault, Problem, check, check_json, require
from callsheet.engines.graphs.wan import WanGraph, wan_graph
from callsheet.errors import EngineUnable, GraphRefused
from tests.support.graph_cases import AVA, FULL_SCHEMA, SMALL_SCHEMA, every_choice, graphs, schema

SMALL = schema()
HERE = {path: schema(path) for path in (SMALL_SCHEMA, FULL_SCHEMA) if path.exists()}
POSTER = poster_graph(PosterGraph("a portrait", characters=(AVA,)))
CLIP = wan_graph(WanGraph("she walks", first_frame="poster.png", loras=(AVA,)))


def broken(change: Callable[[dict[str, Any]], Any], graph: Graph = POSTER) -> list[Problem]:
    prompt = graph.as_json()
    change(prompt)
    return check_json(prompt, SMALL, saved=True)


def of(prompt: dict[str, Any], class_type: str) -> dict[str, Any]:
    found: dict[str, Any] = next(node["inputs"] for node in prompt.values() if node["class_type"] == class_type)
    return found


def stocked(**files: list[str]) -> dict[str, Any]:
    """The small schema of a server that has these files, by the name of the input."""
    info = schema()
    for node in info.values():
        for name in node["input"]["required"].keys() & files.keys():
            node["input"]["required"][name][0] = files[name]
    return info


# -------------------------------------------------------------------------------------------------- all graphs pass it


@pytest.mark.parametrize("path", HERE, ids=lambda path: path.stem)
def test_every_choice_of_ours_is_known_to_the_server(path: Path) -> None:
    checked = [check(graph, HERE[path], saved=True) for graph in every_choice()]
    assert [str(problem) for problems in checked for problem in problems] == []
    assert len(checked) == 2 * 2 * 3 * 2 + 4 * 3 * 2 * 2 * 3, "no combination is left out"


@pytest.mark.parametrize("path", HERE, ids=lambda path: path.stem)
@settings(deadline=None)
@given(graphs)
def test_every_combination_of_options_is_a_graph_that_a_server_makes(path: Path, graph: Graph) -> None:
    assert [str(problem) for problem in check(graph, HERE[path], saved=True)] == []


@pytest.mark.skipif(not FULL_SCHEMA.exists(), reason="the schema of a real server is not here")
@pytest.mark.parametrize("class_type", SMALL)
def test_the_small_schema_is_that_of_a_real_server(class_type: str) -> None:
    ours, real = SMALL[class_type], HERE[FULL_SCHEMA][class_type]
    given_values = {"format": "mp4", "codec": "h264", "format.codec": "h264"}
    known, there = fields(ours, given_values), fields(real, given_values)
    assert (ours["output"], ours["output_node"]) == (real["output"], real["output_node"])
    assert {name for name, field in there.items() if field.required} <= known.keys() <= there.keys()
    for name, field in known.items():
        mine, other = replace(field, choices=()), replace(there[name], choices=())
        assert mine == other, f"{class_type}.{name} is {other} on a real server"


@pytest.mark.parametrize("path", HERE, ids=lambda path: path.stem)
@settings(deadline=None, max_examples=50)
@given(graph=graphs, data=st.data())
def test_no_input_of_ours_could_be_left_out_or_misspelt_unseen(path: Path, graph: Graph, data: st.DataObject) -> None:
    prompt = graph.as_json()
    number = data.draw(st.sampled_from(sorted(prompt)))
    name = data.draw(st.sampled_from(sorted(prompt[number]["inputs"])))
    value = prompt[number]["inputs"].pop(name)
    prompt[number]["inputs"][f"{name}_"] = value
    faults = [problem.fault for problem in check_json(prompt, HERE[path], saved=True) if problem.node == number]
    assert Fault.UNKNOWN_INPUT in faults, f"{name}_ of {prompt[number]['class_type']} would be ignored"


# -------------------------------------------------------------------------------------------- what servers keep quiet


def test_an_input_that_the_server_would_ignore_is_named_with_the_one_that_was_meant() -> None:
    (problem, missing) = sorted(
        broken(lambda prompt: of(prompt, "FluxGuidance").update(guidence=of(prompt, "FluxGuidance").pop("guidance"))),
        key=lambda problem: problem.fault, reverse=True,
    )
    assert (problem.fault, problem.field, problem.near) == (Fault.UNKNOWN_INPUT, "guidence", ("guidance",))
    assert (missing.fault, missing.field) == (Fault.MISSING_INPUT, "guidance")
    assert str(problem) == ('"guidance" (node 4, FluxGuidance): guidence would be ignored: the node has no such input; '
                            "near are guidance")


def test_a_node_that_leads_nowhere_is_found() -> None:
    lost = {"class_type": "LoadImage", "inputs": {"image": "a.png"}, "_meta": {"title": "forgotten"}}
    (problem,) = broken(lambda prompt: prompt.update({"99": lost}))
    assert (problem.fault, problem.title) == (Fault.UNCONNECTED, "forgotten")


def test_a_lora_that_is_loaded_but_not_wired_is_found() -> None:
    """Else a character's strength would change nothing."""

    def unwire(prompt: dict[str, Any]) -> None:
        checkpoint = next(number for number, node in prompt.items() if "Checkpoint" in node["class_type"])
        of(prompt, "KSampler")["model"] = [checkpoint, 0]
        of(prompt, "CLIPTextEncode")["clip"] = [checkpoint, 1]

    (problem,) = broken(unwire)
    assert (problem.fault, problem.title) == (Fault.UNCONNECTED, "character LoRA of Ava")


def test_a_graph_that_saves_nothing_is_found() -> None:
    node = Node("LoadImage", "picture", {"image": "a.png"})
    (problem,) = check(Graph({"main": node}), SMALL, saved=True)
    assert str(problem) == "nothing is saved: the graph has no output node"


@pytest.mark.parametrize(("length", "right"), [(121, True), (120, False), (117, True), (119, False)])
def test_a_length_that_would_silently_become_another_is_found(length: int, right: bool) -> None:
    found = broken(lambda prompt: of(prompt, "Wan22ImageToVideoLatent").update(length=length), CLIP)
    assert [problem.fault for problem in found] == ([] if right else [Fault.OUT_OF_RANGE]), f"length {length}"


def test_a_number_written_as_text_is_found() -> None:
    (problem,) = broken(lambda prompt: of(prompt, "KSampler").update(steps="64"))
    assert (problem.fault, problem.detail) == (Fault.BAD_VALUE, "'64' is no INT")


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("cfg", 100.5), ("seed", -1), ("denoise", 1.1)])
def test_a_number_out_of_range_is_found(name: str, value: float) -> None:
    (problem,) = broken(lambda prompt: of(prompt, "KSampler").update({name: value}))
    assert (problem.fault, problem.field) == (Fault.OUT_OF_RANGE, name)
    assert str(value) in problem.detail


@pytest.mark.parametrize("value", [True, 1.5, float("nan"), None])
def test_what_is_no_whole_number_is_found(value: object) -> None:
    (problem,) = broken(lambda prompt: of(prompt, "KSampler").update(steps=value))
    assert problem.fault is Fault.BAD_VALUE


@pytest.mark.parametrize(("link", "says"), [
    (["77", 0], "linked to node 77, which is not there"),
    (["1", 5], "linked to output 5 of CheckpointLoaderSimple, which has 3"),
    (["1", 2], "needs a MODEL, but CheckpointLoaderSimple gives a VAE"),
    ("1", "'1' is no link; it needs a MODEL"),
])
def test_a_wrong_link_is_told_in_words(link: object, says: str) -> None:
    found = broken(lambda prompt: of(prompt, "LoraLoader").update(model=link))
    assert [problem.fault for problem in found] == [Fault.BAD_LINK]
    assert says in str(found[0])


def test_a_node_that_the_server_lacks_is_named_with_near_ones() -> None:
    def misspell(prompt: dict[str, Any]) -> None:
        next(node for node in prompt.values() if node["class_type"] == "VAEDecode")["class_type"] = "VAEDecodes"

    (problem,) = broken(misspell)
    assert (problem.fault, problem.near) == (Fault.UNKNOWN_NODE, ("VAEDecode",))


def test_the_editors_format_is_told_apart() -> None:
    (problem,) = check_json({"nodes": [], "links": [], "version": 0.4}, SMALL)
    assert problem.fault is Fault.FORMAT
    assert "export it again as API" in str(problem)


# ------------------------------------------------------------------------------------------------------ names of files


def test_a_missing_lora_is_named_with_its_actor_and_near_matches() -> None:
    info = stocked(ckpt_name=["flux1-dev-fp8.safetensors"], lora_name=["people/ava_v1.safetensors", "zoe.safetensors"])
    with pytest.raises(GraphRefused) as caught:
        require(POSTER, info, "comfyui", "the poster of Ava")
    assert str(caught.value) == (
        'comfyui cannot make the poster of Ava ("character LoRA of Ava" (node 2, LoraLoader): lora_name '
        "'people/ava_v2.safetensors' is none of the 2 that the server has; near are people/ava_v1.safetensors): "
        "put files that are named there where the server looks for them, or update the server"
    )
    assert not caught.value.retryable


def test_a_graph_whose_files_are_all_there_passes() -> None:
    require(POSTER, stocked(ckpt_name=["flux1-dev-fp8.safetensors"], lora_name=[AVA.file]), "comfyui", "a poster")


def test_a_living_server_without_files_has_none() -> None:
    details = [problem.detail for problem in check(POSTER, SMALL)]
    assert details == ["'flux1-dev-fp8.safetensors' is not there: the server has none",
                       "'people/ava_v2.safetensors' is not there: the server has none"]


def test_a_list_without_files_of_a_saved_schema_takes_any_file_but_no_other_word() -> None:
    assert SMALL["VAELoader"]["input"]["required"]["vae_name"] == [["pixel_space"]]
    assert not broken(lambda prompt: of(prompt, "VAELoader").update(vae_name="other.safetensors"), CLIP)
    (problem,) = broken(lambda prompt: of(prompt, "VAELoader").update(vae_name="pixel_spice"), CLIP)
    assert (problem.fault, problem.near) == (Fault.NO_CHOICE, ("pixel_space",))


def test_an_empty_name_is_no_name_even_where_any_will_do() -> None:
    (problem,) = check(poster_graph(PosterGraph("x", characters=(Lora("", 1.0, "Ben"),))), SMALL, saved=True)
    assert str(problem) == '"character LoRA of Ben" (node 2, LoraLoader): lora_name is empty'


def test_a_sampler_that_the_server_lacks_is_named_with_near_ones() -> None:
    (problem,) = check(poster_graph(PosterGraph("x", sampler_name="euler_a")), SMALL, saved=True)
    assert problem.fault is Fault.NO_CHOICE
    assert "euler" in problem.near


def test_a_picture_that_will_be_uploaded_need_not_be_listed() -> None:
    assert not check(CLIP, SMALL, saved=True)
    assert SMALL["LoadImage"]["input"]["required"]["image"][0] == ["example.png"]


@pytest.mark.parametrize(("wanted", "there"), [
    ("ava", "ava.safetensors"), ("ava.safetensors", "people/ava.safetensors"), ("ava", "people\\ava.safetensors"),
    ("people/ava", "people\\ava.safetensors"), ("ava.safetensors", "ava.safetensors"),
])
def test_a_name_is_found_with_or_without_suffix_and_folder(wanted: str, there: str) -> None:
    assert find(wanted, ["ava_v2.safetensors", there]) == (there,)


def test_a_name_in_several_folders_is_told_as_such_and_the_exact_one_wins() -> None:
    assert find("ava", ["a/ava.safetensors", "b/ava.safetensors"]) == ("a/ava.safetensors", "b/ava.safetensors")
    assert find("ava.safetensors", ["a/ava.safetensors", "ava.safetensors"]) == ("ava.safetensors",)
    assert find("ava", ["a/ava.safetensors", "ava.safetensors"]) == ("ava.safetensors",)
    assert find("ava.safetensors", ["ava.ckpt", "ava.safetensors"]) == ("ava.safetensors",)
    assert find("ava", ["avatar.safetensors"]) == ()


def test_near_names_are_found_through_folders_and_letter_case() -> None:
    assert near("Ava_v2", ["people/ava_v1.safetensors", "zoe.safetensors"]) == ("people/ava_v1.safetensors",)


# ------------------------------------------------------------------------------------------- servers of other versions


def old_server() -> dict[str, Any]:
    """SaveVideo as servers of 2025 had it: the codec is an input of its own."""
    info = schema()
    info["SaveVideo"]["input"] = {"required": {
        "video": ["VIDEO", {}], "filename_prefix": ["STRING", {}],
        "format": ["COMBO", {"options": ["auto", "mp4"]}], "codec": ["COMBO", {"options": ["auto", "h264"]}],
    }}
    return info


def test_one_graph_saves_its_video_on_old_and_new_servers() -> None:
    assert check(CLIP, SMALL, saved=True) == []
    assert check(CLIP, old_server(), saved=True) == []


@pytest.mark.parametrize(("info", "name"), [(SMALL, "format.codec"), (old_server(), "codec")])
def test_leaving_out_the_codec_is_found_on_both(info: dict[str, Any], name: str) -> None:
    prompt = CLIP.as_json()
    del of(prompt, "SaveVideo")[name]
    assert (Fault.MISSING_INPUT, name) in [(each.fault, each.field) for each in check_json(prompt, info, saved=True)]


def test_two_codecs_that_differ_are_found_on_an_old_server() -> None:
    prompt = CLIP.as_json()
    of(prompt, "SaveVideo")["format.codec"] = "av1"
    assert [each.fault for each in check_json(prompt, old_server(), saved=True)] == [Fault.UNKNOWN_INPUT]


def test_inputs_that_grow_by_need_are_known() -> None:
    info = {"Join": {"input": {"required": {"parts": ["COMFY_AUTOGROW_V3", {"template": {}}]}}, "output": ["*"],
                     "output_node": True}}
    prompt = {"1": {"class_type": "Join", "inputs": {"parts.part1": 3, "parts.part2": 4}}}
    assert [each.fault for each in check_json(prompt, info) if each.fault is not Fault.MISSING_INPUT] == []


@pytest.mark.parametrize("entry", [
    {}, {"input": 5}, {"input": {"required": [1]}}, {"input": {"required": {"seed": []}}},
    {"input": {"required": {"seed": ["INT", {"step": "x"}]}}},
    {"input": {"required": {"seed": ["COMBO", {"options": 5}]}}},
])
def test_an_entry_that_is_none_is_a_problem_and_not_a_crash(entry: Any) -> None:
    graph = {"1": {"class_type": "Odd", "inputs": {"seed": 1}}}
    found = check_json(graph, {"Odd": {"output_node": True, **entry}, "Null": {"output": None}})
    assert [problem.fault for problem in found] == [Fault.FORMAT], list(map(str, found))
    with pytest.raises(EngineUnable, match="node Odd its inputs cannot be read"):
        Shelf({"Odd": entry}, "comfyui")._choices("Odd", "seed")
