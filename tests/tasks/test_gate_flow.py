"""The gate in the flow: an engine whose first shot is black, and what each policy makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from callsheet.engines.placeholder import PlaceholderEngine
from callsheet.errors import QualityRefused
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.models import Actor, Check, CheckPolicy, Format, Generate, Order, Scene, SourceFile, Transition
from callsheet.presets import Quality, TransitionKind
from callsheet.production import Production, Status
from callsheet.recipes import ClipRecipe
from callsheet.store.base import Outcome, Room
from tests.support.prefect_server import unconfigured
from tests.support.world import AVA, EXAMPLES

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
    assert (mended.status, mended.warnings) == (Status.MADE, ())
    assert shots == ["scene 2, segment 1"], "nothing but the black scene is shot anew"
    assert mended.job_id in mended.video
    assert len(films(home)) == 2

    shots.clear()
    again = produce(CheckPolicy.RETRY)
    assert (again.video, again.warnings, again.made_at) == (mended.video, (), mended.made_at)
    assert all(row.cached for row in again.stages)
    assert shots == [], "a rerun goes the same way and finds everything made"
