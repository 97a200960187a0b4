"""The plan of a film that was retaken or refused says what a run would really do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from callsheet.doors.preview import FilmPlan, planned
from callsheet.film import Film
from callsheet.media.findings import Finding, Kind
from callsheet.models import Actor, Check, CheckPolicy, Format, Generate, Order, Scene, SourceFile
from callsheet.presets import Quality
from callsheet.recipe import Recipe, Stage, digest
from callsheet.store.base import Outcome, Room
from callsheet.store.make import make
from tasks.run import Run, running
from tests.support.prefect_server import unconfigured

LORA = SourceFile(path="/somewhere/ava.safetensors", sha256=digest("ava"))


def order(policy: CheckPolicy, retries: int = 1) -> Order:
    return Order(
        title="t", cast=(Actor(id="ava", lora=LORA),),
        scenes=(Scene(prompt="a street", seconds=1), Scene(prompt="a garden", seconds=1)),
        quality=Quality.DRAFT, format=Format(width=128, height=128, fps=24), takes=(), poster=None,
        generate=Generate(engine="placeholder", px=128), check=Check(policy=policy, retries=retries),
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    with running("test") as run:
        yield run


def black(seconds: float) -> Finding:
    return Finding(kind=Kind.BLACK, start=1, end=1 + seconds, scene=1, detail="it is black", remedy="do something")


def made(run: Run, film: Film, findings: tuple[Finding, ...], upload: bool = False) -> None:
    """Put records of every recipe into the store, as if the film were made and looked at."""
    for recipe in film.recipes():
        if recipe.stage is Stage.UPLOAD and not upload:
            continue

        def work(room: Room, recipe: Recipe = recipe) -> Outcome:
            names = ("main", "last_frame", "mouths", "thumbnail")
            for name in names:
                room.path(name).write_text(recipe.fingerprint + name)
            found = [each.model_dump(mode="json") for each in findings] if recipe.stage is Stage.CHECK else []
            facts = {"findings": found, "delivered": {}}
            return Outcome(files={name: room.path(name) for name in names}, facts=facts)

        make(recipe, work, run.records)


def to_make(plan: FilmPlan) -> list[str]:
    return [stage.stage.value for stage in plan.stages if stage.to_make]


def retakes(film: Film) -> list[int]:
    return [scene.retake for scene in film.order.scenes]


def test_the_plan_of_a_film_whose_check_found_something_is_the_retake(run: Run) -> None:
    first, _ = planned(order(CheckPolicy.RETRY), run)
    made(run, first, (black(0.5),))
    again, plan = planned(order(CheckPolicy.RETRY), run)
    assert (retakes(again), again.job_id) == ([0, 1], first.job_id)
    assert to_make(plan) == ["segments", "conform", "splice", "mix", "check", "upload"]
    assert [(stage.stage, stage.made, stage.to_make) for stage in plan.stages][1] == (Stage.SEGMENTS, 1, 1)


def test_nothing_is_to_make_of_a_film_that_was_retaken_and_delivered(run: Run) -> None:
    first, _ = planned(order(CheckPolicy.RETRY), run)
    made(run, first, (black(0.5),))
    made(run, planned(order(CheckPolicy.RETRY), run)[0], (), upload=True)
    again, plan = planned(order(CheckPolicy.RETRY), run)
    assert (retakes(again), to_make(plan)) == ([0, 1], [])


def test_the_plan_is_that_of_the_best_attempt_when_nothing_is_left_to_try(run: Run) -> None:
    first, _ = planned(order(CheckPolicy.RETRY), run)
    made(run, first, (black(0.3),), upload=True)
    made(run, planned(order(CheckPolicy.RETRY), run)[0], (black(0.9),))
    again, plan = planned(order(CheckPolicy.RETRY), run)
    assert (retakes(again), to_make(plan)) == ([0, 0], [])


def test_an_attempt_that_is_not_whole_any_more_is_planned_before_its_retake(run: Run) -> None:
    first, _ = planned(order(CheckPolicy.RETRY), run)
    made(run, first, (black(0.5),))
    record = run.records.find(Stage.SEGMENTS, first.segments[0].fingerprint)
    assert record is not None
    (run.settings.home / "store" / record.artifacts["main"].key).unlink()
    again, plan = planned(order(CheckPolicy.RETRY), run)
    assert (retakes(again), to_make(plan)[0]) == ([0, 0], "segments")


def test_findings_are_troubles_where_they_stop_the_delivery_and_only_there(run: Run) -> None:
    first, plan = planned(order(CheckPolicy.STOP), run)
    assert plan.troubles == ()
    made(run, first, (black(0.5),))
    assert planned(order(CheckPolicy.STOP), run)[1].troubles == (
        "its check found scene 2, 1.00 to 1.50 s: it is black: do something",)
    assert planned(order(CheckPolicy.WARN), run)[1].troubles == ()
