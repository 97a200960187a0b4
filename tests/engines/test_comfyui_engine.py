"""Posters and clips on a pretended server that behaves as the real ones do, the odd ways included."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr

from callsheet.engines.base import Asked
from callsheet.engines.comfyui.engine import ComfyUIEngine
from callsheet.engines.comfyui.watching import Limits
from callsheet.errors import (
    Cancelled,
    EngineError,
    EngineTimedOut,
    EngineUnable,
    EngineUnreached,
    Fenced,
    FileMissing,
    GraphRefused,
    LoraUnreadable,
    OutOfMemory,
    SettingMissing,
    WrongFamily,
)
from callsheet.media.probe import probe
from callsheet.models import Family
from callsheet.recipe import Ref
from callsheet.recipes import ClipRecipe, LoraUse, PosterRecipe
from callsheet.store.base import Outcome, Room, sha256_of
from tests.lora.lora_files import FLUX, lora, pair
from tests.support.clips import AVA, LEO, MARTA, STYLE, apart, clip_recipe, decoded, poster_recipe, ref, room
from tests.support.comfyui_server import FakeComfyUI

QUICK = Limits(poll_s=0.05, silence_s=0.5, longest_s=20)
SDXL = pair("unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", 2048, 640)


class Studio:
    """A server with Ava's, Leo's and the style's LoRA, and an engine."""

    def __init__(self, server: FakeComfyUI, folder: Path) -> None:
        self.server, self.folder, self.jobs = server, folder, 0
        self.engine = ComfyUIEngine(server.url, limits=QUICK)
        for use in (AVA, LEO, STYLE):
            server.add_lora(f"{use.name}.safetensors")

    def room(self, inputs: Mapping[Ref, Path] | None = None, **changes: Any) -> Room:
        self.jobs += 1
        return dataclasses.replace(room(self.folder / str(self.jobs), inputs), **changes)

    def poster(self, **changes: Any) -> PosterRecipe:
        engine = self.engine.id.model_copy(update={"model": "flux1-dev"})
        return poster_recipe(engine, **{"steps": 2, "label": "Ava", **changes})

    def clip(self, model: str = "wan2.2-ti2v-5b", **changes: Any) -> ClipRecipe:
        engine = self.engine.id.model_copy(update={"model": model})
        return clip_recipe(engine, **{"steps": 2, "label": "scene 1", **changes})

    def paint(self, given: Room | None = None, **changes: Any) -> Outcome:
        return self.engine.paint(self.poster(**changes), given or self.room())

    def shoot(self, given: Room | None = None, **changes: Any) -> Outcome:
        return self.engine.shoot(self.clip(**changes), given or self.room())

    def posts(self) -> int:
        return self.server.asked.count("POST /prompt")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with FakeComfyUI(tmp_path / "server") as server:
        yield Studio(server, tmp_path)


def soon(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def sent(studio: Studio, class_type: str, number: int = -1) -> list[dict[str, Any]]:
    return [dict(node["inputs"]) for node in studio.server.posted[number].values() if node["class_type"] == class_type]


# ---- what is sent


def test_the_poster_that_is_sent_says_what_the_recipe_says(studio: Studio) -> None:
    studio.paint(loras=(AVA, STYLE), seed=77, steps=5, flux_guidance=3.5, prompt="Ava, smiling")
    assert [(each["lora_name"], each["strength_model"]) for each in sent(studio, "LoraLoader")] == [
        ("SBai_style_101.safetensors", 1.0), ("0001_european_20_female.safetensors", 0.7)], "style first"
    sampler, = sent(studio, "KSampler")
    assert (sampler["seed"], sampler["steps"], sampler["cfg"], sampler["sampler_name"], sampler["scheduler"]) == (
        77, 5, 1.0, "euler", "simple")
    assert sent(studio, "FluxGuidance")[0]["guidance"] == 3.5
    assert sent(studio, "CLIPTextEncode")[0]["text"] == "Ava, smiling"


def test_a_style_at_strength_0_need_not_be_there(studio: Studio) -> None:
    nowhere = STYLE.model_copy(update={"name": "nowhere", "strength": 0.0})
    studio.paint(loras=(nowhere, AVA))
    assert len(sent(studio, "LoraLoader")) == 1


@pytest.mark.parametrize("without", ["flux1-dev-fp8.safetensors", "umt5_xxl_fp8_e4m3fn_scaled.safetensors"])
def test_the_same_weights_in_other_files_are_found(studio: Studio, without: str) -> None:
    for names in studio.server.files.values():
        if without in names:
            names.remove(without)
    studio.server.files["clip_name"].append("wan/umt5_xxl_fp16.safetensors")
    if "flux" in without:
        studio.paint()
        assert sent(studio, "UNETLoader")[0]["unet_name"] == "flux1-dev.safetensors"
        assert sent(studio, "DualCLIPLoader")[0]["clip_name2"] == "t5xxl_fp8_e4m3fn.safetensors"
    else:
        studio.shoot()
        assert sent(studio, "CLIPLoader")[0]["clip_name"] == "wan/umt5_xxl_fp16.safetensors"


def test_a_model_that_the_server_does_not_have_is_told_with_what_is_near(studio: Studio) -> None:
    studio.server.files["unet_name"] = ["wan2.1_ti2v_5B_fp16.safetensors"]
    with pytest.raises(EngineUnable) as caught:
        studio.shoot()
    assert "wan2.2_ti2v_5B_fp16.safetensors" in str(caught.value) and "near are wan2.1_ti2v" in str(caught.value)


@pytest.mark.parametrize(("frames", "asked"), [(1, 1), (2, 5), (119, 121), (120, 121)])
def test_exactly_as_many_frames_come_as_were_asked_for(studio: Studio, frames: int, asked: int) -> None:
    outcome = studio.shoot(num_frames=frames, width=64, height=64)
    assert sent(studio, "Wan22ImageToVideoLatent")[0]["length"] == asked
    assert probe(outcome.files["main"]).frames == frames


def test_a_continuation_goes_on_from_the_last_frame_and_does_not_repeat_it(studio: Studio, tmp_path: Path) -> None:
    first = studio.shoot(num_frames=9)
    inputs = {ref("last"): first.files["last_frame"]}
    recipe = {"num_frames": 12, "first_frame": ref("last"), "start_frame": 9}
    after = studio.shoot(studio.room(inputs), **recipe)
    assert sent(studio, "ImageFromBatch")[0]["batch_index"] == 1 and probe(after.files["main"]).frames == 12
    with Image.open(first.files["last_frame"]) as image:
        last = np.asarray(image.convert("RGB"), np.float32)
    step = apart(decoded(after.files["main"])[0], last)
    assert 0.5 < step < 40, f"{step:.1f}: neither the same picture again nor another one altogether"


def test_the_first_frame_is_uploaded_as_what_it_is_and_used_under_the_name_that_came_back(
    studio: Studio, tmp_path: Path
) -> None:
    given = tmp_path / "poster.png"
    Image.new("RGB", (640, 640), (200, 30, 60)).save(given, "JPEG")
    recipe = studio.clip(first_frame=ref("poster"))
    name = f"callsheet_{recipe.fingerprint[:16]}"
    (studio.server.folder / "input" / f"{name}.png").write_bytes(b"another picture")
    outcome = studio.engine.shoot(recipe, studio.room({ref("poster"): given}))
    assert sent(studio, "LoadImage")[0]["image"] == f"{name} (1).png"
    with Image.open(studio.server.folder / "input" / f"{name} (1).png") as image:
        assert (image.format, image.size) == ("PNG", (320, 192))
    assert apart(decoded(outcome.files["main"])[0], np.full((192, 320, 3), (200, 30, 60), np.float32)) < 4


# ---- LoRAs


def test_a_lora_is_found_without_its_suffix_and_in_folders(studio: Studio) -> None:
    studio.server.add_lora("people/0002_european_35_female.safetensors")
    studio.paint(loras=(STYLE, MARTA))
    assert sent(studio, "LoraLoader")[1]["lora_name"] == "people/0002_european_35_female.safetensors"


def test_a_missing_lora_is_an_error_that_names_actor_file_and_what_is_near(studio: Studio) -> None:
    stranger = AVA.model_copy(update={"name": "0001_european_21_female", "display_name": "Eva"})
    with pytest.raises(FileMissing) as caught:
        studio.paint(loras=(STYLE, stranger))
    for word in ("Eva", "0001_european_21_female", "near are 0001_european_20_female.safetensors", "COMFYUI_LORAS"):
        assert word in str(caught.value), word
    assert studio.posts() == 0


def test_a_lora_in_two_folders_is_not_guessed(studio: Studio) -> None:
    for folder in ("a", "b"):
        studio.server.add_lora(f"{folder}/0002_european_35_female.safetensors")
    with pytest.raises(EngineUnable, match="several folders of the server have 0002_european_35_female"):
        studio.paint(loras=(MARTA,))


def kept(tmp_path: Path, shapes: Any = FLUX) -> tuple[LoraUse, dict[Ref, Path]]:
    """An accepted LoRA in the store, without a suffix as stores keep it."""
    path = tmp_path / "stored"
    path.write_bytes(lora(shapes))
    use = AVA.model_copy(update={"sha256": sha256_of(path), "file": ref("lora"), "file_name": "ava.safetensors"})
    return use, {ref("lora"): path}


def test_where_the_folder_is_known_the_accepted_file_is_put_there_once_under_its_digest(
    studio: Studio, tmp_path: Path
) -> None:
    use, inputs = kept(tmp_path)
    engine = ComfyUIEngine(studio.server.url, loras=studio.server.folder / "loras", limits=QUICK)
    assert engine.loads_files and not studio.engine.loads_files
    recipe = studio.poster(loras=(STYLE, use))
    engine.paint(recipe, studio.room(inputs))
    name = f"callsheet/{use.sha256[:16]}.safetensors"  # type: ignore[index]
    assert sent(studio, "LoraLoader")[1]["lora_name"] == name
    there = studio.server.folder / "loras" / name
    assert there.read_bytes() == inputs[ref("lora")].read_bytes()
    assert [each.name for each in there.parent.iterdir()] == [there.name], "nothing half-written is left"
    before = there.stat().st_mtime_ns
    engine.paint(recipe.model_copy(update={"seed": 9}), studio.room(inputs))
    assert there.stat().st_mtime_ns == before


def test_a_lora_of_another_family_is_refused_before_the_server_could_load_it_without_a_word(
    studio: Studio, tmp_path: Path
) -> None:
    use, inputs = kept(tmp_path, SDXL)
    engine = ComfyUIEngine(studio.server.url, loras=studio.server.folder / "loras", limits=QUICK)
    with pytest.raises(WrongFamily, match=r"ava\.safetensors is a sdxl LoRA, but flux was asked for"):
        engine.paint(studio.poster(loras=(use,)), studio.room(inputs))
    known = studio.room(inputs, facts_of=lambda wanted: {"family": "sdxl"})
    with pytest.raises(WrongFamily, match=r"ava\.safetensors is a sdxl LoRA, but wan was asked for"):
        studio.engine.shoot(studio.clip(loras=(use,)), known)
    assert studio.posts() == 0


def test_a_torn_lora_is_refused_before_it_is_put_there(studio: Studio, tmp_path: Path) -> None:
    use, inputs = kept(tmp_path)
    inputs[ref("lora")].write_bytes(inputs[ref("lora")].read_bytes()[:-20])
    engine = ComfyUIEngine(studio.server.url, loras=studio.server.folder / "loras", limits=QUICK)
    with pytest.raises(LoraUnreadable):
        engine.paint(studio.poster(loras=(use,)), studio.room(inputs))
    assert not (studio.server.folder / "loras" / "callsheet").exists()


def test_a_folder_that_is_not_the_servers_is_told(studio: Studio, tmp_path: Path) -> None:
    use, inputs = kept(tmp_path)
    engine = ComfyUIEngine(studio.server.url, loras=tmp_path / "elsewhere", limits=QUICK)
    with pytest.raises(FileMissing, match="CALLSHEET_COMFYUI_LORAS name the server's own"):
        engine.paint(studio.poster(loras=(use,)), studio.room(inputs))


# ---- what comes back


def test_no_word_of_the_graph_is_left_in_what_is_kept(studio: Studio) -> None:
    poster, clip = studio.paint(prompt="a secret wish"), studio.shoot(prompt="a secret wish")
    saved = [path.read_bytes() for path in (studio.server.folder / "output").rglob("*.*")]
    assert len(saved) == 3 and all(b"a secret wish" in data for data in saved), "the server writes it into all of them"
    for path in (*poster.files.values(), *clip.files.values()):
        assert b"secret" not in path.read_bytes() and b"KSampler" not in path.read_bytes(), path.name


def test_a_poster_is_a_true_jpeg_and_its_record_names_the_servers_version(studio: Studio) -> None:
    outcome = studio.paint(width=250, height=130)
    with Image.open(outcome.files["main"]) as image:
        assert (image.format, image.size) == ("JPEG", (250, 130))
    assert outcome.facts["comfyui_version"] == "0.33.0" and outcome.warnings == ()


def test_a_negative_prompt_that_flux_does_not_take_is_said(studio: Studio) -> None:
    assert studio.paint(negative="blurry").warnings == ("flux1-dev takes no negative prompt",)


def test_a_clip_that_is_too_short_is_refused_with_both_numbers(studio: Studio) -> None:
    studio.server.drop_frames = 3
    with pytest.raises(EngineError, match="17 frames came instead of 20"):
        studio.shoot(num_frames=20)


@pytest.mark.parametrize("key", ["gifs", "videos"])
def test_clips_that_other_nodes_file_elsewhere_are_found(studio: Studio, key: str) -> None:
    studio.server.output_key = key
    studio.server.extra_outputs = {"99": {"images": [{"filename": "p.png", "subfolder": "", "type": "temp"}]}}
    assert probe(studio.shoot().files["main"]).frames == 6


def test_files_are_taken_from_the_history_and_never_by_what_is_newest(studio: Studio) -> None:
    one = studio.paint(seed=1).files["main"].read_bytes()
    studio.paint(seed=2)
    assert studio.paint(seed=1).files["main"].read_bytes() == one and studio.posts() == 2


def test_the_folder_on_the_server_names_kind_actor_and_recipe(studio: Studio) -> None:
    recipe = studio.poster()
    studio.engine.paint(recipe, studio.room())
    file, = (studio.server.folder / "output").rglob("*.png")
    place = str(file.relative_to(studio.server.folder / "output"))
    assert place.startswith(f"callsheet/poster/0001_european_20_female/{recipe.fingerprint[:16]}-0/"), place


# ---- the server's odd ways


def test_a_silent_websocket_ends_nothing(studio: Studio) -> None:
    studio.server.silent = True
    assert studio.paint().facts["width"] == 256


def test_a_refused_websocket_ends_nothing(studio: Studio) -> None:
    studio.server.deaf = True
    assert studio.paint().facts["width"] == 256


def test_a_lost_job_is_sent_again_and_never_taken_for_done(studio: Studio) -> None:
    studio.server.crashes = 1
    studio.paint()
    assert studio.posts() == 2


def test_a_server_that_loses_every_job_is_given_up(studio: Studio) -> None:
    studio.server.crashes = 99
    with pytest.raises(EngineError, match="3 attempts; at last the server was started anew"):
        studio.paint()
    assert studio.posts() == 3


def test_a_lost_answer_is_looked_for_before_anything_is_sent_again(studio: Studio) -> None:
    studio.server.lost_answers = 1
    studio.paint()
    assert len(studio.server.posted) == 1, "it was in the queue all the time"


def test_whoever_comes_after_a_crash_finds_the_job_at_work(studio: Studio) -> None:
    studio.server.hold.clear()
    first = threading.Thread(target=lambda: studio.paint(studio.room(progress=_fenced_after(3))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda args: None)
        first.start()
        soon(lambda: bool(studio.server.running))
        first.join(timeout=5)
    studio.server.hold.set()
    studio.paint()
    assert len(studio.server.posted) == 1


def _fenced_after(number: int) -> Callable[[float, str], None]:
    told: list[str] = []

    def progress(share: float, what: str) -> None:
        told.append(what)
        if len(told) >= number:
            raise Fenced(key="a poster")

    return progress


def test_files_that_were_deleted_are_made_again_under_another_name(studio: Studio) -> None:
    studio.paint()
    studio.server.delete_outputs()
    studio.paint()
    prefixes = [inputs["filename_prefix"] for number in (0, 1) for inputs in sent(studio, "SaveImage", number)]
    assert prefixes[0].endswith("-0/poster") and prefixes[1].endswith("-1/poster"), prefixes


def test_files_that_vanish_every_time_are_given_up(studio: Studio) -> None:
    studio.server.gone_files = 99
    with pytest.raises(EngineError, match="3 attempts; at last the server no longer has poster_00001_"):
        studio.paint()


def test_node_errors_beside_an_accepted_job_are_a_failure_and_the_job_is_cancelled(studio: Studio) -> None:
    def wrong(graph: Any, output: str) -> Iterator[tuple[str, Any]]:
        if graph[output]["class_type"] == "SaveVideo":
            yield output, {"errors": [{"message": "Value not in list", "details": "codec: 'h264' not in ['vp9']"}]}

    studio.server.hold.clear()
    studio.server._wrong = wrong  # type: ignore[method-assign]
    with pytest.raises(EngineUnable, match=r"clip \(SaveVideo\): Value not in list: codec"):
        studio.shoot()
    soon(lambda: not studio.server.running)
    assert "POST /queue" in studio.server.asked


def test_a_server_that_gives_ids_of_its_own_is_refused_and_its_job_cancelled(studio: Studio) -> None:
    studio.server.own_ids = True
    studio.server.hold.clear()
    with pytest.raises(EngineUnable, match="ids of its own.*update the ComfyUI server"):
        studio.paint()
    soon(lambda: not studio.server.running)


def test_memory_that_is_full_is_freed_once_and_the_work_tried_again(studio: Studio) -> None:
    studio.server.full = True
    studio.paint()
    assert (studio.server.freed, studio.posts()) == (1, 2)


def test_memory_that_stays_full_is_told_after_one_more_try(studio: Studio) -> None:
    studio.server.out_of_memory = 99
    with pytest.raises(OutOfMemory, match="sampler"):
        studio.paint()
    assert (studio.server.freed, studio.posts()) == (1, 2)
    studio.server.out_of_memory = 0
    studio.paint()
    assert studio.posts() == 3, "what failed before is not taken for an answer"


@pytest.mark.parametrize(("error", "kind"), [
    ({"node_type": "LoraLoader", "exception_type": "SafetensorError",
      "exception_message": "Error while deserializing header: HeaderTooSmall"}, LoraUnreadable),
    ({"node_type": "KSampler", "exception_type": "RuntimeError", "exception_message": "shapes cannot be multiplied"},
     EngineUnable),
])
def test_what_the_input_did_wrong_is_not_tried_twice(
    studio: Studio, error: dict[str, str], kind: type[Exception]
) -> None:
    studio.server.error = error
    with pytest.raises(kind, match=error["exception_message"]):
        studio.paint()
    assert (studio.posts(), studio.server.freed) == (1, 0)


def test_a_graph_is_checked_against_the_servers_nodes_before_it_is_sent(studio: Studio) -> None:
    del studio.server.schema["FluxGuidance"]
    with pytest.raises(GraphRefused, match="FluxGuidance"):
        studio.paint()
    with pytest.raises(GraphRefused, match="sampler_name 'eulr'"):
        studio.paint(sampler_name="eulr")
    assert studio.posts() == 0


# ---- cancelling, time and reach


def test_cancelling_ends_the_job_on_the_server_within_a_step(studio: Studio) -> None:
    studio.server.step_s = 0.02

    def stop(share: float, what: str) -> None:
        if what == "step 3 of 50":
            raise Cancelled(what="the poster")

    with pytest.raises(Cancelled):
        studio.paint(studio.room(progress=stop), steps=50)
    soon(lambda: bool(studio.server.history))
    status = next(iter(studio.server.history.values()))["status"]
    assert status["messages"][-1][0] == "execution_interrupted"


def test_a_job_that_waits_is_taken_out_of_the_queue_and_the_one_at_work_goes_on(studio: Studio) -> None:
    studio.server.hold.clear()
    other = threading.Thread(target=lambda: studio.paint(seed=1))
    other.start()
    soon(lambda: bool(studio.server.running))

    def stop(share: float, what: str) -> None:
        if what == "in the server's queue":
            raise Cancelled(what="the poster")

    with pytest.raises(Cancelled):
        studio.paint(studio.room(progress=stop), seed=2)
    assert len(studio.server.running) == 1 and not studio.server.queue()["queue_pending"]
    assert "POST /interrupt" not in studio.server.asked
    studio.server.hold.set()
    other.join(timeout=10)


def test_a_job_that_somebody_interrupts_by_hand_is_cancelled_and_can_be_made_later(studio: Studio) -> None:
    studio.server.hold.clear()
    hand = threading.Thread(target=lambda: (soon(lambda: bool(studio.server.running)),
                                            studio.server.interrupt_by_hand()))
    hand.start()
    with pytest.raises(Cancelled, match="poster Ava, on the ComfyUI server, was cancelled"):
        studio.paint()
    hand.join()
    studio.server.hold.set()
    studio.paint()


def test_a_job_without_an_end_is_cancelled_and_told_as_timed_out(studio: Studio) -> None:
    studio.server.hold.clear()
    engine = ComfyUIEngine(studio.server.url, limits=Limits(poll_s=0.05, longest_s=0.3))
    with pytest.raises(EngineTimedOut):
        engine.paint(studio.poster(), studio.room())
    soon(lambda: not studio.server.running)


def test_others_work_in_the_queue_before_a_job_is_not_counted(studio: Studio) -> None:
    studio.server.hold.clear()
    other = threading.Thread(target=lambda: studio.paint(seed=1))
    other.start()
    soon(lambda: bool(studio.server.running))
    begun = time.monotonic()

    def progress(share: float, what: str) -> None:
        if time.monotonic() - begun > 0.8:
            studio.server.hold.set()

    engine = ComfyUIEngine(studio.server.url, limits=Limits(poll_s=0.05, longest_s=0.5))
    assert engine.paint(studio.poster(seed=2), studio.room(progress=progress)).files
    other.join(timeout=10)


def test_progress_is_told_while_nothing_moves(studio: Studio) -> None:
    studio.server.hold.clear()
    studio.server.silent = True
    engine = ComfyUIEngine(studio.server.url, limits=Limits(poll_s=0.02, beat_s=0.05))
    told: list[str] = []

    def progress(share: float, what: str) -> None:
        told.append(what)
        if len(told) == 4:
            studio.server.hold.set()

    engine.paint(studio.poster(), studio.room(progress=progress))
    assert len(told) >= 4


def test_a_preview_that_the_server_sends_is_shown_and_a_broken_one_let_be(studio: Studio) -> None:
    shown: list[tuple[str, tuple[int, int]]] = []

    def show(path: Path, what: str) -> None:
        with Image.open(path) as image:
            shown.append((what, image.size))

    studio.server.previews = (64, 48)
    studio.paint(studio.room(show=show), steps=4)
    assert shown == [("step 1 of 4", (64, 48))], "one in two seconds is enough"


def test_a_server_that_is_not_there_is_told_with_its_address_and_the_remedy(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callsheet.engines.comfyui.client.PAUSE_S", 0.01)
    engine = ComfyUIEngine("http://127.0.0.1:9", limits=QUICK)
    ability = engine.able()
    assert not ability.able and "127.0.0.1:9" in ability.reason and "CALLSHEET_COMFYUI_URL" in ability.remedy
    with pytest.raises(EngineUnreached) as caught:
        engine.paint(studio.poster(), studio.room())
    assert caught.value.retryable


def test_without_an_address_it_is_not_able_and_says_which_setting_is_missing(studio: Studio) -> None:
    ability = ComfyUIEngine(None).able()
    assert (ability.able, ability.remedy) == (False, "set CALLSHEET_COMFYUI_URL")
    with pytest.raises(SettingMissing, match="ComfyUI server is required"):
        ComfyUIEngine(None).paint(studio.poster(), studio.room())


def test_the_token_goes_with_every_request_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    with FakeComfyUI(tmp_path / "server", token="right") as server:
        studio = Studio(server, tmp_path)
        assert "CALLSHEET_COMFYUI_TOKEN" in studio.engine.able().remedy
        with pytest.raises(EngineUnable, match="answered 401"):
            studio.paint()
        studio.engine = ComfyUIEngine(server.url, SecretStr("right"), limits=QUICK)
        assert studio.engine.able().able
        studio.shoot()
        assert "GET /ws" in server.asked
        assert "right" not in json.dumps(server.posted)


# ---- models


@pytest.mark.parametrize("model", ["wan2.2-i2v-a14b", "ltx-video-2b"])
def test_other_clip_models_are_made_with_their_own_graphs(studio: Studio, model: str, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "first.png")
    uses = (AVA,) if model.startswith("wan") else ()
    outcome = studio.shoot(studio.room({ref("first"): tmp_path / "first.png"}), model=model, loras=uses,
                           first_frame=ref("first"), num_frames=10)
    assert probe(outcome.files["main"]).frames == 10
    kinds = {node["class_type"] for node in studio.server.posted[-1].values()}
    assert ("KSamplerAdvanced" in kinds) is model.startswith("wan") and ("LTXVImgToVideo" in kinds) is (not uses)


def test_ltx_video_with_a_lora_is_refused_since_it_would_load_it_without_effect(studio: Studio) -> None:
    with pytest.raises(EngineUnable, match="ltx-video-2b with LoRAs"):
        studio.shoot(model="ltx-video-2b")


def test_casting_names_models_and_leaves_loras_out_that_a_picture_stands_for(studio: Studio) -> None:
    flux = {"ava.safetensors": Family.FLUX, "wan.safetensors": Family.WAN, "new.safetensors": None}
    cast = studio.engine.cast(Asked(families=flux, clip_model=""))
    assert (cast.poster, cast.clips, cast.unloaded) == ("", "wan2.2-ti2v-5b", {"ava.safetensors"})
    cast = studio.engine.cast(Asked(families={"ava.safetensors": Family.FLUX}, poster_model="flux1-dev-fp8",
                                    clip_model="ltxv"))
    assert (cast.poster, cast.clips, cast.unloaded) == ("flux1-dev", "ltx-video-2b", {"ava.safetensors"})
    assert studio.engine.cast(Asked(poster_model="flux1-dev", clips=False)).clips == ""


def test_casting_refuses_what_no_graph_makes_before_anything_is_sent(studio: Studio) -> None:
    with pytest.raises(WrongFamily, match=r"ava\.safetensors is a sdxl LoRA, but flux was asked for"):
        studio.engine.cast(Asked(families={"ava.safetensors": Family.SDXL}, poster_model="flux1-dev"))
    with pytest.raises(WrongFamily, match="let the clip start from a picture"):
        studio.engine.cast(Asked(families={"ava.safetensors": Family.FLUX}, pictured=False))
    for asked in (Asked(poster_model="sdxl-base-1.0"), Asked(clip_model="animatediff-sdxl"), Asked(clip_model="x")):
        with pytest.raises(EngineUnable, match="its graphs are for"):
            studio.engine.cast(asked)
    assert studio.server.asked == []
