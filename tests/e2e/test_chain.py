"""The chain end to end: what is made is never made again, and a change costs what it changes and no more."""

from __future__ import annotations

import asyncio
import runpy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from PIL import Image

from callsheet import keys
from callsheet.errors import EngineUnable
from callsheet.models import Gpu
from callsheet.production import Status
from callsheet.recipe import Stage
from callsheet.recipes import PosterRecipe
from callsheet.store.base import Outcome, Room
from tests.e2e.conftest import Again, Shipped
from tests.support.world import AVA, EXAMPLES, LEO, MARTA, World, made_anew, path_of

pytestmark = pytest.mark.slow

OF_A_LORA = {"train_complete": 1, "poster": 1, "takes": 4, "segments": 2, "lipsync": 1, "conform": 2, "splice": 1,
             "mix": 1, "check": 1, "upload": 1}
"""What is made from an actor's LoRA in a film of two scenes, one of them spoken. Its speech is not."""


def test_the_first_run_makes_three_productions_and_exits_0(shipped: Shipped) -> None:
    assert shipped.exit_code == 0, shipped.words
    assert {who: p.status for who, p in shipped.productions.items()} == dict.fromkeys((AVA, MARTA, LEO), Status.MADE)
    made = {who: sum(not row.cached for row in p.stages) for who, p in shipped.productions.items()}
    assert made == {who: len(p.stages) for who, p in shipped.productions.items()}, "the store was empty"


def test_a_second_run_finds_everything_made(again: Again, shipped: Shipped) -> None:
    assert made_anew(again.productions) == {}
    first = {who: (p.video, p.posters, p.made_at) for who, p in shipped.productions.items()}
    assert {who: (p.video, p.posters, p.made_at) for who, p in again.productions.items()} == first


def test_task_runs_of_a_second_run_end_as_cached_in_the_ui(again: Again) -> None:
    for production in again.productions.values():
        wanted = sorted((row.stage, "Cached") for row in production.stages)
        states = sorted(_task_states(again.flow_runs[production.title], len(wanted)))
        assert states == wanted, f"{production.title}: {states}"


def test_results_lie_beside_the_manifest_which_is_left_alone(again: Again) -> None:
    assert again.manifest == (EXAMPLES / "actors.csv").read_bytes()
    assert {row["id"]: (row["status"], row["video"], int(row["cached"])) for row in again.results} == {
        who: ("made", p.video, len(p.stages)) for who, p in again.productions.items()}


def test_a_productions_own_account_lies_beside_its_video(again: Again) -> None:
    assert again.accounts == again.productions


def test_a_changed_music_volume_remakes_that_actors_mix_its_check_and_upload_and_nothing_else(world: World) -> None:
    world.set(AVA, "music_volume", "0.3")
    follows = {"mix": 1, "check": 1, "upload": 1}
    assert made_anew(world.run()) == {AVA: follows}, "Ava plays in Leo's film, which stays too"


def test_a_changed_transition_kind_remakes_splice_and_what_follows(world: World) -> None:
    world.rewrite("short_marta.yaml", "kind: crossfade", "kind: wipe")
    assert made_anew(world.run()) == {MARTA: {"splice": 1, "mix": 1, "check": 1, "upload": 1}}


def test_a_new_lora_remakes_all_that_shows_its_actor_and_nothing_of_others(world: World) -> None:
    loras = runpy.run_path(str(world.folder / "make_loras.py"))
    file = world.folder / "loras" / f"{MARTA}.safetensors"
    file.write_bytes(loras["kohya"]("another seed"))
    assert made_anew(world.run()) == {MARTA: OF_A_LORA}


def test_a_changed_line_remakes_its_speech_its_lips_and_its_burned_clip(world: World) -> None:
    world.rewrite("short_ava.yaml", "Hello there.", "Good noon.")
    made = world.run()
    follows = {"lipsync": 1, "conform": 1, "splice": 1, "mix": 1, "check": 1, "upload": 1}
    assert made_anew(made) == {AVA: {"speech": 1, "align": 1, **follows}}, (
        "one scene of two is spoken, and its picture does not depend on words")
    assert all("Good noon." in path_of(url).read_text() for url in made[AVA].captions)


def test_captions_that_are_turned_off_remake_the_burned_clip_and_no_speech(world: World) -> None:
    world.set(AVA, "captions", "beside")
    assert made_anew(world.run()) == {AVA: {"conform": 1, "splice": 1, "mix": 1, "check": 1, "upload": 1}}


def test_lost_files_are_remade_and_what_follows_from_equal_bytes_is_not(world: World) -> None:
    lost = {}
    for stage in (Stage.POSTER, Stage.SPLICE, Stage.SPEECH):
        recipe = next(recipe for recipe in world.film(MARTA).recipes() if recipe.stage is stage)
        lost[world.file(recipe.ref())] = world.file(recipe.ref()).read_bytes()
    for path in lost:
        path.unlink()
    assert made_anew(world.run()) == {MARTA: {"poster": 1, "splice": 1, "speech": 1}}
    assert {path: path.read_bytes() for path in lost} == lost


def test_a_film_that_is_lost_from_the_delivery_is_delivered_again(world: World) -> None:
    film = world.delivery / keys.video(world.film(LEO).job_id)
    film.unlink()
    assert made_anew(world.run()) == {LEO: {"upload": 1}}
    assert film.is_file()


def test_refreshed_posters_are_made_once_a_run_and_followed_only_when_their_bytes_changed(world: World) -> None:
    posters = {recipe.fingerprint: recipe for who in (AVA, MARTA, LEO) for recipe in world.film(who).posters}
    remade = made_anew(world.run(refresh=[Stage.POSTER]))
    assert remade == {AVA: {"poster": 1}, MARTA: {"poster": 1}, LEO: {"poster": 2}}, "an engine repeats its bytes"
    assert {world.times_made(recipe) for recipe in posters.values()} == {2}, "Ava's is in two films, made once more"


def test_a_refreshed_poster_of_other_bytes_is_followed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _repaint(monkeypatch, MARTA)
    remade = made_anew(world.run(refresh=[Stage.POSTER], only=[MARTA]))[MARTA]
    # Takes start from the poster; segments start from a take's last frame, which can come out as it was.
    assert (remade["poster"], remade["takes"], remade["upload"]) == (1, 4, 1), remade
    assert not set(remade) & {"train_complete", "speech", "intake"}, remade


def test_a_broken_lora_fails_its_actor_alone_and_one_in_training_waits(world: World) -> None:
    _break_lora(world)
    world.set(LEO, "status", "training")
    made = world.run()
    assert {who: p.status for who, p in made.items()} == {
        AVA: Status.MADE, MARTA: Status.FAILED, LEO: Status.WAITING}
    assert made[MARTA].error_code == "lora.unreadable", made[MARTA].error
    assert f"{MARTA}.safetensors is not a whole safetensors file" in made[MARTA].error
    assert "export the LoRA again" in made[MARTA].error
    assert made[LEO].error == "training has not finished"
    assert made[LEO].error_code == ""


@pytest.mark.parametrize(("error", "code", "words"), [
    (EngineUnable(engine="e", what="this", detail="no", remedy="ask another"), "engine.unable",
     "e cannot make this (no): ask another"),
    (ZeroDivisionError("a mistake"), "callsheet.error", "ZeroDivisionError: a mistake: see the log of this run"),
], ids=["its own error", "a mistake of ours"])
def test_an_engine_that_breaks_over_one_actor_fails_that_actor_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, words: str
) -> None:
    def broken(outcome: Outcome) -> None:
        raise error

    _engine_with(monkeypatch, MARTA, broken)
    world.set(MARTA, "background", "a harbour at dusk")        # so that her poster is to make
    made = world.run()
    assert {who: p.status for who, p in made.items()} == {AVA: Status.MADE, MARTA: Status.FAILED, LEO: Status.MADE}
    assert (made[MARTA].error_code, made[MARTA].error) == (code, words)


def test_a_pool_that_is_not_there_fails_those_who_need_it_and_says_what_to_do(world: World) -> None:
    world.set(MARTA, "seed", "7")
    made = world.run(gpu=Gpu.POOL)
    assert {who: p.status for who, p in made.items()} == {AVA: Status.MADE, MARTA: Status.FAILED, LEO: Status.MADE}
    assert made[MARTA].error_code == "engine.unable"
    assert "run with --gpu here" in made[MARTA].error


def test_the_command_exits_3_when_an_actor_failed_and_tells_who_and_why(world: World) -> None:
    _break_lora(world)
    world.set(LEO, "status", "training")
    done = world.command("run", str(world.folder / "short.csv"))
    assert done.returncode == 3, done.stderr
    assert f"{MARTA}  {MARTA}.safetensors is not a whole safetensors file" in done.stderr, done.stderr
    assert "1 made, 1 waiting, 1 failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_manifest_with_mistakes_exits_2_and_starts_nothing(tmp_path: Path) -> None:
    empty = World(tmp_path / "empty")
    empty.root.mkdir()
    manifest = empty.root / "actors.csv"
    manifest.write_text("id,lora,prompt,quality\nava,ava,waves,golden\nava,ava,waves,draft\n")
    done = empty.command("run", str(manifest))
    assert done.returncode == 2, done.stderr
    assert "row 2, column quality: 'golden'" in done.stderr
    assert "row 3, column id: 'ava'" in done.stderr
    assert "2 mistakes" in done.stderr
    assert [path.name for path in empty.root.iterdir()] == ["actors.csv"], "no store, no delivery, no home"


def test_write_back_sets_the_posters_url_and_keeps_a_backup(world: World) -> None:
    manifest = world.folder / "short.csv"
    text = manifest.read_text()
    before = [world.film(who).upload for who in (AVA, MARTA, LEO)]
    made = world.run(write_back=True)
    assert {row["id"]: row["poster_frame_url"] for row in world.rows()} == {
        who: p.posters[who] for who, p in made.items()}
    assert manifest.with_name("short.csv.bak").read_text() == text
    assert [world.film(who).upload for who in (AVA, MARTA, LEO)] == before, "the column is output: no film changes"


def test_only_takes_the_actors_that_were_named(world: World) -> None:
    made = world.run(only=[MARTA])
    assert list(made) == [MARTA]


def _break_lora(world: World) -> None:
    file = world.folder / "loras" / f"{MARTA}.safetensors"
    file.write_bytes(file.read_bytes()[:50_000])


def _engine_with(monkeypatch: pytest.MonkeyPatch, actor: str, then: Callable[[Outcome], object]) -> None:
    """The placeholder engine, but something happens to one actor's poster."""
    from callsheet.engines.placeholder import PlaceholderEngine

    paint = PlaceholderEngine.paint

    def painted(self: PlaceholderEngine, recipe: PosterRecipe, room: Room) -> Outcome:
        outcome = paint(self, recipe, room)
        if any(use.name == actor for use in recipe.loras):
            then(outcome)
        return outcome

    monkeypatch.setattr(PlaceholderEngine, "paint", painted)


def _repaint(monkeypatch: pytest.MonkeyPatch, actor: str) -> None:
    def turned(outcome: Outcome) -> None:
        with Image.open(outcome.files["main"]) as picture:
            picture.load()
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(outcome.files["main"], "JPEG", quality=90)

    _engine_with(monkeypatch, actor, turned)


def _task_states(flow_run: UUID, count: int) -> list[tuple[str, str]]:
    """(stage, state's name) of each recipe's last task run; the server hears of them a little later."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    async def read() -> list[Any]:
        async with get_client() as client:
            return list(await client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])), limit=200))

    deadline = time.monotonic() + 60
    while True:
        found = [run for run in asyncio.run(read()) if run.state is not None and run.state.is_final()]
        if len(found) >= count or time.monotonic() > deadline:
            return [(run.name.partition(":")[0], run.state.name) for run in found]
        time.sleep(0.2)
