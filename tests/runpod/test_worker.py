"""The work-pool type: its form, its configuration, and what of the worker's own secrets never travels."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, get_args
from unittest.mock import MagicMock
from uuid import UUID

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from callsheet.costs import Outcome
from callsheet.pricing import CARDS
from callsheet.runpod.job_variables import CardName, JobVariables
from callsheet.runpod.tending import Phase
from callsheet.runpod.worker import RunPodJobConfiguration, RunPodWorker

RUN = UUID("0c3a1f5e-8f4a-4d55-9a53-6a4f0a0f0001")


def template() -> dict[str, Any]:
    return RunPodWorker.get_default_base_job_template()


def configuration(**values: Any) -> RunPodJobConfiguration:
    made = asyncio.run(RunPodJobConfiguration.from_template_and_values(template(), values, client=MagicMock()))
    assert isinstance(made, RunPodJobConfiguration)
    return made


def flow_run(**fields: Any) -> Any:
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import Pending

    return FlowRun(**{"id": RUN, "name": "brave-otter", "flow_id": UUID(int=7), "state": Pending(), **fields})


def test_the_type_is_registered_under_its_name() -> None:
    assert RunPodWorker.get_worker_class_from_type("runpod") is RunPodWorker


def test_the_form_has_a_title_words_and_a_place_for_everything_and_nothing_that_does_not_apply() -> None:
    shown = template()["variables"]["properties"]
    assert list(shown) == [*JobVariables.model_fields, "env"]
    assert set(template()["job_configuration"]) == set(shown)
    for place, (name, field) in enumerate(shown.items()):
        assert field.get("title") and field.get("description") and field["position"] == place, name
        assert "$ref" not in str(field), f"{name} is not shown as a list of choices"
    assert shown["mode"]["enum"] == ["pod", "serverless"]


def test_the_forms_defaults_are_good_and_its_ranges_hold() -> None:
    schema = template()["variables"]
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    defaults = {name: told["default"] for name, told in schema["properties"].items() if "default" in told}
    assert not list(check.iter_errors(defaults))
    for name, bad in {"mode": "cloud", "deadline_s": 5, "cards": ["B200"], "gpu_count": 0, "volume": "a b"}.items():
        assert list(check.iter_errors({name: bad})), name


def test_the_cards_of_the_form_are_those_that_have_a_price() -> None:
    assert get_args(CardName) == tuple(card.name for card in CARDS)


def test_an_untouched_pool_gives_the_defaults() -> None:
    made = configuration()
    assert (made.mode, made.deadline_s, made.cards, made.image, made.env) == ("pod", 3600, [], None, {})


def test_a_deployments_variables_go_before_the_pools() -> None:
    made = configuration(mode="serverless", deadline_s=900, cards=["H100"], env={"HF_TOKEN": "x"})
    assert (made.mode, made.deadline_s, made.cards, made.asked) == ("serverless", 900, ["H100"], {"HF_TOKEN": "x"})


def test_a_command_of_ones_own_is_refused() -> None:
    with pytest.raises(ValidationError, match="image's own command"):
        RunPodJobConfiguration(command="sleep 1")


def test_prepared_it_bears_the_runs_name_and_no_secret_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    made = configuration(env={"HF_TOKEN": "x"})
    with temporary_settings({PREFECT_API_AUTH_STRING: "canary", PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        made.prepare_for_flow_run(
            flow_run(), deployment=None, flow=None, work_pool=SimpleNamespace(id=UUID(int=1), name="gpu"),  # type: ignore[arg-type]
            worker_name="w", worker_id=UUID(int=2))
    assert made.name == f"callsheet-{RUN}"
    assert "canary" not in str(made.env) and "127.0.0.1" not in str(made.env)
    assert made.asked["HF_TOKEN"] == "x" and made.asked["PREFECT__WORKER_NAME"] == "w"
    assert made.labels["prefect.io/work-pool-name"] == "gpu"


def warned(monkeypatch: pytest.MonkeyPatch, level: int, **values: Any) -> list[str]:
    """What a worker that has a key for Prefect's API says about its machines'."""
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

    worker, log = RunPodWorker(work_pool_name="gpu"), logging.getLogger("test.worker")
    said: list[str] = []
    monkeypatch.setattr(worker, "get_flow_run_logger", lambda flow_run: log)
    monkeypatch.setattr(log, "handle", lambda record: said.append(record.getMessage()))
    log.setLevel(level)
    with temporary_settings({PREFECT_API_AUTH_STRING: "me:canary"}):
        worker._warn_of_keys(flow_run(), configuration(**values))
    assert "canary" not in str(said)
    return said


def test_a_key_for_prefect_goes_to_pods_by_a_secret_block(monkeypatch: pytest.MonkeyPatch) -> None:
    (said,) = warned(monkeypatch, logging.WARNING)
    assert "{{ prefect.blocks.secret.<name> }}" in said and "PREFECT_API_AUTH_STRING" in said
    assert warned(monkeypatch, logging.WARNING, env={"PREFECT_API_KEY": "x"}) == []


def test_a_key_for_prefect_goes_to_an_endpoint_by_its_template(monkeypatch: pytest.MonkeyPatch) -> None:
    (said,) = warned(monkeypatch, logging.INFO, mode="serverless")
    assert "template" in said and "block" not in said and "pool" not in said


def test_a_secret_block_in_the_pools_env_reaches_the_pod_and_not_the_pool() -> None:
    class Client:
        async def read_block_document_by_name(self, name: str, block_type_slug: str) -> Any:
            assert (name, block_type_slug) == ("prefect-key", "secret")
            return SimpleNamespace(data={"value": "hush"})

    pool = template()
    pool["variables"]["properties"]["env"]["default"] = {"PREFECT_API_KEY": "{{ prefect.blocks.secret.prefect-key }}"}
    made = asyncio.run(RunPodJobConfiguration.from_template_and_values(pool, {}, client=Client()))  # type: ignore[arg-type]
    assert made.asked == {"PREFECT_API_KEY": "hush"}
    assert "hush" not in str(pool)


@pytest.mark.parametrize(("type_", "name", "phase", "outcome"), [
    ("PENDING", "Submitting", Phase.WAITING, Outcome.UNKNOWN),
    ("RUNNING", "Running", Phase.RUNNING, Outcome.UNKNOWN),
    ("CANCELLING", "Cancelling", Phase.CANCELLING, Outcome.UNKNOWN),
    ("SCHEDULED", "Late", Phase.LEFT, Outcome.UNKNOWN),
    ("SCHEDULED", "AwaitingRetry", Phase.LEFT, Outcome.UNKNOWN),
    ("PAUSED", "Suspended", Phase.LEFT, Outcome.UNKNOWN),
    ("COMPLETED", "Completed", Phase.FINAL, Outcome.MADE),
    ("CRASHED", "Crashed", Phase.FINAL, Outcome.FAILED),
    ("CANCELLED", "Cancelled", Phase.FINAL, Outcome.CANCELLED),
])
def test_every_state_of_a_run_says_what_its_machine_is_for(
    type_: str, name: str, phase: Phase, outcome: Outcome
) -> None:
    from prefect.client.schemas.objects import State, StateType

    from tasks.desk import sight_of

    seen = sight_of(flow_run(state=State(type=StateType(type_), name=name)))
    assert (seen.phase, seen.outcome, seen.told) == (phase, outcome, name)


def test_a_flow_that_waits_for_its_own_retry_keeps_its_machine() -> None:
    from prefect.client.schemas.objects import FlowRunPolicy
    from prefect.states import AwaitingRetry

    from tasks.desk import sight_of

    run = flow_run(state=AwaitingRetry(), empirical_policy=FlowRunPolicy(retry_type="in_process"))
    assert sight_of(run).phase is Phase.RUNNING


def test_the_payer_of_a_run_is_read_from_its_parameters() -> None:
    from tasks.desk import actors, payer

    orders = [{"job_id": "one", "cast": [{"id": "0001_european"}]}, {"job_id": "two", "cast": [{"id": "0002_asian"}]}]
    both = flow_run(parameters={"orders": orders, "purse": {"batch": "night"}})
    assert list(actors(both.parameters)) == ["0001_european", "0002_asian"]
    assert (payer(both).run, payer(both).actor, payer(both).budgets) == ("night", "", ("batch/night",))
    alone = payer(flow_run(parameters={"orders": orders[:1]}))
    assert (alone.run, alone.order, alone.actor) == ("brave-otter", "one", "0001_european")
    assert payer(flow_run(parameters={"orders": "nonsense", "order": 7})).run == "brave-otter"
