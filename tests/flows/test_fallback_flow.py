"""Faults in the GPU half: for each policy what is tried, what is made, what is told, and what a rerun costs."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from rich.console import Console

from callsheet.doors import terminal
from callsheet.engines.base import Ability
from callsheet.errors import (
    CallsheetError,
    Cancelled,
    DownloadFailed,
    DrawnRefused,
    EngineError,
    EngineNotHere,
    EngineTimedOut,
    EngineUnable,
    JobTimedOut,
    LoraUnreadable,
    NoImageModels,
    NotInStore,
    OutOfMemory,
    PromptRefused,
    WrongFamily,
)
from callsheet.film import Film
from callsheet.models import Actor, Fallback, Format, Generate, Gpu, Line, Order, Poster, Scene, SourceFile, TakeSpec
from callsheet.presets import Quality
from callsheet.production import Production
from callsheet.recipe import Recipe, Stage
from callsheet.recipes import ClipRecipe, PosterRecipe
from callsheet.store.base import Room
from flows.produce import produce
from flows.shoot import filmed, footage, prepared, shoot
from tasks.direct import direct
from tasks.fallback import fallbacks, insist_on_generated
from tasks.policy import GPU_LIMIT, Policy
from tasks.poster import poster
from tasks.run import current, running
from tasks.segments import segments
from tasks.takes import takes
from tests.support.prefect_server import unconfigured
from tests.support.scripted_engine import Script
from tests.support.world import AVA, EXAMPLES

pytestmark = pytest.mark.slow

BIG, SMALL = "wan2.2-i2v-a14b", "wan2.2-ti2v-5b"
PX = 512
Picture = PosterRecipe | ClipRecipe

MEMORY = OutOfMemory(engine="scripted", what="a clip", detail="at step 3 of 20")
HUB = DownloadFailed(url="https://hub.example/model", detail="no route to host")
BROKEN = EngineError(engine="scripted", what="a clip", detail="the server went away")
SLOW = EngineTimedOut(engine="scripted", what="a clip", detail="step 3 of 20", seconds=900)
JOB = JobTimedOut(job_id="j1", seconds=600, detail="execution time-out")

FAULTS = [MEMORY, HUB, *(pytest.param(error, marks=pytest.mark.soak) for error in (SLOW, JOB, BROKEN))]
"""One that a smaller picture may help, one that it cannot help, and more of both kinds."""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """The engine `scripted`, in a home of its own; nothing is tried twice."""
    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    for stage in (poster, takes, segments):
        monkeypatch.setattr(stage, "policy", Policy("gpu", GPU_LIMIT, retries=0, pauses_s=()))
    script = Script()
    script.enter(monkeypatch)
    return script


def order(policy: Fallback | None, seconds: float = 0.3, said: str = "", **fields: object) -> Order:
    """One short scene."""
    given = {
        "title": "One scene",
        "cast": (Actor(id="ava", lora=SourceFile(path=str(EXAMPLES / "loras" / f"{AVA}.safetensors"))),),
        "scenes": (Scene(prompt="a street", seconds=seconds,
                         lines=(Line(speaker="ava", text=said),) if said else ()),),
        "quality": Quality.DRAFT, "format": Format(width=256, height=256, fps=24), "takes": (), "poster": None,
        "generate": Generate(engine="scripted", px=PX, fallback=policy),
    }
    return Order.model_validate(given | fields)


def shot(asked: Order, refresh: tuple[Stage, ...] = ()) -> Film:
    """Its GPU half, made without Prefect; engines must not be asked for money or a pool."""
    with direct(), running(asked.title, refresh, gpu=Gpu.HERE):
        return footage(prepared(asked))


def made_by(film: Film) -> list[str]:
    with running("look"):
        records = current().records
        found = [records.find(one.stage, one.fingerprint) for one in film.pictures()]
    return [one.made_by if one else "nothing" for one in found]


def fails_above(px: int, error: CallsheetError, model: str = "") -> Callable[[Picture, Room], CallsheetError | None]:
    """Fails for larger pictures, or for another model than `model`."""
    def fails(recipe: Picture, room: Room) -> CallsheetError | None:
        return error if recipe.width > px or (model and recipe.engine.model != model) else None
    return fails


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: error.code)
def test_policy_never_fails_with_the_engines_own_error(script: Script, error: CallsheetError) -> None:
    script.fails = lambda recipe, room: error
    with pytest.raises(type(error)):
        shot(order(Fallback.NEVER))
    assert script.attempts == [f"{BIG} 512x512"], "one attempt, and nothing in its place"


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: error.code)
def test_policy_smaller_takes_the_smaller_model(script: Script, error: CallsheetError) -> None:
    script.fails = fails_above(PX, error, model=SMALL)
    film = shot(order(Fallback.SMALLER))
    assert script.attempts == [f"{BIG} 512x512", f"{SMALL} 512x512"]
    assert [one.engine.model for one in film.segments] == [SMALL]
    assert made_by(film) == ["scripted"]
    [told] = fallbacks(film)
    assert (told.stage, told.asked, told.made) == (
        "segments", f"scripted {BIG}, 512x512", f"scripted {SMALL}, 512x512")
    assert told.why == error.what


def test_too_little_memory_then_takes_a_smaller_picture(script: Script) -> None:
    script.fails = fails_above(384, MEMORY)
    film = shot(order(Fallback.SMALLER))
    assert script.attempts == [f"{BIG} 512x512", f"{SMALL} 512x512", f"{SMALL} 384x384"]
    assert [(one.width, one.height) for one in film.segments] == [(384, 384)]


def test_a_broken_engine_gets_no_smaller_pictures_to_break(script: Script) -> None:
    script.fails = lambda recipe, room: BROKEN
    with pytest.raises(EngineError, match="the server went away"):
        shot(order(Fallback.SMALLER))
    assert script.attempts == [f"{BIG} 512x512", f"{SMALL} 512x512"], "its pictures are not too large"


def test_policy_smaller_never_draws(script: Script) -> None:
    script.fails = lambda recipe, room: MEMORY
    with pytest.raises(OutOfMemory, match="at step 3 of 20"):
        shot(order(Fallback.SMALLER))
    assert script.attempts == [f"{BIG} 512x512", *(f"{SMALL} {px}x{px}" for px in (512, 384, 256))]


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: error.code)
def test_policy_placeholder_draws_in_the_end_and_says_so(script: Script, error: CallsheetError) -> None:
    script.fails = lambda recipe, room: error
    film = shot(order(Fallback.PLACEHOLDER))
    assert made_by(film) == ["placeholder"]
    assert [one.engine.name for one in film.segments] == ["placeholder"]
    [told] = fallbacks(film)
    assert told.made == "placeholder, 512x512" and told.why == error.what
    assert {use.name for use in film.segments[0].loras} == {"ava"}, "a drawing shows who is in the scene"


@pytest.mark.parametrize("error", [
    LoraUnreadable(path="ava.safetensors", detail="cut off after 100 of 4096 bytes"),
    WrongFamily(path="ava.safetensors", found="flux", wanted="wan"),
    NotInStore(key="lora", url="file:///store"),
    PromptRefused(engine="scripted", what="a clip", detail="policy"),
    EngineUnable(engine="scripted", what="a clip", detail="it has no scheduler beta"),
    Cancelled(what="segments"),
], ids=lambda error: error.code)
@pytest.mark.parametrize("policy", list(Fallback))
def test_what_is_wrong_with_the_input_or_was_cancelled_is_never_replaced(
    script: Script, error: CallsheetError, policy: Fallback
) -> None:
    script.fails = lambda recipe, room: error
    with pytest.raises(type(error)):
        shot(order(policy))
    assert script.attempts == [f"{BIG} 512x512"]


def test_a_missing_or_truncated_lora_is_never_replaced(script: Script, tmp_path: Path) -> None:
    for name, data in (("missing", None), ("cut", (EXAMPLES / "loras" / f"{AVA}.safetensors").read_bytes()[:-64])):
        path = tmp_path / f"{name}.safetensors"
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(CallsheetError, match=path.name) as found:
            shot(order(Fallback.PLACEHOLDER, cast=(Actor(id="ava", lora=SourceFile(path=str(path))),)))
        assert found.value.code in ("file.missing", "lora.unreadable")
    assert script.attempts == []


def test_what_would_not_fit_either_is_not_tried(script: Script) -> None:
    script.fails = fails_above(384, MEMORY)
    film = shot(order(Fallback.SMALLER, takes=(TakeSpec(),), seconds=10))
    too_large = [each for each in script.attempts if "512" in each]
    assert too_large == [f"{BIG} 512x512", f"{SMALL} 512x512"], f"of {len(film.pictures())} clips one has to tell"
    assert {one.width for one in film.pictures()} == {384}
    assert fallbacks(film)[-1].why == f"as takes {film.takes[0].label}: {MEMORY.what}"


def test_what_stands_in_is_made_once_and_its_followers_follow(script: Script) -> None:
    asked = order(
        Fallback.PLACEHOLDER, seconds=6, poster=Poster(width=128, height=128, style_lora_strength=0),
        takes=(TakeSpec(),))
    script.fails = lambda recipe, room: (
        EngineNotHere(engine="scripted", what="a take", detail="no weights") if recipe.stage is Stage.TAKES else None)
    first = shot(asked)
    assert [one.engine.name for one in first.pictures()] == ["scripted", "placeholder", "scripted", "scripted"]
    assert first.segments[0].first_frame == first.takes[0].ref("last_frame")
    assert first.segments[1].first_frame == first.segments[0].ref("last_frame")
    tries = len(script.attempts)
    again = shot(asked)
    assert len(script.attempts) == tries, f"a rerun tried {script.attempts[tries:]}"
    assert [one.fingerprint for one in again.recipes()] == [one.fingerprint for one in first.recipes()]


def test_a_drawn_stand_in_speaks_with_drawn_lips_and_is_not_restored(script: Script) -> None:
    script.fails = lambda recipe, room: BROKEN
    film = shot(order(Fallback.PLACEHOLDER, seconds=1, said="Hello."))
    [lipsync] = film.lipsync
    assert lipsync.engine.name == "placeholder" and lipsync.mouths is not None
    assert film.restore == ()


def test_a_refresh_asks_the_engine_again(script: Script) -> None:
    script.fails = fails_above(PX, MEMORY, model=SMALL)
    asked = order(Fallback.SMALLER)
    shot(asked)
    script.fails = lambda recipe, room: None
    assert [one.engine.model for one in shot(asked).segments] == [SMALL], "what stood in is kept"
    film = shot(asked, refresh=(Stage.SEGMENTS,))
    assert [one.engine.model for one in film.segments] == [BIG]
    assert fallbacks(film) == ()
    assert [one.engine.model for one in shot(asked).segments] == [BIG], "the asked one is made now"


def test_a_stricter_policy_does_not_take_what_a_looser_one_drew(script: Script) -> None:
    script.fails = lambda recipe, room: BROKEN
    shot(order(Fallback.PLACEHOLDER))
    script.attempts.clear()
    with pytest.raises(EngineError, match="went away"):
        shot(order(Fallback.SMALLER))
    assert script.attempts == [f"{BIG} 512x512"], "what was asked is tried again"
    script.fails = lambda recipe, room: None
    assert made_by(shot(order(Fallback.NEVER))) == ["scripted"]


def test_the_settings_decide_where_the_order_says_nothing(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    script.fails = lambda recipe, room: BROKEN
    monkeypatch.setenv("CALLSHEET_FALLBACK", "placeholder")
    assert made_by(shot(order(None))) == ["placeholder"]


def test_an_engine_that_is_not_able_here_is_drawn_for_only_where_that_is_allowed(script: Script) -> None:
    script.able = Ability(False, "no GPU", "rent one")
    with pytest.raises(EngineUnable, match="no GPU"):
        shot(order(Fallback.SMALLER))
    film = shot(order(Fallback.PLACEHOLDER))
    assert made_by(film) == ["placeholder"] and "no GPU" in fallbacks(film)[0].why


def test_auto_draws_quietly_only_where_nothing_else_is_set_up(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    from callsheet.engines import configured

    script.able = Ability(False, "no GPU", "rent one")
    asked = order(Fallback.SMALLER, generate=Generate(px=PX, fallback=Fallback.SMALLER))
    assert made_by(shot(asked)) == ["placeholder"], "nobody set it up"
    monkeypatch.setattr(configured, "CONFIGURED", {"scripted": lambda settings: True})
    with pytest.raises(NoImageModels, match=r"No image generation models available \(scripted: no GPU\).*rent one"):
        shot(asked)
    allowed = order(None, generate=Generate(px=PX, fallback=Fallback.PLACEHOLDER))
    assert made_by(shot(allowed)) == ["placeholder"]


def test_a_drawn_picture_is_not_delivered_for_a_generated_one(script: Script) -> None:
    script.fails = lambda recipe, room: BROKEN
    film = shot(order(Fallback.PLACEHOLDER))
    with running("deliver"):
        insist_on_generated(film)
        strict = film.order.model_copy(
            update={"generate": film.order.generate.model_copy(update={"fallback": Fallback.SMALLER})})
        with pytest.raises(DrawnRefused, match="One scene is not delivered: segments scene 1, segment 1 was drawn"):
            insist_on_generated(replace(film, order=strict))


# ---- wherever the half is made


def test_the_asker_comes_to_the_film_that_the_pools_machine_made(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    import flows.shoot as half

    asked: list[str] = []

    def at_the_pool(films: list[Film], refresh: frozenset[Stage], started: datetime) -> None:
        asked.extend(film.job_id for film in films)
        orders = [Order.model_validate(film.order.model_dump(mode="json")) for film in films]
        assert shoot.fn(orders, sorted(refresh), started) == [None]

    monkeypatch.setattr(half, "at_the_pool", at_the_pool)
    script.fails = fails_above(384, MEMORY)
    for _ in range(2):
        with direct(), running("One scene", gpu=Gpu.POOL):
            film = filmed(prepared(order(Fallback.SMALLER)))
        assert [(one.engine.model, one.width) for one in film.segments] == [(SMALL, 384)]
    assert len(asked) == 1, "the second time everything is made"
    assert script.attempts == [f"{BIG} 512x512", f"{SMALL} 512x512", f"{SMALL} 384x384"]


def test_what_an_endpoint_cannot_make_is_drawn_here_and_not_paid(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import stage as stages

    jobs: list[str] = []

    def made_there(recipe: Recipe) -> None:
        jobs.append(recipe.stage)
        raise JOB

    monkeypatch.setattr(stages, "made_there", made_there)
    with direct(), running("One scene", gpu=Gpu.ENDPOINT):
        film = footage(prepared(order(Fallback.PLACEHOLDER, seconds=1.5, said="Hello.")))
    assert made_by(film) == ["placeholder"] and len(film.lipsync) == 1, "its lips are drawn here too"
    assert jobs == ["segments"] * 4, "what was asked, the smaller model, two smaller pictures"


# ---- the whole film


def test_a_production_tells_what_stood_in_and_a_rerun_is_free(script: Script, prefect_here: str) -> None:
    script.fails = fails_above(PX, MEMORY, model=SMALL)
    first: Production = produce(order(Fallback.SMALLER), Gpu.HERE)
    [told] = first.fallbacks
    assert str(told) == (
        f"segments scene 1, segment 1: made by scripted {SMALL}, 512x512 instead of scripted {BIG}, 512x512, because "
        "scripted has too little memory for a clip (at step 3 of 20)")
    assert {row.stage: row.made_by for row in first.stages}["segments"] == "scripted"
    kept = Path(unquote(urlsplit(first.video).path)).with_name("production.json")
    assert Production.model_validate_json(kept.read_text()).fallbacks == first.fallbacks

    out = io.StringIO()
    terminal.productions(Console(file=out, width=400), [first], 1.0)
    assert str(told) in out.getvalue()

    again: Production = produce(order(Fallback.SMALLER), Gpu.HERE)
    assert all(row.cached for row in again.stages) and again.fallbacks == first.fallbacks
    assert len(script.attempts) == 2

    with pytest.raises(OutOfMemory):
        produce(order(Fallback.NEVER), Gpu.HERE)


def test_auto_that_comes_to_drawing_is_told(script: Script, prefect_here: str) -> None:
    script.able = Ability(False, "no GPU", "rent one")
    made: Production = produce(order(None, generate=Generate(px=128)), Gpu.HERE)
    assert made.warnings == ("drawn by the placeholder: no engine for pictures is configured here",)
    asked: Production = produce(order(None, generate=Generate(engine="placeholder", px=128)), Gpu.HERE)
    assert asked.warnings == (), "it was asked for"
