"""What findings lead to: one policy each, only the scenes that can be mended, and never more often than allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from prefect.logging import disable_run_logger

from callsheet import plan
from callsheet.errors import QualityRefused
from callsheet.film import Film
from callsheet.media.findings import Finding, Kind
from callsheet.media.retakes import Attempt, best, retake, told
from callsheet.models import (
    Actor,
    Check,
    CheckPolicy,
    Format,
    Line,
    Order,
    Scene,
    Sound,
    SourceFile,
    Transition,
)
from callsheet.presets import Quality, TransitionKind
from callsheet.recipe import Recipe, Stage, digest
from callsheet.recipes import Choices, EngineId
from callsheet.store.base import Outcome, Room
from callsheet.store.make import make
from tasks.gate import Attempts
from tasks.run import current, running
from tests.support.prefect_server import unconfigured

CHOICES = Choices(
    posters=EngineId(name="placeholder", version=1, model="flux1-dev-fp8"),
    clips=EngineId(name="placeholder", version=1),
    speech=EngineId(name="espeak", version=1),
    lipsync=EngineId(name="warp", version=1),
    voices={"ava": "en-us+f1"},
    clips_have_mouths=True,
    destination="file:///delivery",
)

MENDED = (Kind.BLACK, Kind.FROZEN, Kind.IDENTITY)
"""What another seed can mend."""


def file(name: str) -> SourceFile:
    return SourceFile(path=f"/somewhere/{name}", sha256=digest(name))


def order(policy: CheckPolicy = CheckPolicy.RETRY, retries: int = 1, retaken: int = 0) -> Order:
    crossfade = Transition(kind=TransitionKind.CROSSFADE, seconds=0.5)
    return Order(
        title="t", cast=(Actor(id="ava", lora=file("ava.safetensors")),),
        scenes=(
            Scene(prompt="a street", seconds=2, lines=(Line(speaker="ava", text="Hello."),), transition=crossfade),
            Scene(prompt="a garden", seconds=7, lines=(Line(speaker="ava", text="Goodbye."),), retake=retaken),
            Scene(prompt="a hill", seconds=2),
        ),
        sound=Sound(music=file("music.flac")), quality=Quality.DRAFT, check=Check(policy=policy, retries=retries),
        format=Format.of(Quality.DRAFT),
    )


def planned(asked: Order) -> Film:
    said = [line for scene in plan.lines(asked, CHOICES) for line in scene]
    return plan.film(asked, CHOICES, {line.fingerprint: 1.0 for line in said})


def finding(kind: Kind = Kind.BLACK, scene: int | None = 1) -> Finding:
    return Finding(kind=kind, start=3, end=4.5, scene=scene, detail=f"it is {kind}", remedy="do something")


def retakes(of: Order | None) -> list[int] | None:
    return [scene.retake for scene in of.scenes] if of else None


# ---- pure


@pytest.mark.parametrize("kind", MENDED)
def test_a_scene_that_is_black_or_frozen_or_shows_somebody_else_is_shot_anew_and_no_other(kind: Kind) -> None:
    asked = order()
    again = retake(asked, planned(asked), [finding(kind), finding(kind)])
    assert retakes(again) == [0, 1, 0]


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in MENDED])
def test_what_a_new_seed_cannot_mend_is_not_shot_anew(kind: Kind) -> None:
    asked = order()
    assert retake(asked, planned(asked), [finding(kind), finding(kind, None)]) is None


@pytest.mark.parametrize("policy", [CheckPolicy.WARN, CheckPolicy.STOP])
def test_nothing_is_shot_anew_unless_the_order_says_so(policy: CheckPolicy) -> None:
    asked = order(policy)
    assert retake(asked, planned(asked), [finding()]) is None


@pytest.mark.parametrize("retaken", [0, 3, 99])
def test_a_scene_is_shot_anew_so_often_as_the_order_allows(retaken: int) -> None:
    asked = now = order(retries=2, retaken=retaken)
    seen = []
    while again := retake(asked, planned(now), [finding()]):
        seen.append(again.scenes[1].retake)
        now = again
    assert seen == [n for n in (retaken + 1, retaken + 2) if n <= 100]
    assert Order.model_validate(now.model_dump(mode="json")) == now, "a retaken order is one that a pool can read"


def test_only_shots_of_the_retaken_scene_and_what_is_made_from_them_are_made_anew() -> None:
    asked = order()
    before = planned(asked)
    again = retake(asked, before, [finding()])
    assert again is not None
    after = planned(again)
    made = {recipe.fingerprint for recipe in before.recipes()}
    new: list[Recipe] = [recipe for recipe in after.recipes() if recipe.fingerprint not in made]
    shots = [(recipe.stage.value, recipe.label) for recipe in new if recipe.stage.needs_gpu or "scene" in recipe.label]
    both = ["scene 2, segment 1", "scene 2, segment 2"]
    assert shots == [*(("segments", n) for n in both), ("lipsync", both[0]), *(("conform", n) for n in both)]
    assert [recipe.stage for recipe in new[len(shots):]] == [Stage.SPLICE, Stage.MIX, Stage.CHECK, Stage.UPLOAD]


def test_a_retaken_film_is_delivered_under_the_keys_of_the_first_attempt() -> None:
    asked = order()
    before = planned(asked)
    again = retake(asked, before, [finding()])
    assert again is not None
    assert planned(again).job_id == before.job_id
    assert [f.key for f in planned(again).upload.files] == [f.key for f in before.upload.files]


def tried(*retaken: int, kind: Kind = Kind.BLACK) -> list[Attempt]:
    """Attempts with the second scene retaken so often; the more often, the longer it is black."""
    asked = order(retries=5)
    return [
        Attempt(
            planned(asked.model_copy(update={"scenes": tuple(
                scene.model_copy(update={"retake": n if at == 1 else 0}) for at, scene in enumerate(asked.scenes))})),
            (finding(kind).model_copy(update={"end": 4.0 + n}), finding(kind)),
        )
        for n in retaken
    ]


def test_only_what_a_retake_can_mend_makes_an_attempt_worse() -> None:
    assert best(tried(2, 1, 3)).film.order.scenes[1].retake == 1
    assert best(tried(2, 1, 3, kind=Kind.LOUDNESS)).film.order.scenes[1].retake == 2, "the earlier one"


def test_each_retake_is_told_with_its_reason_and_whether_it_was_worth_it() -> None:
    attempts = tried(0, 1, 2)
    assert list(told(attempts, attempts[2].film)) == [
        "scene 2 was shot anew (retake 1): it is black", "scene 2 was shot anew (retake 2): it is black"]
    assert list(told(attempts, attempts[1].film)) == [
        "scene 2 was shot anew (retake 1): it is black",
        "scene 2 was shot anew (retake 2), but an earlier attempt is delivered: it is black"]
    assert list(told(attempts[:1], attempts[0].film)) == []


# ---- with a store


@pytest.fixture(autouse=True)
def in_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    with running("test"), disable_run_logger():
        yield


def produced(asked: Order, faults: Callable[[Film], list[Finding]]) -> list[tuple[list[int] | None, bool]]:
    """The retakes of each attempt, and whether it was delivered, as the flow goes through them."""
    seen = []
    attempts = Attempts(asked, planned)
    for film in attempts:

        def check(room: object, film: Film = film) -> Outcome:
            return Outcome(facts={"findings": [found.model_dump(mode="json") for found in faults(film)]})

        for recipe in (film.mix, film.check):
            make(recipe, check if recipe is film.check else mixed, current().records)
        seen.append((retakes(film.order), attempts.passed(film)))
    return seen


def mixed(room: Room) -> Outcome:
    room.path("film.mp4").write_bytes(b"a film")
    return Outcome(files={"main": room.path("film.mp4")})


def mended_by(retake: int) -> Callable[[Film], list[Finding]]:
    return lambda film: [finding()] if film.order.scenes[1].retake < retake else []


def test_a_good_film_is_delivered_at_once() -> None:
    assert produced(order(), mended_by(0)) == [([0, 0, 0], True)]


def test_a_film_is_delivered_once_its_scenes_are_mended_and_a_rerun_goes_the_same_way() -> None:
    wanted = [([0, 0, 0], False), ([0, 1, 0], False), ([0, 2, 0], True)]
    assert produced(order(retries=3), mended_by(2)) == wanted
    assert produced(order(retries=3), lambda film: pytest.fail("it was checked before")) == wanted


def test_what_no_retake_mends_is_delivered_in_the_end_as_it_was_first() -> None:
    tried = [([0, 0, 0], False), ([0, 1, 0], False), ([0, 2, 0], False)]
    assert produced(order(retries=2), mended_by(100)) == [*tried, ([0, 0, 0], True)]


@pytest.mark.parametrize(("black_s", "delivered"), [
    ((0.5, 4.5, 3), 0), ((3, 0.5, 3), 1), ((3, 2, 1), 2), ((1, 1, 1), 0), ((2, 1, 1), 1),
])
def test_when_nothing_is_left_to_try_the_attempt_with_the_least_to_mend_is_delivered_and_a_rerun_agrees(
    black_s: tuple[float, ...], delivered: int
) -> None:
    def faults(film: Film) -> list[Finding]:
        long = finding().model_copy(update={"end": 3 + black_s[film.order.scenes[1].retake]})
        return [long, finding(Kind.LOUDNESS, None).model_copy(update={"end": 100})]

    went = produced(order(retries=2), faults)
    assert went[-1] == ([0, delivered, 0], True)
    assert [passed for _, passed in went].count(True) == 1
    assert [each[0][1] for each in went if each[0]] == [0, 1, 2, *([delivered] if delivered < 2 else [])]
    assert produced(order(retries=2), lambda film: pytest.fail("it was checked before")) == went


def test_a_scene_that_fails_only_later_has_retakes_of_its_own() -> None:
    def faults(film: Film) -> list[Finding]:
        first, second, _ = (scene.retake for scene in film.order.scenes)
        return [finding(scene=1)] if not second else [finding(scene=0)] if not first else []

    assert produced(order(), faults) == [([0, 0, 0], False), ([0, 1, 0], False), ([1, 1, 0], True)]


def test_warnings_alone_deliver() -> None:
    assert produced(order(CheckPolicy.WARN), mended_by(100)) == [([0, 0, 0], True)]


def refused(*findings: Finding) -> QualityRefused:
    with pytest.raises(QualityRefused) as caught:
        produced(order(CheckPolicy.STOP), lambda film: list(findings))
    return caught.value


def test_stop_delivers_nothing_and_says_what_was_found_and_what_to_do() -> None:
    error = refused(finding(), finding(Kind.LOUDNESS, None))
    assert (error.code, error.retryable) == ("check.refused", False)
    words = str(error)
    assert "t is not delivered, 2 found: scene 2, 3.00 to 4.50 s: it is black: do something; the film: it is" in words
    assert "set the policy of checks to retry (such scenes are shot anew) or to warn (it is delivered)" in words


def test_shooting_anew_is_no_remedy_for_what_it_cannot_mend() -> None:
    words = str(refused(finding(Kind.SILENT), finding(Kind.LOUDNESS, None)))
    assert "retry" not in words
    assert words.endswith("mend that, or set the policy of checks to warn (it is delivered)")


def test_a_refused_film_can_be_looked_at(tmp_path: Path) -> None:
    error = refused(finding())
    kept = Path(unquote(urlsplit(error.facts["film"]).path))
    assert kept.read_bytes() == b"a film"
    assert error.facts["film"] in str(error)
    assert error.facts["job_id"] == planned(order(CheckPolicy.STOP)).job_id


def test_stop_delivers_a_film_without_findings() -> None:
    assert produced(order(CheckPolicy.STOP), mended_by(0)) == [([0, 0, 0], True)]
