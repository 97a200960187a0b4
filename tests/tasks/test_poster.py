"""A poster that fails says so in the source's words, and whether trying again can help."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.errors import EngineError, EngineTimedOut, EngineUnable, MediaError, OutOfMemory, PosterFailed
from callsheet.recipes import EngineId, PosterRecipe
from callsheet.store.base import Outcome, Room
from tasks import poster as module

RECIPE = PosterRecipe(
    label="Ava", engine=EngineId(name="e", version=1), prompt="p", width=64, height=64, steps=1, sampler_name="euler",
    scheduler_name="simple", flux_guidance=6.5, loras=(), seed=1,
)


class Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def paint(self, recipe: PosterRecipe, room: Room) -> Outcome:
        raise self.error


def painted(error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Outcome:
    monkeypatch.setattr(module, "clip_engine", lambda asked: Broken(error))
    room = Room(folder=tmp_path, open_ref=lambda ref: tmp_path, facts_of=lambda ref: {})
    return module.poster.work(RECIPE, room)


@pytest.mark.parametrize(
    "error",
    [EngineError(engine="flux", what="a poster", detail="out of memory"), MediaError(what="encode", detail="no space")],
    ids=["engine", "media"],
)
def test_a_failed_poster_says_so_in_the_source_s_words(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(PosterFailed, match="Poster frame generation failed for Ava") as caught:
        painted(error, monkeypatch, tmp_path)
    assert caught.value.retryable
    assert "run again" in caught.value.fix


@pytest.mark.parametrize(
    "error",
    [
        EngineUnable(engine="e", what="a poster", detail="no model"),
        OutOfMemory(engine="e", what="a poster", detail="at step 3 of 22"),
        EngineTimedOut(engine="e", what="a poster", detail="step 3 of 22", seconds=900),
    ],
    ids=lambda error: error.code,
)
def test_what_would_end_the_same_way_again_is_not_tried_again_and_keeps_its_code(
    error: EngineError, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(type(error)) as caught:
        painted(error, monkeypatch, tmp_path)
    assert caught.value is error and not error.retryable
