"""Frames and videos from prompts by the two Python calls, without a Prefect server."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from callsheet.doors.frames import frame, frames_to_video
from callsheet.errors import CallsheetError, Cancelled, NoImageModels, OutOfMemory, RequestInvalid
from callsheet.media.probe import probe
from callsheet.recipes import ClipRecipe, PosterRecipe
from callsheet.store.base import Room
from tasks.run import Seen, watching
from tests.support.clips import apart, decoded
from tests.support.prefect_server import unconfigured
from tests.support.scripted_engine import Script

pytestmark = pytest.mark.slow

DRAWN = {"quality": "draft", "use_ai_generation": False, "seed": 1, "width": 320, "height": 192}
SMALL = {"quality": "draft", "engine": "placeholder", "seed": 1, "width": 320, "height": 192}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def video(*prompts: str, **fields: Any) -> dict[str, Any]:
    return frames_to_video(list(prompts), **({"duration_per_frame": 0.6} | DRAWN | fields))


def test_a_frame_is_an_array_in_the_tiers_size_and_bgr_order(home: Path) -> None:
    seen: list[Seen] = []
    with watching(seen.append):
        picture = frame("a lighthouse at dawn", quality="DRAFT", engine="placeholder")
        assert (picture.shape, picture.dtype, picture.flags["C_CONTIGUOUS"]) == ((480, 854, 3), np.uint8, True)
        later = frame("a lighthouse at dawn", 71, **SMALL)
        made = frames_to_video("a lighthouse at dawn", **DRAWN)
        drawn = [one for one in seen if one.recipe.stage == "segments"]
    assert [one.cached for one in drawn] == [False, False, True], "the video is of the same clip"
    film = decoded(made["file_path"])[..., ::-1]
    assert len(film) == 72
    near, far, swapped = (apart(later.astype(np.float32), other)
                          for other in (film[71], film[0], film[71][..., ::-1]))
    assert near < 4 and near < far and near < swapped, f"{near:.1f}, first frame {far:.1f}, RGB {swapped:.1f}"


def test_the_same_seed_gives_the_same_frame_and_another_one_another(home: Path) -> None:
    first, again, other = (frame("a pier", **{**SMALL, "seed": seed}) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_prompts_become_a_film_on_this_machine(home: Path) -> None:
    told: list[float] = []
    made = video("a pier", "a city", transition="DISSOLVE", video_type="multi_frame",
                 progress=lambda share, what: told.append(share))
    assert made["file_path"].is_relative_to(home / "delivery") and probe(made["file_path"]).frames == 29
    assert made["metadata"].pop("job_id")
    assert made["metadata"] == {
        "quality": "draft", "transition": "dissolve", "frames": 29, "duration": 1.208, "width": 320, "height": 192,
        "fps": 24, "seed": 1, "warnings": [],
        "engines": [{"prompt": prompt, "engine": "placeholder", "model": ""} for prompt in ("a pier", "a city")]}
    assert told and max(told) > 0.5


def test_what_progress_raises_ends_the_work(home: Path) -> None:
    def stop(share: float, what: str) -> None:
        if share > 0.2:
            raise Cancelled(what=what)

    with pytest.raises(Cancelled):
        frame("a pier", **{**SMALL, "progress": stop})


def test_a_film_that_is_delivered_elsewhere_is_fetched(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from callsheet.doors import frames

    monkeypatch.setattr(frames, "_local", lambda url: None)
    assert probe(video("a pier", job_id="away")["file_path"]).frames == 14


def test_what_python_calls_may_bring_is_read_or_refused_by_name(home: Path) -> None:
    assert video("a pier", fps=Fraction(30000, 1001))["metadata"]["fps"] == 29.97
    for fields, said in (({"prompts": 5}, "input.prompts"), ({"prompts": ["a"], "steps": 5}, "input.steps")):
        with pytest.raises(RequestInvalid, match=said):
            frames_to_video(**fields)


@pytest.mark.parametrize("index", [-1, 72, 1.0, True])
def test_a_frame_that_the_clip_does_not_have_is_refused(home: Path, index: Any) -> None:
    with pytest.raises(RequestInvalid, match="use 0 to 71"):
        frame("a pier", index, **SMALL)


def test_pictures_that_were_to_be_generated_are_not_drawn_unless_that_is_allowed(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"use_ai_generation": True, "job_id": "drawn"}
    for call in (lambda: frame("a pier"), lambda: video("a pier", **asked)):
        with pytest.raises(NoImageModels, match="No image generation models available") as caught:
            call()
        assert "use_ai_generation" in caught.value.fix
    monkeypatch.setenv("CALLSHEET_FALLBACK", "placeholder")
    assert "drawn by the placeholder" in str(video("a pier", **asked)["metadata"]["warnings"])
    frame("a pier", **{**SMALL, "engine": "auto"})
    assert "drawn by the placeholder" in caplog.text
    monkeypatch.delenv("CALLSHEET_FALLBACK")
    monkeypatch.setenv("CALLSHEET_ENGINE", "placeholder")
    with pytest.raises(NoImageModels, match="CALLSHEET_ENGINE is placeholder"):
        video("a pier", **asked)


def test_what_stands_in_for_one_prompt_is_told_with_who_made_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(recipe: PosterRecipe | ClipRecipe, room: Room) -> CallsheetError | None:
        return OutOfMemory(engine="scripted", what="a clip", detail="at step 3") if "city" in recipe.prompt else None

    Script(fails=fails).enter(monkeypatch)
    monkeypatch.setenv("CALLSHEET_FALLBACK", "placeholder")
    for _ in range(2):
        told = video("a pier", "a city", use_ai_generation=True, engine="scripted", job_id="one")["metadata"]
        assert [one["engine"] for one in told["engines"]] == ["scripted", "placeholder"]
        assert "at step 3" in " ".join(told["warnings"])
    monkeypatch.setenv("CALLSHEET_FALLBACK", "never")
    with pytest.raises(OutOfMemory):
        video("a pier", "a city", use_ai_generation=True, engine="scripted", job_id="one")
