"""What the handler takes: checked by field before anything is claimed or made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callsheet.errors import RequestInvalid
from callsheet.jobs.requests import LipsyncOnly
from callsheet.recipes import EngineId, SegmentRecipe
from callsheet.runpod.job_inputs import FlowRunJob, StageJob, read_work
from callsheet.runpod.pod_env import LIFE_SIGNS

RECIPE = SegmentRecipe(
    label="scene 1, segment 1", engine=EngineId(name="placeholder", version=1), scene="a hill", prompt="a hill, night",
    width=128, height=128, num_frames=4, steps=20, cfg=6.0, loras=(), seed=7,
)
RUN_ID = "7f0e2d9e-4c1d-4f0a-9a57-0d5b1d0f0a01"
API = "https://prefect.example/api"


def stage_input(**changes: Any) -> dict[str, Any]:
    return {**json.loads(StageJob.of(RECIPE).model_dump_json()), **changes}


def flow_run_input(**changes: Any) -> dict[str, Any]:
    return {"job_type": "flow_run", "flow_run_id": RUN_ID, "api": API, "deadline_s": 60, **changes}


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


BROUGHT = (
    "PREFECT__FLOW_RUN_ID", "PREFECT__WORKER_ID", "PREFECT__WORKER_NAME", "PREFECT__FLOW_ID", "PREFECT__FLOW_NAME",
    "PREFECT__DEPLOYMENT_ID", "PREFECT__DEPLOYMENT_NAME", "CALLSHEET_PAID_RATE", "CALLSHEET_PAID_GPU", *LIFE_SIGNS,
)


def test_a_flow_run_brings_what_is_named_here_and_nothing_else() -> None:
    work = read_work(flow_run_input(environment=dict.fromkeys(BROUGHT, "1")))
    assert isinstance(work, FlowRunJob)
    assert (str(work.flow_run_id), work.key, work.attempt) == (RUN_ID, f"flow_run/{RUN_ID}", None)
    assert set(work.environment) == set(BROUGHT)


@pytest.mark.parametrize("name", [
    "PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_CLIENT_CUSTOM_HEADERS", "PREFECT_LOGGING_SETTINGS_PATH",
    "PREFECT_PROFILES_PATH", "PREFECT__FLOW_ENTRYPOINT", "CALLSHEET_STORE", "CALLSHEET_HOME", "CALLSHEET_PROJECT",
    "CALLSHEET_RUNPOD_API", "CALLSHEET_PAID_JOB", "CALLSHEET_FFMPEG", "CALLSHEET_GPU", "AWS_ENDPOINT_URL",
    "AWS_CONFIG_FILE", "R2_ENDPOINT", "LD_PRELOAD", "PATH", "PYTHONPATH", "RUNPOD_API_KEY", "prefect__flow_id", "",
])
def test_a_variable_that_could_change_what_a_worker_runs_or_where_it_writes_is_refused(name: str) -> None:
    with pytest.raises(RequestInvalid, match=f"may not have '{name}'.*template"):
        read_work(flow_run_input(environment={name: "x"}))


def test_the_senders_address_is_read_without_credentials_and_with_one_spelling() -> None:
    work = read_work(flow_run_input(api="https://me:hush@Prefect.Example/api/"))
    assert isinstance(work, FlowRunJob) and work.api == API


@pytest.mark.parametrize("changes", [
    {"flow_run_id": "../etc"}, {"deadline_s": 0}, {"deadline_s": 1e9}, {"flow_run_id": None},
    {"api": ""}, {"api": None}, {"api": "prefect"}, {"api": "file:///etc"}, {"api": "http://[x"}, {"api": "https://"},
])
def test_a_flow_run_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid, match=r"input"):
        read_work(flow_run_input(**changes))


def test_a_flow_run_without_the_senders_address_is_refused() -> None:
    fields = flow_run_input()
    del fields["api"]
    with pytest.raises(RequestInvalid, match=r"input\.api: is missing"):
        read_work(fields)


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
