"""The gate in the flow: an engine whose first shot is black, and what each policy makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callsheet.contact_sheet import page
from callsheet.doors.preview import planned
from callsheet.engines.placeholder import PlaceholderEngine
from callsheet.errors import QualityRefused
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.probe import probe
from callsheet.models import Actor, Check, CheckPolicy, Format, Generate, Order, Scene, SourceFile, Transition
from callsheet.presets import Quality, TransitionKind
from callsheet.production import Production, Status
from callsheet.recipes import ClipRecipe
from callsheet.store.base import Outcome, Room
from callsheet.store.sources import admit
from tasks.run import running
from tests.support.prefect_server import unconfigured
from tests.support.world import AVA, EXAMPLES, path_of

pytestmark = pytest.mark.slow


def order(policy: CheckPolicy) -> Order:
    """Two short scenes without a word."""
    return Order(
        title="Two scenes",
        cast=(Actor(id="ava", lora=SourceFile(path=str(EXAMPLES / "loras" / f"{AVA}.safetensors"))),),
        scenes=(
            Scene(prompt="a street at noon", seconds=1, transition=Transition(kind=TransitionKind.FADE, seconds=0.2)),
            Scene(prompt="a garden at night", seconds=1),
        ),
        quality=Quality.DRAFT, format=Format(width=128, height=128, fps=24), takes=(), poster=None,
        generate=Generate(engine="placeholder", px=128), check=Check(policy=policy),
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, prefect_here: str) -> Path:
    return tmp_path_factory.mktemp("gate")


@pytest.fixture
def shots(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What was shot. The second scene is black as long as its seed is the first one."""
    monkeypatch.chdir(home)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_HOME", str(home / "home"))
    shoot, shot, first = PlaceholderEngine.shoot, list[str](), set[int]()

    def shooting(self: PlaceholderEngine, recipe: ClipRecipe, room: Room) -> Outcome:
        outcome = shoot(self, recipe, room)
        shot.append(recipe.label)
        if recipe.label.startswith("scene 2") and (not first or recipe.seed in first):
            first.add(recipe.seed)
            clip = outcome.files["main"]
            run(Command(("-i", local_input(clip), "-vf", "lutyuv=y=16:u=128:v=128", "-c:v", "libx264",
                         local_input(room.path("black.mp4"))), what="make it black"))
            room.path("black.mp4").replace(clip)
        return outcome

    monkeypatch.setattr(PlaceholderEngine, "shoot", shooting)
    yield shot


def produce(policy: CheckPolicy) -> Production:
    from flows.produce import produce

    made: Production = produce(order(policy))
    return made


def films(home: Path) -> list[Path]:
    return sorted((home / "home" / "delivery" / "videos").glob("*/final.mp4"))


def test_each_policy_has_its_way_with_a_black_scene(home: Path, shots: list[str]) -> None:
    with pytest.raises(QualityRefused, match="Two scenes is not delivered, 1 found: scene 2, 1.12 to 2.00 s"):
        produce(CheckPolicy.STOP)
    assert films(home) == [], "nothing is delivered"
    assert sorted(shots) == ["scene 1, segment 1", "scene 2, segment 1"]

    shots.clear()
    warned = produce(CheckPolicy.WARN)
    assert warned.status is Status.MADE
    assert [warning.partition(": shoot")[0] for warning in warned.warnings] == [
        "scene 2, 1.12 to 2.00 s: the picture is black"]
    assert len(films(home)) == 1
    assert shots == [], "everything was kept"

    mended = produce(CheckPolicy.RETRY)
    assert (mended.status, mended.warnings) == (
        Status.MADE, ("scene 2 was shot anew (retake 1): the picture is black",))
    rows = [(row.stage, row.label) for row in mended.stages if row.label.startswith("scene 2")]
    assert rows == [
        ("segments", "scene 2, segment 1"), ("conform", "scene 2, segment 1"),
        ("segments", "scene 2, segment 1 (rejected)"), ("conform", "scene 2, segment 1 (rejected)")]
    assert [row.stage for row in mended.stages].count("check") == 2, "the rejected attempt was made too, and cost"
    assert [row.stage for row in mended.stages].count("upload") == 1
    assert shots == ["scene 2, segment 1"], "nothing but the black scene is shot anew"
    assert mended.job_id in mended.video
    assert len(films(home)) == 2

    shots.clear()
    again = produce(CheckPolicy.RETRY)
    assert (again.video, again.warnings, again.made_at) == (mended.video, mended.warnings, mended.made_at)
    assert all(row.cached for row in again.stages)
    assert shots == [], "a rerun goes the same way and finds everything made"
    assert to_make(CheckPolicy.RETRY) == []


def to_make(policy: CheckPolicy) -> list[str]:
    """What the plan says that is still to make."""
    with running("plan") as run:
        plan = planned(admit(order(policy), run.sources), run)[1]
    return [stage.stage.value for stage in plan.stages if stage.to_make]


def test_a_batch_shows_where_the_film_that_it_refused_can_be_looked_at(
    home: Path, shots: list[str], tmp_path: Path
) -> None:
    from flows.batch import _ended

    with pytest.raises(QualityRefused) as caught:
        produce(CheckPolicy.STOP)
    shown = _ended(order(CheckPolicy.STOP), datetime.now(UTC), caught.value, None)
    assert (shown.status, shown.video, shown.error_code) == (Status.FAILED, "", "check.refused")
    assert probe(path_of(shown.kept)).frames == 48
    assert shown.job_id == caught.value.facts["job_id"]
    assert shown.kept in page("night", [shown], datetime.now(UTC), "file:///elsewhere/", {})
    assert _ended(order(CheckPolicy.STOP), datetime.now(UTC), ValueError("x"), None).kept == ""
