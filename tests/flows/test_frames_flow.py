"""Frames and a video of prompts, made by the diffusers engine on tiny weights, without a Prefect server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from callsheet.doors.frames import frame, frames_to_video
from callsheet.media.probe import probe
from tasks.run import Seen, watching
from tests.support.clips import apart, decoded
from tests.support.prefect_server import unconfigured

pytestmark = pytest.mark.slow

TINY = {"width": 64, "height": 64, "engine": "diffusers", "seed": 5}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with tiny weights."""
    pytest.importorskip("diffusers", reason="the extra `models` is not installed")
    from tests.tiny import session

    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CALLSHEET_MODELS", str(session.models()))
    monkeypatch.setenv("CALLSHEET_DEVICE", "cpu")
    return tmp_path


def test_prompts_are_generated_and_the_video_shows_each(home: Path) -> None:
    made = frames_to_video(["a pier at dawn", "a city"], num_inference_steps=1, fps=24, **TINY)
    assert probe(made["file_path"]).frames == 144
    assert {(one["engine"], one["model"]) for one in made["metadata"]["engines"]} == {("diffusers", "wan2.2-ti2v-5b")}
    film = decoded(made["file_path"])
    assert apart(film[10], film[-10]) > 2, f"two prompts are {apart(film[10], film[-10]):.1f} apart"


def test_a_frame_is_the_one_that_a_video_of_its_prompt_shows_and_is_made_once(home: Path) -> None:
    seen: list[Seen] = []
    with watching(seen.append):
        picture = frame("a pier at dawn", 60, steps=1, **TINY)
        made = frames_to_video("a pier at dawn", num_inference_steps=1, fps=24, **TINY)
    assert (picture.shape, picture.dtype) == ((64, 64, 3), np.uint8)
    assert [one.cached for one in seen if one.recipe.stage == "segments"] == [False, True]
    shown, first = (apart(picture[..., ::-1].astype(np.float32), decoded(made["file_path"])[n]) for n in (60, 0))
    assert shown < first and shown < 12, f"{shown:.1f} from frame 60, {first:.1f} from frame 0"


@pytest.mark.soak
def test_steps_guidance_and_words_reach_the_model(home: Path) -> None:
    fields = {**TINY, "model": "animatediff-sd15", "steps": 2}
    first = frame("a pier", **fields)
    others = {"words": frame("a city", **fields), "guidance": frame("a pier", guidance=15, **fields),
              "steps": frame("a pier", **{**fields, "steps": 3})}
    assert not [name for name, other in others.items() if np.array_equal(first, other)]
