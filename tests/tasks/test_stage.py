"""A stage on a real Prefect server: retried, cached, refreshed, and dependent recipes wait for each other."""

from __future__ import annotations

from typing import ClassVar

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.context import FlowRunContext

from callsheet.errors import DownloadFailed, LoraUnsafe
from callsheet.recipe import Recipe, Ref, Stage
from callsheet.store.base import Outcome, Room
from tasks.policy import CPU_LIMIT, Policy
from tasks.run import Seen, running, watching
from tasks.stage import stage

pytestmark = pytest.mark.slow
QUICK = Policy("cpu", CPU_LIMIT, retries=2, pauses_s=(0, 0))


class Step(Recipe):
    stage: ClassVar[Stage] = Stage.INTAKE
    name: str
    after: Ref | None = None


@pytest.fixture(autouse=True)
def own_store(prefect_here: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CALLSHEET_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("CALLSHEET_DELIVERY", str(tmp_path / "delivery"))


def counted(fails: list[BaseException], tried: list[str]):
    @stage(QUICK)
    def step(recipe: Step, room: Room) -> Outcome:
        """Writes its name."""
        tried.append(recipe.name)
        if fails:
            raise fails.pop()
        path = room.path("out.txt")
        path.write_text(recipe.name if recipe.after is None else room.fetch(recipe.after).read_text() + recipe.name)
        return Outcome(files={"main": path}, made_by="test")

    return step


def in_flow(work, **options):
    """Run `work` inside a flow; its result and the names of its task runs' states."""
    import asyncio

    ids = []

    @flow(name="test-stage")
    def whole():
        ids.append(FlowRunContext.get().flow_run.id)
        with running("test", **options):
            return work()

    result = whole()

    async def states():
        async with get_client() as client:
            runs = await client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids)))
            return {run.name: (run.state_name, run.run_count) for run in runs}

    return result, asyncio.run(states())


def test_an_error_that_may_pass_is_tried_again_and_one_that_may_not_is_not() -> None:
    tried: list[str] = []
    step = counted([DownloadFailed(url="u", detail="time-out")], tried)
    [record], _ = in_flow(lambda: step.each([Step(name="a", label="a")]))
    assert tried == ["a", "a"]
    assert record.made_by == "test"

    tried.clear()
    step = counted([LoraUnsafe(path="x", detail="a pickle")], tried)
    with pytest.raises(LoraUnsafe, match="x is a pickle, which can run code"):
        in_flow(lambda: step.each([Step(name="b", label="b")]))
    assert tried == ["b"]


def test_the_second_run_is_shown_as_cached() -> None:
    tried: list[str] = []
    step = counted([], tried)
    recipe = Step(name="c", label="c")
    in_flow(lambda: step.one(recipe))
    seen: list[Seen] = []
    with watching(seen.append):
        record, states = in_flow(lambda: step.one(recipe))
    assert tried == ["c"]
    assert [(one.cached, one.record) for one in seen] == [(True, record)]
    assert states in ({"step: c": ("Cached", 1)}, {}), "the server may be a moment behind"


def test_a_refreshed_stage_is_made_anew_and_others_are_not() -> None:
    tried: list[str] = []
    step = counted([], tried)
    recipe = Step(name="d", label="d")
    in_flow(lambda: step.one(recipe))
    in_flow(lambda: step.one(recipe), refresh=[Stage.MIX])
    assert tried == ["d"]
    in_flow(lambda: step.one(recipe), refresh=[Stage.INTAKE])
    assert tried == ["d", "d"]


def test_a_recipe_made_from_another_of_the_same_stage_waits_for_it() -> None:
    first = Step(name="1", label="1")
    second = Step(name="2", label="2", after=first.ref())
    third = Step(name="3", label="3", after=second.ref())
    step = counted([], [])
    records, _ = in_flow(lambda: step.each([first, second, third]))
    with running("look") as run:
        key = records[2].artifact().key
        assert run.records.store.read(key) == b"123"


def test_every_recipe_is_tried_before_the_first_failure_is_raised() -> None:
    tried: list[str] = []
    step = counted([LoraUnsafe(path="x", detail="a pickle")], tried)
    with pytest.raises(LoraUnsafe):
        in_flow(lambda: step.each([Step(name=n, label=n) for n in "efg"]))
    assert sorted(tried) == ["e", "f", "g"]
