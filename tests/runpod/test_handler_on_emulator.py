"""The handler in the provider's own worker loop, in real processes: made, failed, cancelled, delivered twice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from callsheet.engines.choose import choose
from callsheet.recipe import Stage
from callsheet.recipes import SegmentRecipe
from callsheet.runpod.emulator.serve import Emulator, running_emulator
from callsheet.runpod.job_inputs import StageJob
from callsheet.store.local import LocalStore
from callsheet.store.records import Records
from tests.runpod.emulation import ended, running, soon, submit
from tests.runpod.test_job_inputs import RECIPE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with running_emulator(tmp_path_factory.mktemp("emulator")) as it:
        yield it


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def endpoint(emulator: Emulator, place: Path) -> str:
    env = {"CALLSHEET_STORE": str(place / "store"), "CALLSHEET_DELIVERY": str(place / "delivery")}
    return emulator.endpoint("example/callsheet:1", max_workers=1, idle_s=600, env=env)


def job(**changes: Any) -> tuple[SegmentRecipe, dict[str, Any]]:
    recipe = SegmentRecipe.model_validate(RECIPE.model_dump() | {"engine": choose().id, **changes})
    return recipe, StageJob.of(recipe).model_dump(mode="json")


def ran(emulator: Emulator, endpoint: str, fields: dict[str, Any]) -> dict[str, Any]:
    return ended(emulator, endpoint, submit(emulator, endpoint, fields))


def test_a_stage_job_completes_with_its_result_in_the_store(emulator: Emulator, endpoint: str, place: Path) -> None:
    recipe, fields = job(seed=1)
    done = ran(emulator, endpoint, fields)
    assert done["status"] == "COMPLETED", done
    record = Records(LocalStore(place / "store")).find(Stage.SEGMENTS, recipe.fingerprint)
    assert record is not None
    assert done["output"] == {
        "stage": "segments", "fingerprint": recipe.fingerprint, "cached": False,
        "artifacts": {name: artifact.sha256 for name, artifact in record.artifacts.items()}}


def test_the_same_attempt_in_another_job_makes_nothing(emulator: Emulator, endpoint: str) -> None:
    _, fields = job(seed=2)
    first, second = ran(emulator, endpoint, fields), ran(emulator, endpoint, fields)
    assert second["output"] == {**first["output"], "cached": True}


def test_a_wrong_job_fails_with_code_message_and_remedy(emulator: Emulator, endpoint: str) -> None:
    done = ran(emulator, endpoint, {"job_type": "stage"})
    assert done["status"] == "FAILED"
    assert "request.invalid" in str(done["error"]) and "input.key" in str(done["error"])


def stagehands(place: Path) -> set[int]:
    """The processes that do the GPU work for this store."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = process.environ().get("CALLSHEET_STORE") == str(place / "store")
            if ours and "callsheet.runpod.stagehand" in process.cmdline():
                found.add(process.pid)
    return found


def test_a_cancelled_render_stops_at_once_and_the_next_job_is_done(
    emulator: Emulator, endpoint: str, place: Path
) -> None:
    recipe, fields = job(seed=3, num_frames=120, width=1280, height=1280)
    long = submit(emulator, endpoint, fields)
    running(emulator, endpoint, long)
    log = place / "store" / "segments" / "records" / recipe.fingerprint
    soon(lambda: log.exists() and any(log.iterdir()), "the render begins")
    before = stagehands(place)
    assert before
    emulator.ask("POST", f"/jobs/{endpoint}/cancel/{long}")
    soon(lambda: not before & stagehands(place), "its process is killed", within_s=15)
    assert ended(emulator, endpoint, long)["status"] == "CANCELLED"
    assert Records(LocalStore(place / "store")).find(Stage.SEGMENTS, recipe.fingerprint) is None
    assert ran(emulator, endpoint, job(seed=4)[1])["status"] == "COMPLETED"


def test_a_worker_without_a_store_does_not_start_and_says_why(emulator: Emulator) -> None:
    bare = emulator.endpoint("example/callsheet:1", max_workers=1, name="bare")
    submit(emulator, bare, job()[1])

    def said() -> bool:
        workers = [each["id"] for each in emulator.state()["workers"] if each.get("endpoint") == bare]
        return any("A store that outlives this worker is required" in emulator.log(each) for each in workers)

    soon(said, "the worker's log says that there is no store")
