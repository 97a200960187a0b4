"""Unfinished work: a picture of it in the run's folder and on the run's page, gone when the work ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image, ImageStat

from callsheet.engines.placeholder import PlaceholderEngine
from callsheet.errors import Cancelled, EngineError
from callsheet.recipe import Recipe, Stage
from callsheet.recipes import EngineId, SegmentRecipe
from callsheet.store.base import Outcome, Room
from tasks import previews
from tasks.direct import direct
from tasks.policy import GPU_LIMIT, Policy
from tasks.run import STOP, running
from tasks.stage import stage
from tests.support.prefect_server import unconfigured

ONCE = Policy("gpu", GPU_LIMIT, retries=0, pauses_s=())


class Work(Recipe):
    stage: ClassVar[Stage] = Stage.SEGMENTS
    name: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the previews of the run `A night` lie; every picture is shown."""
    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(previews, "EVERY_S", 0.0)
    return tmp_path / "home" / "previews" / "a-night"


def made(work: Callable[[Room], None], recipe: Recipe | None = None) -> None:
    """`work` as a stage of the run, without Prefect."""
    @stage(ONCE)
    def segments(recipe: Recipe, room: Room) -> Outcome:
        """Does what the test says."""
        work(room)
        return Outcome(made_by="test")

    with direct(), running("A night"):
        segments.one(recipe or Work(name="w", label="scene 1, segment 1"))


def picture(room: Room, shade: int) -> Path:
    Image.new("RGB", (960, 540), (shade,) * 3).save(room.path("p.png"))
    return room.path("p.png")


def shades(folder: Path) -> dict[str, int]:
    """Name of each file there, and how bright it is."""
    found: dict[str, int] = {}
    for file in folder.glob("*"):
        with Image.open(file) as there:
            found[file.name] = round(ImageStat.Stat(there).mean[0])
    return found


def test_the_newest_picture_lies_in_the_runs_folder_while_it_is_made(folder: Path) -> None:
    seen: list[dict[str, int]] = []

    def work(room: Room) -> None:
        for shade in (10, 200):
            room.show(picture(room, shade), "step")
            seen.append(shades(folder))

    made(work)
    assert seen == [{"segments-scene-1--segment-1.jpg": 10}, {"segments-scene-1--segment-1.jpg": 200}]
    assert not folder.exists(), "it goes when the work ends"


def test_it_goes_when_the_work_fails(folder: Path) -> None:
    def work(room: Room) -> None:
        room.show(picture(room, 10), "step")
        assert shades(folder)
        raise EngineError(engine="e", what="w", detail="d")

    with pytest.raises(EngineError):
        made(work)
    assert not folder.exists()


def test_what_is_quick_or_comes_too_often_is_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "EVERY_S", 60.0)

    def work(room: Room) -> None:
        for shade in range(5):
            room.show(picture(room, shade), "step")
        assert not folder.exists()

    made(work)


def test_a_preview_that_cannot_be_shown_does_not_fail_the_work(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.parent.parent.mkdir(parents=True)
    folder.parent.write_text("a file where the folder should be")
    shown = []

    def work(room: Room) -> None:
        for _ in range(3):
            room.show(picture(room, 10), "step")
            shown.append(1)

    made(work)
    assert len(shown) == 3
    told = [one.message for one in caplog.records if "no preview of segments scene 1" in one.message]
    assert len(told) in (1, 2), f"told {len(told)} times"


def test_the_placeholder_shows_its_frames_and_stops_within_one_step(folder: Path) -> None:
    recipe = SegmentRecipe(
        label="scene 1, segment 1", engine=EngineId(name="placeholder", version=2), scene="a hill", prompt="a hill",
        width=128, height=96, num_frames=120, steps=1, cfg=1.0, loras=(), seed=1)
    seen: list[tuple[int, int]] = []
    told: list[str] = []

    def work(room: Room) -> None:
        def show(path: Path, what: str) -> None:
            room.show(path, what)
            with Image.open(next(folder.glob("*.jpg"))) as there:
                seen.append(there.size)
            if what == "frame 48 of 120":
                STOP.set()

        def progress(share: float, what: str) -> None:
            told.append(what)
            room.progress(share, what)

        PlaceholderEngine().shoot(recipe, replace(room, show=show, progress=progress))

    try:
        with pytest.raises(Cancelled):
            made(work, recipe)
    finally:
        STOP.clear()
    assert seen == [(128, 96)] * 2
    assert told[-1] == "frame 60 of 120", "the next time it told its progress"
    assert not folder.exists()


@pytest.mark.slow
def test_it_stands_on_the_runs_page_while_it_is_made(folder: Path, prefect_here: str) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client

    pages: list[list[tuple[str | None, str]]] = []

    def look() -> None:
        with get_client(sync_client=True) as client:
            found = [one for one in client.read_artifacts() if (one.key or "").startswith("preview-")]
        pages.append([(one.description, str(one.data)[:22]) for one in found])

    @stage(ONCE)
    def segments(recipe: Work, room: Room) -> Outcome:
        """Shows two frames."""
        for n, shade in enumerate((10, 200)):
            room.show(picture(room, shade), f"step {n}")
            look()
        return Outcome(made_by="test")

    @flow(name="test-preview")
    def whole() -> None:
        with running("A night"):
            segments.one(Work(name="page", label="scene 1, segment 1"))

    whole()
    look()
    what, data = "segments scene 1, segment 1: step", "data:image/jpeg;base64"
    assert pages == [[(f"{what} 0", data)], [(f"{what} 1", data)], []]
