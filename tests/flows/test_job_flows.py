"""The seven jobs as real flows: what they deliver, what they reply, and that nothing is made twice."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image

from callsheet.errors import FileMissing, OutOfMemory, RequestInvalid
from callsheet.faces.extra import MESH, missing
from callsheet.jobs.reading import parse_envelope, read_request
from callsheet.jobs.reply import Reply
from callsheet.media.probe import Facts, probe
from callsheet.recipes import ClipRecipe, PosterRecipe
from callsheet.store.base import Room
from tests.support.prefect_server import unconfigured
from tests.support.scripted_engine import Script

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "manifests" / "examples" / "jobs"
VOICE_SECONDS = probe(EXAMPLES / "voice.flac").duration
FACELESS = ("no face was looked for: the mouth is drawn at the lower middle of the picture",)
GUESSED = {"warnings": FACELESS} if missing(MESH) else {}
"""Without the extra `faces` the placeholder draws the mouth where faces usually have it, and says so."""


@pytest.fixture(scope="module")
def home(prefect_here: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store and a delivery for these tests; the working directory is the repository's root."""
    home = tmp_path_factory.mktemp("jobs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(ROOT)
        unconfigured(monkeypatch)
        monkeypatch.setenv("CALLSHEET_HOME", str(home))
        yield home


def example(job_type: str, **fields: Any) -> dict[str, Any]:
    """An example's envelope with other fields; None leaves a field out."""
    envelope: dict[str, Any] = parse_envelope((EXAMPLES / f"{job_type}.json").read_text())
    envelope["input"] |= fields
    envelope["input"] = {name: value for name, value in envelope["input"].items() if value is not None}
    return envelope


def run(envelope: dict[str, Any], local: bool = True) -> tuple[Reply, list[tuple[str, bool]]]:
    """The reply, and each stage with whether it was made already."""
    from callsheet.doors.job import flow_of
    from tasks.inputs import inbox
    from tasks.run import Seen, watching

    seen: list[Seen] = []
    request = read_request(envelope)
    with inbox(local) as box, watching(seen.append):
        reply: Reply = flow_of(request)(box.keep(request))
    return reply, [(one.recipe.stage, one.cached) for one in seen]


def file_of(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def video(reply: Reply, name: str = "video") -> Facts:
    return probe(file_of(reply.output[name]))


# ---- what is delivered


def test_a_lipsync_job_delivers_the_picture_with_the_voice(home: Path) -> None:
    reply, _ = run(example("lipsync_only"))
    assert reply.model_dump(exclude={"duration_ms"}) == {
        "success": True,
        "output": {"video": (home / "delivery/videos/example_lipsync/lipsync.mp4").as_uri()},
        "metadata": {"quality": "fast", "job_id": "example_lipsync"},
        **GUESSED,
    }
    made = video(reply)
    assert (made.width, made.height, made.fps, made.video_codec) == (512, 576, 24, "h264")
    assert 0 <= made.frames / 24 - VOICE_SECONDS < 1 / 24, f"{made.frames} frames for {VOICE_SECONDS:.3f} s"
    assert abs(made.audio_duration - made.duration) < 0.03


def test_a_render_delivers_film_and_thumbnail_in_the_format_asked_for(home: Path) -> None:
    reply, _ = run(example("video_render"))
    folder = (home / "delivery/videos/example_render").as_uri()
    assert reply.output == {"video": f"{folder}/final.mp4", "thumbnail": f"{folder}/thumbnail.jpg"}
    made = video(reply)
    assert reply.metadata == {
        "job_id": "example_render", "quality": "draft", "duration": round(made.frames / 30, 3),
        "format": {"width": 540, "height": 960, "fps": 30}}
    assert (made.width, made.height, made.fps) == (540, 960, 30)
    assert 0 <= made.frames / 30 - VOICE_SECONDS < 1 / 30 and made.has_audio
    assert made.subtitle_codecs == (), "its captions are burned"
    with Image.open(file_of(reply.output["thumbnail"])) as picture:
        assert (picture.format, picture.size) == ("JPEG", (540, 960))


def test_burned_captions_change_the_picture_where_they_stand(home: Path) -> None:
    import numpy as np

    cue = {"text": "MMMMMMMM", "start": 0.0, "end": 4.0}
    shots = [
        np.asarray(Image.open(file_of(run(example("video_render", captions=captions, job_id=name))[0]
                                      .output["thumbnail"])).convert("L"), np.int16)
        for name, captions in (("with", [cue]), ("without", []))
    ]
    rows = np.abs(shots[0] - shots[1]).max(axis=1) > 100
    where = np.flatnonzero(rows) / len(rows)
    assert where.size and where.min() > 0.70 and where.max() < 0.80, "position_y is 0.75"


def test_a_persona_has_takes_of_five_seconds_and_an_empty_output(home: Path) -> None:
    reply, _ = run(example("persona_build"))
    takes = reply.metadata.pop("base_takes")
    assert (reply.output, reply.metadata) == ({}, {"persona_id": "example_persona", "archetype": "hero"})
    assert [{k: v for k, v in take.items() if k != "video_url"} for take in takes] == [
        {"id": "example_persona_take_0", "emotion": "neutral", "angle": "front", "intensity": 0.5, "duration": 5},
        {"id": "example_persona_take_1", "emotion": "intense", "angle": "closeup", "intensity": 0.9, "duration": 5}]
    for n, take in enumerate(takes):
        path = file_of(take["video_url"])
        assert path == home / f"delivery/personas/example_persona/takes/take_{n}.mp4"
        assert (probe(path).duration, probe(path).frames, probe(path).width) == (5.0, 120, 512)


def test_a_take_shows_the_persona_from_its_first_frame_to_its_last(home: Path) -> None:
    import av
    import numpy as np

    reply, _ = run(example("persona_build"))
    with Image.open(EXAMPLES / "portrait.jpg") as picture:
        skin = np.asarray(picture.convert("RGB").getpixel((256, 330)), np.int16)
    with av.open(str(file_of(reply.metadata["base_takes"][0]["video_url"]))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for n in (0, 40, 119):
        near = (np.abs(frames[n].astype(np.int16) - skin).max(axis=2) < 24).mean()
        assert near > 0.05, f"frame {n} has {near:.1%} of the portrait's skin"


def test_a_poster_job_delivers_a_jpeg_under_its_users_key(home: Path) -> None:
    reply, _ = run(example("poster_frame"))
    path = file_of(reply.output["thumbnail_image_url"])
    assert path.parent == home / "delivery/characters/user_12345/0001_european_20_female/poster_frames"
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("JPEG", (1024, 1024))
    assert (reply.metadata["actor_id"], reply.metadata["seed"]) == ("0001_european_20_female", 42)


def test_a_poster_without_a_user_keeps_its_key_when_it_is_asked_for_again(home: Path) -> None:
    urls = [run(example("poster_frame", user_id=None))[0].output["thumbnail_image_url"] for _ in range(2)]
    assert urls[0] == urls[1]
    assert file_of(urls[0]).parent == home / "delivery/actors/0001_european_20_female/poster_frames"


def test_a_segment_is_a_raw_clip_without_sound(home: Path) -> None:
    reply, _ = run(example("segment"))
    made = video(reply)
    assert file_of(reply.output["video"]) == home / "delivery/videos/example_segment/segment.mp4"
    assert (made.width, made.height, made.frames, made.fps, made.has_audio) == (512, 512, 48, 24, False)
    assert {name: reply.metadata[name] for name in ("seed", "num_frames", "fps", "duration")} == {
        "seed": 42, "num_frames": 48, "fps": 24, "duration": 2.0}


def test_an_animation_speaks_and_grows_with_its_dialogue(home: Path) -> None:
    reply, stages = run(example("animation"))
    made = video(reply)
    assert (made.width, made.height, made.fps, made.has_audio) == (512, 512, 24, True)
    assert made.frames == reply.metadata["num_frames"] > 48
    assert reply.metadata["characters"] == ["0000_european_16_male", "0001_european_20_female"]
    assert not {"poster", "takes"} & {stage for stage, _ in stages}, "an animation starts from its words"


def test_an_animation_tells_what_stands_in_for_what_was_asked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(recipe: PosterRecipe | ClipRecipe, room: Room) -> OutOfMemory | None:
        large = recipe.engine.model == "wan2.2-i2v-a14b"
        return OutOfMemory(engine="scripted", what="a clip", detail="at step 1") if large else None

    Script(fails=fails).enter(monkeypatch)
    monkeypatch.setenv("CALLSHEET_FALLBACK", "smaller")
    asked = example("animation", job_id="smaller", dialogue_text=None, num_frames=8)
    for _ in range(2):                                    # a rerun tells it too
        reply, _ = run(asked)
        [told] = [warning for warning in reply.warnings if "wan2.2-i2v-a14b" in warning]
        assert "wan2.2-ti2v-5b" in told and "at step 1" in told, told


def test_an_animation_without_dialogue_has_exactly_its_frames(home: Path) -> None:
    reply, stages = run(example("animation", dialogue_text="", num_frames=7, job_id="silent"))
    assert video(reply).frames == 7
    assert "lipsync" not in {stage for stage, _ in stages}


def test_prompts_become_a_video_in_the_tiers_size_that_tells_who_made_each(home: Path) -> None:
    reply, stages = run(example("frames"))
    folder = (home / "delivery/videos/example_frames").as_uri()
    assert reply.output == {"video": f"{folder}/final.mp4", "thumbnail": f"{folder}/thumbnail.jpg"}
    assert reply.metadata == {
        "job_id": "example_frames", "quality": "draft", "transition": "crossfade", "frames": 72, "duration": 3.0,
        "width": 854, "height": 480, "fps": 24, "seed": 42,
        "engines": [{"prompt": prompt, "engine": "placeholder", "model": ""}
                    for prompt in example("frames")["input"]["prompts"]]}
    made = video(reply)
    assert (made.frames, made.width, made.height, made.fps) == (72, 854, 480, 24)
    assert [stage for stage, _ in stages].count("segments") == 2
    assert reply.warnings == (), "drawn pictures were asked for"


# ---- made once


@pytest.mark.parametrize(
    "job_type", ["lipsync_only", "video_render", "persona_build", "poster_frame", "segment", "animation", "frames"])
def test_a_second_identical_job_is_all_cached(job_type: str, home: Path) -> None:
    first, _ = run(example(job_type))
    second, stages = run(example(job_type))
    assert stages and all(cached for _, cached in stages), [stage for stage, cached in stages if not cached]
    assert (second.output, second.metadata, second.warnings) == (first.output, first.metadata, first.warnings)


def test_a_render_of_a_voice_that_was_previewed_reuses_its_lipsync(home: Path) -> None:
    run(example("lipsync_only"))
    _, stages = run(example("video_render", job_id="after_preview", format={"width": 64, "height": 64, "fps": 25}))
    assert dict(stages)["lipsync"] is True and dict(stages)["conform"] is False


def test_another_persona_take_costs_that_take_only(home: Path) -> None:
    run(example("persona_build"))
    more = [*example("persona_build")["input"]["takes_to_generate"], {"emotion": "sad"}]
    _, stages = run(example("persona_build", takes_to_generate=more))
    assert [cached for stage, cached in stages if stage == "takes"].count(False) == 1


# ---- where files come from


def test_files_come_from_addresses_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(EXAMPLES))) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        monkeypatch.setenv("CALLSHEET_ALLOWED_HOSTS", f"127.0.0.1:{site.server_port}")
        here = f"http://127.0.0.1:{site.server_port}"
        try:
            envelope = example("lipsync_only", image=f"{here}/portrait.jpg", audio=f"{here}/voice.flac")
            remote, _ = run(envelope, local=False)
        finally:
            site.shutdown()
            thread.join()
    assert remote.output == run(example("lipsync_only"))[0].output


def test_large_bytes_in_a_request_are_kept_out_of_the_runs_parameters(home: Path) -> None:
    file = io.BytesIO()
    with Image.open(EXAMPLES / "portrait.jpg") as face:
        grain = Image.effect_noise(face.size, 90).convert("RGB").resize((1000, 1000))
        Image.blend(face.resize(grain.size), grain, 0.1).save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    assert len(text) > 512 << 10, "a server takes no larger parameters"
    reply, _ = run(example("lipsync_only", image=text, job_id="large"))
    assert reply.success
    assert _last_run("lipsync_only large").parameters["request"]["image"] == "inbox:kept0"


def test_a_local_path_is_refused_for_whoever_is_not_at_this_machine(home: Path) -> None:
    with pytest.raises(RequestInvalid, match=r"field input\.image: is neither a URL nor base64"):
        run(example("lipsync_only"), local=False)


def test_a_lora_is_found_by_name_in_the_folders_of_the_setting(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_LORAS", f"{home / 'none'}:{ROOT / 'manifests/examples/loras'}")
    for name in ("0002_european_35_female", "0002_european_35_female.safetensors"):
        reply, _ = run(example("segment", character=name, num_frames=1, job_id="by_name"), local=False)
        assert reply.metadata["characters"] == ["0002_european_35_female"]


def test_a_path_to_a_lora_is_no_name_for_whoever_is_not_at_this_machine(home: Path) -> None:
    path = str(ROOT / "manifests/examples/loras/0001_european_20_female.safetensors")
    with pytest.raises(FileMissing, match="leaves"):
        run(example("segment", character=path), local=False)


# ---- failures


def test_a_lora_that_is_nowhere_ends_the_run_as_failed_with_where_it_was_looked_for(home: Path) -> None:
    with pytest.raises(FileMissing, match=f"looked in .*{home / 'loras'}"):
        run(example("poster_frame", actor_id="nobody", character_lora_name="nobody"))
    last = _last_run("poster_frame nobody")
    assert last.state.type == "FAILED" and "nobody.safetensors is not there" in last.state.message
    shown = json.loads(_reply_page(last.id))
    assert (shown["success"], shown["error"]["code"]) == (False, "file.missing")


def test_a_sound_in_place_of_a_picture_is_told(home: Path) -> None:
    from callsheet.errors import MediaUnreadable

    with pytest.raises(MediaUnreadable, match="cannot be read as picture"):
        run(example("lipsync_only", image="manifests/examples/jobs/voice.flac"))


def test_the_command_prints_the_reply_and_nothing_else(home: Path) -> None:
    done = _command("job", "manifests/examples/jobs/segment.json")
    assert done.returncode == 0, done.stderr
    assert Reply.model_validate_json(done.stdout).output == run(example("segment"))[0].output


@pytest.mark.soak
def test_the_command_ends_with_1_when_the_request_was_not_to_blame(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Missing) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        monkeypatch.setenv("CALLSHEET_ALLOWED_HOSTS", f"127.0.0.1:{site.server_port}")
        gone = f"http://127.0.0.1:{site.server_port}/a.png"
        try:
            done = _command("job", "-", stdin=json.dumps(example("lipsync_only", image=gone)))
        finally:
            site.shutdown()
            thread.join()
    reply = Reply.model_validate_json(done.stdout)
    assert done.returncode == 1 and reply.error is not None and reply.error.code == "download.gone", done.stderr
    assert reply.metadata == {"job_id": "example_lipsync", "quality": "fast"}


@pytest.mark.parametrize("stdin", ['{"input": {"job_type": "lipsync"}}', "{"])
def test_the_command_ends_with_2_when_the_request_has_to_be_corrected(stdin: str, home: Path) -> None:
    done = _command("job", "-", stdin=stdin)
    reply = Reply.model_validate_json(done.stdout)
    assert done.returncode == 2 and reply.error is not None and reply.error.code == "request.invalid"
    assert reply.error.message in done.stderr


def test_a_request_file_that_is_not_there_has_a_reply_too(home: Path) -> None:
    done = _command("job", "nothing.json")
    reply = Reply.model_validate_json(done.stdout)
    assert done.returncode == 2 and reply.error is not None and reply.error.code == "file.missing"


def _command(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from callsheet.doors.cli import main; main()"]
    return subprocess.run([*program, *arguments], input=stdin, capture_output=True, text=True, cwd=ROOT)


def _last_run(name: str) -> Any:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    async def read() -> Any:
        async with get_client() as client:
            return await client.read_flow_runs(
                flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])), sort=FlowRunSort.START_TIME_DESC)

    return asyncio.run(read())[0]


def _reply_page(run_id: Any) -> str:
    """The JSON that the run shows as its reply."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey

    async def read() -> Any:
        async with get_client() as client:
            return await client.read_artifacts(
                artifact_filter=ArtifactFilter(
                    flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]), key=ArtifactFilterKey(any_=["reply"])))

    [page] = asyncio.run(read())                      # a run has others: Prefect keeps its result as one
    return str(page.data).removeprefix("```json").removesuffix("```")


@pytest.mark.parametrize(("job_type", "variable", "value"), [
    ("lipsync_only", "CALLSHEET_COMFYUI_URL", "http://127.0.0.1:9"),
    ("lipsync_only", "CALLSHEET_ENGINE", "openai"),
    ("segment", "CALLSHEET_LIPSYNC", "musetalk"),
])
def test_a_job_does_not_need_the_engines_of_another(
    home: Path, monkeypatch: pytest.MonkeyPatch, job_type: str, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    reply, _ = run(example(job_type))
    assert reply.success
