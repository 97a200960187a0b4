"""A real Prefect server with workers: runs from the form, the schedule and an event, each to its video."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from callsheet.events import LoraTrained, as_event
from callsheet.media.probe import probe
from tests.support.browser import page, shot
from tests.support.house import AVA, EXAMPLES, MARTA, House, forget, small_manifest, up

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("house")
    yield folder
    forget(folder)


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Path:
    return small_manifest(folder)


@pytest.fixture(scope="module")
def house(folder: Path, manifest: Path) -> Iterator[House]:
    with up(folder, manifest) as running:
        yield running


def test_the_schedule_makes_the_night_s_films(house: House, manifest: Path) -> None:
    nightly = house.deployment("batch/nightly")
    assert [s["schedule"]["cron"] for s in house.get(f"/deployments/{nightly}")["schedules"]] == ["0 2 * * *"]
    soon = datetime.now(UTC) + timedelta(seconds=20)   # the server plans new schedules within some seconds
    [schedule] = house.post(
        f"/deployments/{nightly}/schedules",
        [{"schedule": {"interval": 60, "anchor_date": soon.isoformat()}, "active": True}],
    )
    house.wait("the schedule to start a run", lambda: house.runs("batch/nightly"))
    house.delete(f"/deployments/{nightly}/schedules/{schedule['id']}")            # one night is enough
    runs = house.ended("batch/nightly")
    assert [(run["state_type"], run["auto_scheduled"]) for run in runs] == [("COMPLETED", True)], house.words()
    films = house.films()
    assert len(films) == 2
    assert all(round(probe(film).duration, 2) == 2.0 for film in films)
    assert "poster_frame_url" in manifest.read_text(), "the nightly batch writes the posters back"
    shoots = house.runs("shoot/gpu")
    assert [run["state_type"] for run in shoots] == ["COMPLETED"], "one shoot for both: they share a base model"
    with page() as shown:
        shown.goto(f"{house.ui}/runs/flow-run/{runs[0]['id']}")
        shown.get_by_text("Artifacts", exact=True).first.click()
        shown.wait_for_timeout(1500)
        shot(shown, "scheduled-batch")
        assert "Completed" in shown.inner_text("body")


def test_a_run_is_started_through_the_form(house: House) -> None:
    before = set(house.films())
    with page(height=1500) as shown:
        shown.goto(f"{house.ui}/deployments/deployment/{house.deployment('order-form/studio')}/run")
        shown.wait_for_selector("text=Validate parameters")

        def field(name: str) -> object:
            return shown.locator(".p-label", has_text=name).locator("textarea, input").first

        for name, text in (
            ("The actor:", AVA),
            ("The trained LoRA", f"manifests/examples/loras/{AVA}"),     # a run works in the project's folder
            ("What is seen.", "looks up at the stars"),
            ("What is said.", "There it is."),
            ("How the actor is called", "Ava"),
        ):
            field(name).fill(text)  # type: ignore[attr-defined]
        field("Length of the film").fill("3")  # type: ignore[attr-defined]
        shot(shown, "order-form")
        shown.get_by_role("button", name="Submit").click()
        run = house.ended("order-form/studio")[0]
        assert run["state_type"] == "COMPLETED", house.words()
        assert run["parameters"]["id"] == AVA
        shown.goto(f"{house.ui}/runs/flow-run/{run['id']}")
        shown.wait_for_selector("text=Completed")
        shot(shown, "form-run")
        produced = next(r for r in house.post("/flow_runs/filter", {"sort": "START_TIME_DESC"})
                        if r["name"].startswith("Ava: looks up"))
        shown.goto(f"{house.ui}/runs/flow-run/{produced['id']}?tab=Artifacts")
        shown.get_by_text("Artifacts", exact=True).first.click()
        shown.wait_for_timeout(1500)
        shot(shown, "produce-artifacts")
    made = [film for film in house.films() if film not in before]
    assert [round(probe(film).duration, 2) for film in made] == [3.0]


def test_two_events_with_the_same_lora_make_one_produce(house: House, folder: Path, manifest: Path) -> None:
    trained = LoraTrained(
        actor_id=MARTA, lora=str(EXAMPLES / "loras" / f"{MARTA}.safetensors"), manifest=str(manifest)
    )
    for _ in range(2):                                # two ids: the server itself knows only equal ids
        answer = httpx.post(f"{house.api}/events", json=[as_event(trained, str(uuid.uuid4()))], timeout=30)
        assert answer.status_code == 204
    triggered = house.ended("lora-trained/after-training", count=2)
    assert {run["state_type"] for run in triggered} == {"COMPLETED"}, house.words()
    produced = house.ended("produce/cpu")
    assert [run["state_type"] for run in produced] == ["COMPLETED"]
    assert produced[0]["idempotency_key"].startswith(f"lora-trained-{MARTA}-")
    with page() as shown:
        shown.goto(f"{house.ui}/runs")
        shown.wait_for_selector(f"text={MARTA} is trained")
        shot(shown, "event-runs")


@pytest.mark.soak
def test_an_automation_that_could_not_start_its_run_is_noticed(house: House) -> None:
    event = {
        "id": str(uuid.uuid4()), "occurred": datetime.now(UTC).isoformat(), "event": "prefect.automation.action.failed",
        "resource": {"prefect.resource.id": f"prefect.automation.{uuid.uuid4()}"},
        "payload": {"reason": "the parameters do not fit", "action": {"type": "run-deployment"}},
    }
    assert httpx.post(f"{house.api}/events", json=[event], timeout=30).status_code == 204

    def told() -> bool:                               # nobody overlooks a failed run
        runs = house.runs("trigger-failed/trigger-failed")
        return any(
            run["state_type"] == "FAILED" and "the parameters do not fit" in run["state"]["message"] for run in runs)

    house.wait("the failed automation to be told", told)


@pytest.mark.soak
def test_an_event_with_a_wrong_payload_is_noticed(house: House) -> None:
    event = as_event(LoraTrained(actor_id=AVA, lora="x"))
    event["payload"] = {"actor": AVA}                 # the fields are wrong: the flow says so
    assert httpx.post(f"{house.api}/events", json=[event], timeout=30).status_code == 204
    runs = house.wait(
        "the failed run", lambda: [r for r in house.runs("lora-trained/after-training") if r["state_type"] == "FAILED"]
    )
    assert "payload.actor_id" in runs[0]["state"]["message"]


@pytest.mark.soak
def test_a_run_from_the_command_line_joins_the_running_server(house: House, manifest: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "callsheet.doors.cli", "run", str(manifest), "--json"],
        cwd=house.folder, env=house.environment, capture_output=True, text=True, timeout=300,
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    anew = [(row["stage"], row["label"]) for production in made for row in production["stages"] if not row["cached"]]
    assert anew == [], "the night made all of it"
    names = [run["name"] for run in house.post("/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 200})]
    assert names.count("batch of night") >= 2


@pytest.mark.soak
def test_it_stops_cleanly_and_finds_its_data_the_next_day(house: House, folder: Path, manifest: Path) -> None:
    """The last test of the module: it ends the house and opens it again."""
    ids = {run["id"] for run in house.runs("batch/nightly")}
    form = {"parameters": {"id": "stranger", "lora": str(EXAMPLES / "loras" / AVA), "gpu": "here", "seconds": 60}}
    cut = house.post(f"/deployments/{house.deployment('order-form/studio')}/create_flow_run", form)["id"]
    house.wait("a run to be cut off", lambda: house.get(f"/flow_runs/{cut}")["state_type"] == "RUNNING")
    house.process.send_signal(2)
    assert house.process.wait(60) == 0
    assert not (folder / "home" / "up.json").exists()
    with up(folder, manifest) as again:
        state = again.get(f"/flow_runs/{cut}")["state_type"]
        assert state in ("CRASHED", "CANCELLED"), f"{state}: nobody waits for the dead"
        assert {run["id"] for run in again.runs("batch/nightly")} >= ids
        names = [a["name"] for a in again.post("/automations/filter", {})]
        assert len(names) == len(set(names)), "applying again doubles nothing"
