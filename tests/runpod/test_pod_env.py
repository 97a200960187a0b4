"""What a pod is told, and what is refused before it is paid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from callsheet.errors import SettingInvalid, SettingMissing
from callsheet.pricing import Rate
from callsheet.project import root
from callsheet.runpod.pod_env import LIFE_SIGNS, api_address, job_environment, pod_environment, store_address
from callsheet.settings import Settings
from tests.support.prefect_server import unconfigured

RATE = Rate(gpu="NVIDIA A40", usd_per_second=0.00022)
PUBLIC = "https://prefect.studio.example/api"


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)


def settings(**said: str) -> Settings:
    return Settings.load({"CALLSHEET_STORE": "s3://studio/store", "RUNPOD_API_KEY": "account-key", **said})


def told(of: Settings, **asked: str) -> dict[str, str]:
    return pod_environment(
        of, flow_run_id="run", api=PUBLIC, deadline_s=600, until=1_800_000_600.25, quiet_s=60, rate=RATE, asked=asked)


def test_a_pod_gets_what_it_needs_and_nothing_of_the_workers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_AUTH_STRING", "PREFECT_CLIENT_CUSTOM_HEADERS", "OPENAI_API_KEY", "SECRET_OF_MINE"):
        monkeypatch.setenv(name, "canary")
    env = told(settings(R2_BUCKET="films", R2_SECRET_KEY="r2-secret", R2_ENDPOINT="https://x.example"))
    assert "canary" not in env.values()
    assert "account-key" not in env.values()
    assert env["R2_SECRET_KEY"] == "r2-secret"
    assert env["CALLSHEET_STORE"] == "s3://studio/store"
    assert env["CALLSHEET_DELIVERY"] == "s3://films"
    assert (env["PREFECT_API_URL"], env["PREFECT__FLOW_RUN_ID"]) == (PUBLIC, "run")
    assert (env["CALLSHEET_POD_DEADLINE_S"], env["CALLSHEET_POD_QUIET_S"]) == ("600", "60")
    assert float(env["CALLSHEET_POD_UNTIL"]) == 1_800_000_600.25
    assert (env["CALLSHEET_GPU"], env["CALLSHEET_PAID_PLANE"], env["CALLSHEET_PAID_GPU"]) == ("here", "pod", RATE.gpu)
    assert float(env["CALLSHEET_PAID_RATE"]) == RATE.usd_per_second


def test_a_pod_plans_with_the_engine_and_the_fallback_of_whoever_asks() -> None:
    env = told(settings(CALLSHEET_ENGINE="comfyui", CALLSHEET_FALLBACK="never"))
    assert (env["CALLSHEET_ENGINE"], env["CALLSHEET_FALLBACK"]) == ("comfyui", "never")


def test_runs_on_rented_machines_give_signs_of_life_three_times_before_they_are_missed() -> None:
    automations = yaml.safe_load((root() / "deployments" / "automations.yaml").read_text())
    missed_s = next(each["trigger"]["within"] for each in automations if each["action"].get("state") == "CRASHED")
    for env in (told(settings()), job_environment(asked={})):
        assert int(env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]) * 3 <= missed_s


def test_a_local_delivery_is_not_told_to_a_pod_that_could_not_reach_it() -> None:
    assert "CALLSHEET_DELIVERY" not in told(settings())


def test_the_pool_may_add_variables_but_not_those_that_keep_a_pod_safe() -> None:
    assert told(settings(), HF_TOKEN="x")["HF_TOKEN"] == "x"
    for name in ("CALLSHEET_POD_DEADLINE_S", "CALLSHEET_POD_UNTIL", "RUNPOD_API_KEY", "PREFECT_API_URL"):
        with pytest.raises(SettingInvalid, match=name):
            told(settings(), **{name: "x"})


@pytest.mark.parametrize("address", [
    "http://127.0.0.1:4200/api", "http://localhost:4200/api", "http://192.168.1.7:4200/api", "http://10.0.0.4/api",
    "http://[::1]:4200/api", "http://prefect:4200/api", "http://studio.local/api", "http://169.254.1.1/api",
])
def test_an_address_that_pods_cannot_reach_is_refused_with_what_to_set(address: str) -> None:
    with pytest.raises(SettingInvalid, match="CALLSHEET_PREFECT_PUBLIC_URL"):
        api_address(settings(), address)
    emulated: dict[str, Any] = {"CALLSHEET_RUNPOD_API": "http://127.0.0.1:8899"}
    assert api_address(settings(**emulated), address) == address


def test_the_public_address_wins_and_must_not_be_this_machine() -> None:
    assert api_address(settings(CALLSHEET_PREFECT_PUBLIC_URL=PUBLIC), "http://127.0.0.1:4200/api") == PUBLIC
    with pytest.raises(SettingInvalid, match="this machine alone"):
        api_address(settings(CALLSHEET_PREFECT_PUBLIC_URL="http://localhost:4200/api"), None)
    with pytest.raises(SettingMissing, match="CALLSHEET_PREFECT_PUBLIC_URL"):
        api_address(settings(), None)


def test_a_store_in_a_folder_is_refused_unless_pods_are_rehearsed_here(tmp_path: Path) -> None:
    folder = str(tmp_path)
    with pytest.raises(SettingInvalid, match="CALLSHEET_STORE"):
        store_address(settings(CALLSHEET_STORE=folder))
    assert store_address(settings(CALLSHEET_STORE=folder, CALLSHEET_RUNPOD_API="http://localhost:1")) == folder


def test_a_job_brings_who_asks_and_signs_of_life() -> None:
    told = {"PREFECT__WORKER_NAME": "w", "PREFECT__FLOW_ID": "f"}
    assert job_environment(asked=told) == {**told, **LIFE_SIGNS}


@pytest.mark.parametrize("name", [
    "PREFECT_API_KEY", "PREFECT_LOGGING_LEVEL", "CALLSHEET_STORE", "AWS_REGION", "HF_TOKEN", "LD_PRELOAD"])
def test_what_a_pool_or_deployment_adds_stays_out_of_a_job_and_belongs_into_the_template(name: str) -> None:
    with pytest.raises(SettingInvalid, match=rf"env\.{name} .*endpoint's job.*endpoint's template") as refused:
        job_environment(asked={"PREFECT__WORKER_NAME": "w", name: "canary"})
    assert "canary" not in str(refused.value)
