"""LatentSync as a program: its command, what it may see, what its failures become, and that nothing of it is left."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from callsheet.errors import Cancelled, EngineError, EngineUnable, OutOfMemory
from callsheet.faces.footage import Picture, encode_command, raw_of
from callsheet.faces.latentsync import STEPS, LatentSync
from callsheet.faces.latentsync_process import Inference, environment
from callsheet.media.ffmpeg import writer
from callsheet.media.probe import probe
from callsheet.presets import GENERATION_RATE, Quality
from callsheet.recipes import LipsyncRecipe, PlacedVoice
from callsheet.store.base import Outcome
from tests.faces.portrait import portrait
from tests.support.clips import decoded, ref, room, write_voice
from tests.tiny.faces import settings_for, write_latentsync

FRAMES, SIZE = 24, (160, 96)


class Studio:
    """A checkout, a clip of one face, and a voice that is loud in its middle."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.checkout = folder, write_latentsync(folder / "models", folder / "LatentSync")
        self.engine = LatentSync(settings_for(folder / "models", CALLSHEET_LATENTSYNC=str(self.checkout)))
        self.clip = folder / "clip.mp4"
        with writer(encode_command(Picture(*SIZE, GENERATION_RATE), 4, self.clip, "write a clip")) as pipe:
            for n in range(FRAMES):
                pipe.write(raw_of(portrait(*SIZE, centre=(0.4 + n / 120, 0.5))))
        self.voice = write_voice(folder / "voice.wav", ((0.4, 0.7),), 1.0)
        self.told: list[float] = []

    def sync(self, progress: Callable[[float, str], None] | None = None, **changes: object) -> Outcome:
        fields: dict[str, object] = {
            "engine": self.engine.id, "clip": ref("clip"),
            "voices": (PlacedVoice(audio=ref("voice"), speaker="ava", start=0.0),),
        }
        here = room(self.folder / f"room{len(list(self.folder.iterdir()))}", {
            ref("clip"): self.clip, ref("voice"): self.voice})
        told = replace(here, progress=progress or (lambda share, words: self.told.append(share)))
        return self.engine.sync(LipsyncRecipe.model_validate(fields | changes), told)

    def says(self, mode: str) -> None:
        (self.checkout / "mode").write_text(mode)


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)


def test_the_command_is_that_of_its_script() -> None:
    work = Inference(
        Path("/opt/LatentSync"), Path("/models/latentsync_unet.pt"), Path("/tmp/v.mp4"), Path("/tmp/a.wav"),
        Path("/tmp/r.mp4"), Path("/tmp/scratch"), 20,
    )
    assert work.command() == (
        "/opt/LatentSync/.venv/bin/python", "-m", "scripts.inference",
        "--unet_config_path", "configs/unet/stage2_512.yaml",
        "--inference_ckpt_path", "/models/latentsync_unet.pt", "--inference_steps", "20", "--guidance_scale", "1.5",
        "--seed", "1247", "--video_path", "/tmp/v.mp4", "--audio_path", "/tmp/a.wav",
        "--video_out_path", "/tmp/r.mp4", "--temp_dir", "/tmp/scratch",
    )


def test_it_sees_no_key_of_ours_and_may_neither_download_nor_run_code_in_weights() -> None:
    ours = {"HF_TOKEN": "secret", "RUNPOD_API_KEY": "secret", "CALLSHEET_HOME": "/x", "PATH": "/bin", "HOME": "/root"}
    seen = environment(ours, Path("/programs"))
    assert seen == {
        "PATH": f"/programs{os.pathsep}/bin", "HOME": "/root", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1",
        "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}


def test_every_quality_has_its_steps() -> None:
    assert set(STEPS) == {quality.value for quality in Quality}
    assert list(STEPS.values()) == sorted(STEPS.values())


def test_frames_come_back_one_for_one_although_it_works_at_another_rate(studio: Studio) -> None:
    outcome = studio.sync()
    before, after = decoded(studio.clip), decoded(outcome.files["main"])
    facts = probe(outcome.files["main"])
    assert (facts.frames, facts.fps, facts.width, facts.height) == (FRAMES, GENERATION_RATE, *SIZE)
    for n in (*range(8), *range(19, FRAMES)):         # the picture moves: a frame that is one off would show
        own, next_one = (np.abs(after[n] - before[m]).mean() for m in (n, n - 1 if n else 1))
        assert own < next_one, f"frame {n}: {own:.2f} from its own, {next_one:.2f} from its neighbour"


def test_the_voice_is_heard_in_the_frames_in_which_it_sounds(studio: Studio) -> None:
    after, before = decoded(studio.sync().files["main"]), decoded(studio.clip)
    middle = np.abs(after - before)[:, 44:52, 76:84].mean((1, 2, 3))
    loud = [n for n in range(FRAMES) if middle[n] > 30]
    assert loud == list(range(loud[0], loud[-1] + 1)), middle.round()
    assert loud[0] in (9, 10) and loud[-1] in (16, 17), loud


def test_progress_grows_over_the_program_and_the_encode(studio: Studio) -> None:
    studio.sync()
    assert studio.told == sorted(studio.told) and studio.told[0] < 0.9 <= studio.told[-1], studio.told


def test_steps_follow_the_quality_and_the_scratch_folder_is_new_each_time(studio: Studio) -> None:
    seen = []
    for quality in ("draft", "cinematic"):
        studio.sync(quality=quality)
        asked = (studio.checkout / "asked.txt").read_text().splitlines()
        seen.append({name: asked[asked.index(f"--{name}") + 1] for name in ("inference_steps", "temp_dir")})
    assert [each["inference_steps"] for each in seen] == ["10", "40"]
    assert seen[0]["temp_dir"] != seen[1]["temp_dir"]


@pytest.mark.parametrize(("mode", "error", "words"), [
    ("faceless", EngineUnable, "Face not detected.*mouth_warp"),
    ("fail", EngineError, "no such layer"),
    ("memory", OutOfMemory, "Tried to allocate"),
    ("short", EngineError, "24 of 160x160 were asked"),
])
def test_its_failures_are_told_in_its_own_words(
    studio: Studio, mode: str, error: type[EngineError], words: str
) -> None:
    studio.says(mode)
    with pytest.raises(error, match=words) as caught:
        studio.sync()
    assert type(caught.value) is error


def test_cancelling_ends_it_with_all_that_it_started(studio: Studio) -> None:
    studio.says("hang")
    children = studio.checkout / "pids"

    def progress(share: float, words: str) -> None:
        if children.exists() and children.read_text():
            raise Cancelled(what="lip-sync")

    began = time.monotonic()
    with pytest.raises(Cancelled):
        studio.sync(progress)
    assert time.monotonic() - began < 20
    assert not _alive(int(children.read_text())), "its child is still there"


def _alive(pid: int) -> bool:
    for _ in range(50):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        time.sleep(0.1)
    return True


def test_what_is_missing_is_told_with_its_remedy(tmp_path: Path) -> None:
    models, checkout = tmp_path / "models", tmp_path / "LatentSync"

    def reason() -> str:
        return LatentSync(settings_for(models, CALLSHEET_LATENTSYNC=str(checkout))).able()

    assert "CALLSHEET_LATENTSYNC" in LatentSync(settings_for(models)).able()
    assert ".venv/bin/python is not there" in reason()
    write_latentsync(models, checkout)
    assert reason() == ""
    (checkout / "checkpoints" / "whisper" / "tiny.pt").unlink()
    assert "ln -s" in reason()
    (models / "lipsync" / "latentsync-1.6" / "latentsync_unet.pt").unlink()
    assert "callsheet models download latentsync" in reason()


def test_without_a_gpu_in_its_environment_it_is_unable(tmp_path: Path) -> None:
    checkout = write_latentsync(tmp_path / "models", tmp_path / "blind", gpu=False)
    engine = LatentSync(settings_for(tmp_path / "models", CALLSHEET_LATENTSYNC=str(checkout)))
    assert "no CUDA GPU" in engine.able()
    recipe = LipsyncRecipe(
        engine=engine.id, clip=ref("clip"), voices=(PlacedVoice(audio=ref("voice"), speaker="ava", start=0.0),))
    with pytest.raises(EngineUnable, match="another lip-sync engine"):
        engine.sync(recipe, room(tmp_path / "room", {}))
