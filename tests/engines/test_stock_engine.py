"""Posters and clips by stock worker-comfyui endpoints, in every shape in which they give pictures back."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from callsheet.engines.base import Asked
from callsheet.engines.choose import choose
from callsheet.engines.comfyui import results
from callsheet.engines.stock import StockEngine
from callsheet.errors import (
    CallsheetError,
    Cancelled,
    EngineError,
    EngineUnable,
    FileMissing,
    JobFailed,
    JobTimedOut,
    NoImages,
    OutOfMemory,
    SettingMissing,
    WrongFamily,
)
from callsheet.fallback import fault
from callsheet.media.probe import probe
from callsheet.models import Family
from callsheet.recipe import Ref
from callsheet.settings import Settings
from callsheet.store.base import Outcome, Room
from tests.support.clips import AVA, STYLE, clip_recipe, poster_recipe, ref, room
from tests.support.comfyui_server import FakeComfyUI
from tests.support.stock_worker import SHAPES, Files, StockWorker


class Studio:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.worker = StockWorker(folder / "worker")
        self.engine = StockEngine(self.worker.client, poll_s=0.01)

    def room(self, inputs: Mapping[Ref, Path] | None = None, **changes: Any) -> Room:
        return dataclasses.replace(room(self.folder / "room", inputs), **changes)

    def paint(self, given: Room | None = None, **changes: Any) -> Outcome:
        engine = self.engine.id.model_copy(update={"model": "flux1-dev"})
        return self.engine.paint(poster_recipe(engine, **{"steps": 2, **changes}), given or self.room())

    def shoot(self, given: Room | None = None, **changes: Any) -> Outcome:
        engine = self.engine.id.model_copy(update={"model": "wan2.2-ti2v-5b"})
        return self.engine.shoot(clip_recipe(engine, **{"steps": 2, **changes}), given or self.room())


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_poster_is_found_in_every_shape(studio: Studio, shape: str) -> None:
    studio.worker.shape = SHAPES[shape]
    path = studio.paint(width=250, height=130, prompt="a secret wish").files["main"]
    with Image.open(path) as image:
        assert (image.format, image.size) == ("JPEG", (250, 130))
    assert b"secret" not in path.read_bytes()


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "message"])
def test_a_clip_and_its_last_frame_are_told_apart_by_what_is_in_them(studio: Studio, shape: str) -> None:
    studio.worker.shape = SHAPES[shape]
    outcome = studio.shoot(num_frames=10)
    assert probe(outcome.files["main"]).frames == 10 and outcome.warnings == ()
    with Image.open(outcome.files["last_frame"]) as image:
        assert (image.format, image.size) == ("PNG", (320, 192))


def test_a_last_frame_that_a_worker_does_not_give_is_taken_from_the_clip_and_that_is_said(studio: Studio) -> None:
    studio.worker.shape = SHAPES["message"]
    outcome = studio.shoot()
    assert outcome.warnings == ("the worker gave no last frame: it is taken from the encoded clip",)
    with Image.open(outcome.files["last_frame"]) as image:
        assert image.size == (320, 192)


def test_large_pictures_come_by_address(studio: Studio, tmp_path: Path) -> None:
    with FakeComfyUI(tmp_path / "bucket") as bucket:
        def addresses(files: Files) -> Any:
            for name, data in files:
                (bucket.folder / "output" / name).write_bytes(data)
            return {"images": [{"filename": name, "type": "s3_url", "data": f"{bucket.url}/view?filename={name}"}
                               for name, _ in files]}

        studio.worker.shape = addresses
        port = int(bucket.url.rpartition(":")[2])
        studio.engine = StockEngine(studio.worker.client, frozenset({("127.0.0.1", port)}), poll_s=0.01)
        assert probe(studio.shoot().files["main"]).frames == 6
        closed = StockEngine(studio.worker.client, poll_s=0.01)
        studio.engine = closed
        with pytest.raises(CallsheetError, match="will not be opened"):
            studio.shoot()


def test_the_job_has_the_graph_and_the_first_picture_under_the_name_that_the_graph_uses(
    studio: Studio, tmp_path: Path
) -> None:
    Image.new("RGB", (640, 640), "teal").save(tmp_path / "first.jpg")
    studio.shoot(studio.room({ref("first"): tmp_path / "first.jpg"}), first_frame=ref("first"))
    job, = studio.worker.jobs
    image, = job["images"]
    named = [node["inputs"]["image"] for node in job["workflow"].values() if node["class_type"] == "LoadImage"]
    assert named == [image["name"]] and base64.b64decode(image["image"])[:4] == b"\x89PNG"


def test_loras_are_those_of_the_volume_by_their_files_names(studio: Studio) -> None:
    studio.paint(loras=(STYLE, AVA.model_copy(update={"file_name": "ava_v2.safetensors"})))
    graph = studio.worker.jobs[0]["workflow"]
    assert [node["inputs"]["lora_name"] for node in graph.values() if node["class_type"] == "LoraLoader"] == [
        "SBai_style_101.safetensors", "ava_v2.safetensors"]
    assert not studio.engine.loads_files


def test_a_lora_that_is_known_to_be_of_another_family_is_never_submitted(studio: Studio) -> None:
    use = AVA.model_copy(update={"file": ref("lora"), "file_name": "ava.safetensors"})
    with pytest.raises(WrongFamily, match=r"ava\.safetensors is a sdxl LoRA, but flux was asked for"):
        studio.paint(studio.room(facts_of=lambda wanted: {"family": "sdxl"}), loras=(use,))
    assert studio.worker.asked == []


def completed(output: Any) -> dict[str, Any]:
    return {"status": "COMPLETED", "output": output}


@pytest.mark.parametrize(("result", "kind", "words"), [
    (completed({"status": "success_no_images", "images": []}), NoImages, "No images in RunPod output"),
    (completed({"images": [], "errors": ["node 9 gave nothing"]}), NoImages, "node 9 gave nothing"),
    ({"status": "FAILED", "error": "Workflow execution error: KSampler: CUDA out of memory"}, OutOfMemory, "KSampler"),
    ({"status": "FAILED", "error": "Workflow validation failed: node 4 lora_name: '0001_european_20_female.safetensors'"
                                   " not in ['a.safetensors']"}, FileMissing, "character LoRA of Ava"),
    ({"status": "FAILED", "error": "ComfyUI server not reachable"}, JobFailed, "not reachable"),
    ({"status": "TIMED_OUT"}, JobTimedOut, "900 s"),
    (completed(None), EngineUnable, "without an output"),
    (completed({"images": [{"type": "base64", "data": "iVBORw0KGgoAAAANSUhEUgAAAAAAAAAAAAAAAAAA"}]}), EngineUnable,
     "cut short"),
])
def test_every_failure_is_told_and_none_of_them_is_paid_twice(
    studio: Studio, result: dict[str, Any], kind: type[CallsheetError], words: str
) -> None:
    studio.worker.result = result
    with pytest.raises(kind) as caught:
        studio.paint()
    assert words in str(caught.value), str(caught.value)
    assert not caught.value.retryable and studio.worker.asked.count("POST /run") == 1


def test_a_workflow_that_failed_after_its_first_picture_is_a_failure(studio: Studio) -> None:
    studio.worker.shape = lambda files: {
        "images": [base64.b64encode(files[0][1]).decode()], "errors": ["Workflow execution error: node 7"]}
    with pytest.raises(JobFailed, match="node 7"):
        studio.paint()


def test_what_a_worker_complained_of_is_kept_as_a_warning(studio: Studio) -> None:
    studio.worker.shape = lambda files: {
        "images": [base64.b64encode(files[0][1]).decode()], "errors": ["the history was slow"]}
    assert studio.paint().warnings == ("the history was slow",)


def test_a_picture_where_a_clip_should_be_is_refused(studio: Studio) -> None:
    studio.worker.shape = lambda files: {"images": [base64.b64encode(files[1][1]).decode()]}
    with pytest.raises(NoImages, match="gave 0 clips among 1 files"):
        studio.shoot()


def test_a_lost_answer_to_the_submit_is_not_followed_by_a_second_one(studio: Studio) -> None:
    studio.worker.lose_answers = True
    with pytest.raises(EngineUnable, match="keeps no journal") as caught:
        studio.paint()
    assert not caught.value.retryable and studio.worker.asked == ["POST /run"]


def test_cancelling_cancels_the_job(studio: Studio) -> None:
    def stop(share: float, what: str) -> None:
        if "at work" in what:
            raise Cancelled(what="the poster")

    with pytest.raises(Cancelled):
        studio.paint(studio.room(progress=stop))
    assert studio.worker.asked[-1] == "POST /cancel"


def test_without_key_or_endpoint_it_says_which_settings_are_missing(studio: Studio) -> None:
    engine = choose("runpod", Settings.load({"RUNPOD_API_KEY": "rpa_1"}), elsewhere=True)
    assert engine.able().remedy == "set RUNPOD_API_KEY and CALLSHEET_COMFYUI_ENDPOINT"
    with pytest.raises(SettingMissing):
        engine.paint(poster_recipe(engine.id), studio.room())
    both = {"RUNPOD_API_KEY": "rpa_A1B2C3D4E5F6", "CALLSHEET_COMFYUI_ENDPOINT": "stock5"}
    assert choose("runpod", Settings.load(both)).able().able


def test_it_casts_as_comfyui_does_under_its_own_name(studio: Studio) -> None:
    cast = studio.engine.cast(Asked(families={"a": Family.FLUX}, poster_model="flux1-dev"))
    assert (cast.poster, cast.clips, cast.unloaded) == ("flux1-dev", "wan2.2-ti2v-5b", {"a"})
    with pytest.raises(EngineUnable, match="^runpod cannot make"):
        studio.engine.cast(Asked(clip_model="animatediff-sdxl"))


def test_a_paid_poster_that_is_no_picture_is_not_paid_again(studio: Studio) -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(whole, "PNG")
    data = whole.getvalue()
    torn = data[:90] + bytes(len(data) - 110) + data[-20:]   # whole by its first and last bytes
    studio.worker.shape = lambda files: {"images": [base64.b64encode(torn).decode()]}
    with pytest.raises(NoImages, match="is no picture") as caught:
        studio.paint()
    assert not caught.value.retryable, f"{caught.value} would be paid again"
    assert fault(caught.value).counts, "another engine may try"


def test_a_paid_clip_of_another_length_is_not_paid_again(studio: Studio, tmp_path: Path) -> None:
    other = Studio(tmp_path / "other").shoot(num_frames=5).files["main"].read_bytes()
    studio.worker.shape = lambda files: {"images": [base64.b64encode(other).decode()]}
    with pytest.raises(NoImages, match="5 frames came instead of 10") as caught:
        studio.shoot(num_frames=10)
    assert not caught.value.retryable, f"{caught.value} would be paid again"
    assert fault(caught.value).counts, "another engine may try"


def test_a_playlist_that_comes_for_a_clip_is_not_followed(studio: Studio, tmp_path: Path) -> None:
    own = studio.shoot(num_frames=10).files["main"]
    playlist = tmp_path / "clip.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{own}\n#EXT-X-ENDLIST\n")
    recipe = clip_recipe(studio.engine.id, num_frames=10)
    with pytest.raises(EngineError, match="what came cannot be read"):
        results.clip(playlist, playlist, recipe, studio.room(), "runpod", {})


def test_files_without_number_are_not_taken(studio: Studio) -> None:
    studio.worker.shape = lambda files: {"images": [base64.b64encode(files[0][1]).decode()] * 33}
    with pytest.raises(NoImages, match="gave 33 files"):
        studio.paint()
