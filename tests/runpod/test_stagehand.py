"""The real child process with the placeholder engine: the same bytes as a Prefect run, warm from job to job."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from callsheet.engines.choose import choose
from callsheet.jobs.reading import parse_envelope
from callsheet.recipe import Stage
from callsheet.recipes import SegmentRecipe
from callsheet.runpod.backstage import Backstage
from callsheet.runpod.handler import Handler
from callsheet.runpod.job_inputs import StageJob
from callsheet.runpod.volume import worker_environment
from callsheet.settings import Settings
from callsheet.store.base import sha256_of
from callsheet.store.local import LocalStore
from callsheet.store.records import Records
from tests.runpod.test_job_inputs import RECIPE
from tests.support.prefect_server import unconfigured

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "manifests" / "examples" / "jobs"


class Worker:
    """A handler with its real child, and a place of its own."""

    def __init__(self, place: Path) -> None:
        self.place, self.jobs = place, 0
        environment = worker_environment({
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}, "PYTHONPATH": str(ROOT),
            "CALLSHEET_STORE": str(place / "store"), "CALLSHEET_DELIVERY": str(place / "delivery"),
            "CALLSHEET_LORAS": str(ROOT / "manifests/examples/loras"),
            "PREFECT_API_URL": "http://127.0.0.1:9/api",         # nobody is there: a call would fail
        })
        self.backstage = Backstage(environment)
        settings = Settings.load({name: environment[name] for name in ("CALLSHEET_STORE", "CALLSHEET_DELIVERY")})
        self.told: list[Any] = []
        self.handler = Handler(
            settings, environment, self.backstage, tell=lambda job, progress: self.told.append(progress))

    def __call__(self, fields: dict[str, Any]) -> dict[str, Any]:
        self.jobs += 1
        return asyncio.run(self.handler.handle({"id": f"job-{self.jobs}", "input": fields}))

    @property
    def records(self) -> Records:
        return Records(LocalStore(self.place / "store"))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
        unconfigured(monkeypatch)
        made = Worker(tmp_path_factory.mktemp("worker"))
        yield made
        made.backstage.clear()


@pytest.fixture
def in_prefect(prefect_here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process makes things by Prefect, in a place of its own."""
    monkeypatch.chdir(ROOT)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("CALLSHEET_DELIVERY", str(tmp_path / "delivery"))
    monkeypatch.setenv("CALLSHEET_LORAS", str(ROOT / "manifests/examples/loras"))
    return tmp_path


def recipe(**changes: Any) -> SegmentRecipe:
    return SegmentRecipe.model_validate(RECIPE.model_dump() | {"engine": choose().id, **changes})


def stage_job(of: SegmentRecipe, **changes: Any) -> dict[str, Any]:
    return {**StageJob.of(of).model_dump(mode="json"), **changes}


def request(job_type: str, **fields: Any) -> dict[str, Any]:
    fields = {**parse_envelope((EXAMPLES / f"{job_type}.json").read_text())["input"], **fields}
    return {name: value for name, value in fields.items() if value is not None}


def embedded(name: str) -> str:
    import base64

    return base64.b64encode((EXAMPLES / name).read_bytes()).decode()


def test_a_stage_job_gives_the_bytes_of_a_prefect_run(worker: Worker, in_prefect: Path) -> None:
    from prefect import flow

    from tasks.run import running
    from tasks.segments import segments

    of = recipe()

    @flow(name="by-prefect")
    def by_prefect() -> Any:
        with running("test"):
            return segments.one(of)

    reply, record = worker(stage_job(of)), by_prefect()
    assert reply == {
        "stage": "segments", "fingerprint": of.fingerprint, "cached": False,
        "artifacts": {name: artifact.sha256 for name, artifact in record.artifacts.items()}}
    made = worker.records.find(Stage.SEGMENTS, of.fingerprint)
    assert made is not None and made.artifacts == record.artifacts


def test_the_second_attempt_finds_it_made_and_a_refreshed_one_makes_it_anew(worker: Worker) -> None:
    of = recipe(seed=11)
    first = worker(stage_job(of))
    assert (first["cached"], worker(stage_job(of, attempt=2))["cached"]) == (False, True)
    since = worker.records.find(Stage.SEGMENTS, of.fingerprint)
    assert since is not None
    later = since.made_at.replace(microsecond=999_999).isoformat()
    assert worker(stage_job(of, attempt=3, since=later)) == {**first, "cached": False}


def test_the_process_stays_from_job_to_job(worker: Worker) -> None:
    worker(stage_job(recipe(seed=21)))
    pid = worker.backstage.pid
    worker(stage_job(recipe(seed=22)))
    assert worker.backstage.pid == pid is not None


def test_an_engine_that_is_not_there_is_told_and_the_process_lives(worker: Worker) -> None:
    reply = worker(stage_job(recipe(engine=choose().id.model_copy(update={"version": 999}))))
    assert reply["error"]["code"] == "engine.unable"
    assert "install the same release" in reply["error"]["remedy"]
    assert worker(stage_job(recipe(seed=31)))["cached"] is False


@pytest.mark.parametrize("job_type", ["lipsync_only", "poster_frame", "segment"])
def test_a_public_job_delivers_the_bytes_of_its_flow(worker: Worker, in_prefect: Path, job_type: str) -> None:
    from callsheet.doors.job import flow_of
    from callsheet.jobs.reading import read_request
    from tasks.inputs import inbox

    sources = {"image": embedded("portrait.jpg"), "audio": embedded("voice.flac")}
    fields = request(job_type)
    fields |= {name: text for name, text in sources.items() if name in fields}
    lora = "0001_european_20_female"
    fields |= {
        "poster_frame": {"character_lora_name": lora}, "segment": {"character": lora, "num_frames": 6, "seed": 5},
    }.get(job_type, {})
    reply = worker(fields)
    assert reply["success"], reply
    asked = read_request({"input": fields})
    with inbox() as box:
        flow_of(asked)(box.keep(asked))
    made = [path for path in in_prefect.glob("delivery/**/*.*") if path.is_file()]
    theirs = {path.relative_to(in_prefect): sha256_of(path) for path in made}
    ours = {path: sha256_of(worker.place / path) for path in theirs}
    assert theirs and ours == theirs


def test_a_public_job_may_not_name_a_file_of_the_worker(worker: Worker) -> None:
    reply = worker({"job_type": "lipsync_only", "image": "/etc/passwd", "audio": "/etc/passwd"})
    assert not reply["success"] and reply["error"]["code"] in ("request.invalid", "download.refused")


def test_a_shoot_makes_the_half_of_every_order_and_tells_who_failed(worker: Worker, tmp_path: Path) -> None:
    from callsheet.manifest import read_manifest
    from callsheet.store.sources import Sources, admit

    book = tmp_path / "short.csv"
    lora = ROOT / "manifests/examples/loras/0001_european_20_female.safetensors"
    book.write_text(
        "id,name,lora,prompt,seconds,quality,format,title\n"
        f"a,Ava,{lora},on a hill,1,draft,128x128@24,A\n"
        f"b,Bea,{lora},on a hill,1,draft,128x128@24,B\n")
    good, bad = (admit(order, Sources(lambda: None)) for order in read_manifest(book).orders)  # type: ignore[arg-type, return-value]
    actor = bad.cast[0]
    gone = actor.lora.model_copy(update={"path": str(tmp_path / "gone.safetensors"), "sha256": "0" * 64})
    bad = bad.model_copy(update={"cast": (actor.model_copy(update={"lora": gone}),)})
    orders = [json.loads(order.model_dump_json()) for order in (good, bad)]
    reply = worker({"job_type": "shoot", "orders": orders, "refresh": [], "started": None})
    assert set(reply["failed"]) == {"b"}
    assert set(reply["failed"]["b"]) == {"code", "message", "remedy"}
    assert worker.told, "no progress was told"
