"""What the handler takes: checked by field before anything is claimed or made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callsheet.errors import RequestInvalid
from callsheet.jobs.requests import LipsyncOnly
from callsheet.recipes import EngineId, SegmentRecipe
from callsheet.runpod.job_inputs import FlowRunJob, StageJob, may_pass, read_work

RECIPE = SegmentRecipe(
    label="scene 1, segment 1", engine=EngineId(name="placeholder", version=1), scene="a hill", prompt="a hill, night",
    width=128, height=128, num_frames=4, steps=20, cfg=6.0, loras=(), seed=7,
)
RUN_ID = "7f0e2d9e-4c1d-4f0a-9a57-0d5b1d0f0a01"


def stage_input(**changes: Any) -> dict[str, Any]:
    return {**json.loads(StageJob.of(RECIPE).model_dump_json()), **changes}


def flow_run_input(**changes: Any) -> dict[str, Any]:
    environment = {"PREFECT_API_URL": "https://prefect.example/api"}
    return {"job_type": "flow_run", "flow_run_id": RUN_ID, "environment": environment, "deadline_s": 60, **changes}


def test_a_stage_s_recipe_comes_back_as_it_was_sent() -> None:
    work = read_work(stage_input(attempt=2))
    assert isinstance(work, StageJob)
    assert (work.made(), work.made().label, work.attempt) == (RECIPE, RECIPE.label, 2)


@pytest.mark.parametrize(("changes", "told"), [
    ({"key": "segments/" + "0" * 64}, "not its key: install the same release"),
    ({"recipe": {**RECIPE.model_dump(mode="json"), "seed": 8}}, "not its key"),
    ({"recipe": {**RECIPE.model_dump(mode="json"), "hue": 8}}, "recipe.hue is no field here: install the same release"),
    ({"stage": "mix"}, "stage mix needs no GPU: send one of poster"),
    ({"stage": "dancing"}, "input.stage: is not a word known here"),
    ({"attempt": 0}, r"input.attempt: is under 1"),
    ({"since": "yesterday"}, "input.since"),
    ({"recipe": None}, "input.recipe"),
    ({"colour": 1}, "input.colour: is no field here"),
])
def test_a_stage_job_that_makes_no_sense_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestInvalid, match=told):
        read_work(stage_input(**changes))


def test_a_shoot_needs_orders() -> None:
    with pytest.raises(RequestInvalid, match=r"input\.orders"):
        read_work({"job_type": "shoot", "orders": []})


def test_a_flow_run_brings_only_what_it_may() -> None:
    work = read_work(flow_run_input())
    assert isinstance(work, FlowRunJob)
    assert (str(work.flow_run_id), work.key, work.attempt) == (RUN_ID, f"flow_run/{RUN_ID}", None)
    for name in ("LD_PRELOAD", "PATH", "PYTHONPATH", "RUNPOD_API_KEY", "CALLSHEET_FFMPEG", "CALLSHEET_GPU"):
        assert not may_pass(name)
        with pytest.raises(RequestInvalid, match=f"may not have '{name}'"):
            read_work(flow_run_input(environment={"PREFECT_API_URL": "x", name: "x"}))
    for name in ("PREFECT_API_KEY", "CALLSHEET_STORE", "AWS_REGION", "R2_BUCKET"):
        assert may_pass(name)


@pytest.mark.parametrize("changes", [
    {"flow_run_id": "../etc"}, {"deadline_s": 0}, {"deadline_s": 1e9}, {"environment": {}}, {"flow_run_id": None},
])
def test_a_flow_run_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid, match=r"input"):
        read_work(flow_run_input(**changes))


def test_a_flow_run_s_environment_is_not_in_its_repr() -> None:
    work = read_work(flow_run_input(environment={"PREFECT_API_URL": "x", "PREFECT_API_KEY": "hush"}))
    assert "hush" not in repr(work)


def test_public_jobs_are_read_as_everywhere() -> None:
    fields = {"job_type": "lipsync_only", "image": "https://a.example/a.png", "audio": "https://a.example/a.wav"}
    assert isinstance(read_work(fields), LipsyncOnly)
    with pytest.raises(RequestInvalid, match=r"input\.image: is missing"):
        read_work({"job_type": "lipsync_only", "audio": "x"})


@pytest.mark.parametrize("fields", [None, "lipsync_only", [], {}, {"job_type": 3}, {"job_type": "dance"}])
def test_what_is_no_job_is_refused_with_the_list_of_job_types(fields: Any) -> None:
    with pytest.raises(RequestInvalid) as refused:
        read_work(fields)
    assert "object" in str(refused.value) or "missing" in str(refused.value) or "shoot, flow_run" in str(refused.value)
