"""Stages without Prefect: the same retries, the same order of work, the same record. No server, no flow."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

import pytest

from callsheet.errors import DownloadFailed, LoraUnsafe
from callsheet.recipe import Recipe, Ref, Stage
from callsheet.store.base import Outcome, Room
from tasks.direct import direct, is_direct, logger, side_by_side
from tasks.policy import CPU_LIMIT, GPU_LIMIT, Policy
from tasks.run import Seen, running, watching
from tasks.stage import stage
from tests.support.prefect_server import unconfigured

QUICK = Policy("cpu", CPU_LIMIT, retries=2, pauses_s=(0, 0))


class Step(Recipe):
    stage: ClassVar[Stage] = Stage.INTAKE
    name: str
    after: Ref | None = None


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("CALLSHEET_DELIVERY", str(tmp_path / "delivery"))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")     # nobody is there: a call would fail


def stepping(tried: list[str], fails: dict[str, list[BaseException]] | None = None, policy: Policy = QUICK):
    @stage(policy)
    def step(recipe: Step, room: Room) -> Outcome:
        """Writes its name."""
        tried.append(recipe.name)
        room.progress(0.5, "halfway")
        if fails and fails.get(recipe.name):
            raise fails[recipe.name].pop()
        path = room.path("out.txt")
        path.write_text(recipe.name if recipe.after is None else room.fetch(recipe.after).read_text() + recipe.name)
        return Outcome(files={"main": path}, made_by="test", warnings=("100% drawn",))

    return step


def test_direct_is_on_inside_only() -> None:
    assert not is_direct()
    with direct():
        assert is_direct()
    assert not is_direct()


def test_a_recipe_waits_for_the_one_it_is_made_from_and_others_do_not() -> None:
    tried: list[str] = []
    step, a = stepping(tried), Step(name="a", label="a")
    b = Step(name="b", label="b", after=a.ref())
    with direct(), running("test") as run:
        [first, second] = step.each([a, b])
        assert run.records.open(b.ref(), Path()).read_text() == "ab"
    assert (first.fingerprint, second.fingerprint) == (a.fingerprint, b.fingerprint)
    assert tried == ["a", "b"]


def test_the_second_run_finds_it_made_and_whoever_watches_is_told() -> None:
    tried: list[str] = []
    seen: list[Seen] = []
    step, recipe = stepping(tried), Step(name="c", label="c")
    with direct(), running("test"), watching(seen.append):
        assert step.one(recipe) == step.one(recipe)
    assert (tried, [one.cached for one in seen]) == (["c"], [False, True])


def test_an_error_that_may_pass_is_tried_again_and_one_that_may_not_is_not() -> None:
    tried: list[str] = []
    fails: dict[str, list[BaseException]] = {
        "a": [DownloadFailed(url="u", detail="time-out")], "b": [LoraUnsafe(path="x", detail="a pickle")]}
    step = stepping(tried, fails)
    with direct(), running("test"):
        step.one(Step(name="a"))
        with pytest.raises(LoraUnsafe):
            step.one(Step(name="b"))
    assert tried == ["a", "a", "b"]


def test_the_last_try_s_error_is_raised() -> None:
    fails: dict[str, list[BaseException]] = {"a": [DownloadFailed(url="u", detail=f"try {n}") for n in (3, 2, 1)]}
    with direct(), running("test"), pytest.raises(DownloadFailed, match="try 3"):
        stepping([], fails).one(Step(name="a"))


def test_after_a_failure_the_others_are_tried_and_its_followers_are_not() -> None:
    tried: list[str] = []
    bad, good = Step(name="bad"), Step(name="good")
    follower = Step(name="follower", after=bad.ref())
    step = stepping(tried, {"bad": [LoraUnsafe(path="x", detail="a pickle")]})
    with direct(), running("test"), pytest.raises(LoraUnsafe):
        step.each([bad, follower, good])
    assert sorted(tried) == ["bad", "good"]


def test_progress_is_heard_with_the_name_of_what_is_made() -> None:
    heard: list[tuple[float, str]] = []
    with direct(lambda share, what: heard.append((share, what))), running("test"):
        stepping([]).one(Step(name="a", label="scene 1"))
    assert heard == [(0, "intake scene 1"), (0.5, "intake scene 1 halfway")]


def test_one_gpu_recipe_is_made_at_a_time() -> None:
    at_work, most, lock = 0, 0, threading.Lock()

    @stage(Policy("gpu", GPU_LIMIT, retries=0, pauses_s=()))
    def render(recipe: Step, room: Room) -> Outcome:
        """Counts how many are at work."""
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        threading.Event().wait(0.02)
        with lock:
            at_work -= 1
        return Outcome()

    with direct(), running("test"):
        render.each([Step(name=str(n)) for n in range(4)])
    assert most == 1


def test_results_keep_the_order_of_the_items_and_one_that_comes_twice_is_done_once() -> None:
    done: list[int] = []

    def work(n: int) -> int:
        done.append(n)
        return n * n

    with direct():
        assert side_by_side([3, 1, 3], work, QUICK) == [9, 1, 9]
    assert sorted(done) == [1, 3]


def test_the_logger_is_python_s_own() -> None:
    with direct():
        assert logger().name == "callsheet.run"
