"""What a history says, read without a server."""

from __future__ import annotations

from typing import Any

import pytest

from callsheet.engines.comfyui.client import Refusal, ServerFile
from callsheet.engines.comfyui.outputs import failure, files, refused
from callsheet.engines.graphs.parts import Lora
from callsheet.engines.graphs.poster import PosterGraph, poster_graph
from callsheet.errors import CallsheetError, Cancelled, EngineError, EngineUnable, LoraUnreadable, OutOfMemory

GRAPH = poster_graph(PosterGraph("a portrait", characters=(Lora("people/ava.safetensors", 0.7, "Ava"),)))
LORA = next(name for name, node in GRAPH.nodes.items() if node.class_type == "LoraLoader")
SAMPLER = next(name for name, node in GRAPH.nodes.items() if node.class_type == "KSampler")


def failed(node: str = SAMPLER, **facts: str) -> dict[str, Any]:
    return {"outputs": {}, "status": {"status_str": "error", "completed": False, "messages": [
        ["execution_start", {"prompt_id": "1"}],
        ["execution_error", {"prompt_id": "1", "node_id": node, "node_type": "X", **facts}]]}}


def told(entry: dict[str, Any]) -> CallsheetError:
    error = failure(entry, GRAPH, "the poster of Ava")
    assert error is not None
    return error


@pytest.mark.parametrize("key", ["images", "gifs", "videos", "audio"])
def test_files_are_found_under_every_key_that_nodes_use(key: str) -> None:
    entry = {"outputs": {"9": {key: [{"filename": "a.mp4", "subfolder": "x", "type": "output"}], "animated": [True]}}}
    assert files(entry) == {"9": (ServerFile("a.mp4", "x", "output"),)}


def test_temporary_previews_and_what_is_no_file_are_left_out() -> None:
    entry = {"outputs": {
        "3": {"images": [{"filename": "p.png", "subfolder": "", "type": "temp"}]}, "4": {"text": ["words"]},
        "5": {"images": [None, {"subfolder": "x"}, {"filename": "b.png"}]}, "6": None}}
    assert files(entry) == {"5": (ServerFile("b.png", "", "output"),)}


def test_a_success_is_no_failure() -> None:
    assert failure({"status": {"status_str": "success", "completed": True, "messages": []}}, GRAPH, "it") is None
    assert failure({"outputs": {}}, GRAPH, "it") is None, "servers of old tell no status"


def test_an_interruption_counts_as_cancelled_although_it_is_called_an_error() -> None:
    entry = failed()
    entry["status"]["messages"][1][0] = "execution_interrupted"
    assert isinstance(told(entry), Cancelled)


@pytest.mark.parametrize(("kind", "words"), [
    ("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory."),
    ("torch.cuda.OutOfMemoryError", "CUDA out of memory."), ("RuntimeError", "CUDA error: out of memory"),
])
def test_too_little_memory_is_told_apart(kind: str, words: str) -> None:
    error = told(failed(exception_type=kind, exception_message=words))
    assert isinstance(error, OutOfMemory) and "sampler" in str(error) and not error.retryable


def test_a_torn_lora_names_its_file_and_its_actor_and_is_the_inputs_fault() -> None:
    error = told(failed(LORA, exception_type="safetensors_rust.SafetensorError",
                        exception_message="Error while deserializing header: MetadataIncompleteBuffer"))
    assert isinstance(error, LoraUnreadable)
    assert "people/ava.safetensors" in str(error) and "Ava" in str(error)


def test_any_other_error_names_its_node_and_is_not_tried_again() -> None:
    error = told(failed(exception_type="RuntimeError", exception_message="mat1 and mat2\n cannot be multiplied"))
    assert isinstance(error, EngineUnable) and not error.retryable
    assert "sampler (KSampler): mat1 and mat2 cannot be multiplied" in str(error) and "\n" not in str(error)


def test_an_error_without_a_reason_is_one_all_the_same() -> None:
    error = told({"status": {"status_str": "error", "messages": []}})
    assert type(error) is EngineError and error.retryable


def test_a_refused_graph_names_the_title_of_each_node_and_what_is_wrong_there() -> None:
    errors = [{"type": "value_not_in_list", "message": "Value not in list",
               "details": "lora_name: 'people/ava.safetensors' not in ['eva.safetensors']"}]
    refusal = Refusal(400, {"error": {"message": "Prompt outputs failed validation"},
                            "node_errors": {LORA: {"errors": errors, "class_type": "LoraLoader"}}})
    words = str(refused(refusal, GRAPH, "the poster of Ava"))
    assert "character LoRA of Ava (LoraLoader): Value not in list: lora_name" in words and "eva" in words


@pytest.mark.parametrize(("status", "answer", "word"), [
    (400, {"error": {"message": "", "details": "'9'"}}, "'9'"), (500, {}, "500"), (200, {"prompt_id": "other"}, "200"),
])
def test_a_bare_answer_is_told_as_it_is(status: int, answer: dict[str, Any], word: str) -> None:
    error = refused(Refusal(status, answer), GRAPH, "it")
    assert word in str(error) and error.retryable is (status == 500)


@pytest.mark.parametrize("entry", [
    {"outputs": [1], "status": {"messages": 5}},
    {"outputs": {"9": {"images": 5, "gifs": ["x"]}}, "status": {"messages": ["x", [1]]}},
])
def test_a_history_of_another_shape_names_no_file_and_breaks_nothing(entry: dict[str, Any]) -> None:
    assert files(entry) == {} and failure(entry, GRAPH, "the poster of Ava") is None


@pytest.mark.parametrize("errors", [5, ["x"], [], None])
def test_node_errors_of_another_shape_are_told_by_their_node(errors: Any) -> None:
    told = refused(Refusal(400, {"node_errors": {SAMPLER: {"errors": errors}}}), GRAPH, "the poster of Ava")
    assert "KSampler" in str(told)
