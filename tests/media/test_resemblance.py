"""Actors who are not those of their posters, as findings: where, what is told, and who is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from callsheet import plan
from callsheet.likeness import Likeness, Metric, Sitting
from callsheet.media.findings import Kind
from callsheet.media.resemblance import examine
from callsheet.models import Actor, Check, Order, Scene, SourceFile, Transition
from callsheet.presets import TransitionKind
from callsheet.recipe import Ref, Stage, digest
from callsheet.recipes import CheckRecipe, Choices, EngineId, Sitter
from callsheet.store.base import Room

CHOICES = Choices(
    posters=EngineId(name="placeholder", version=1, model="flux1-dev-fp8"),
    clips=EngineId(name="placeholder", version=1), speech=EngineId(name="espeak", version=1),
    lipsync=EngineId(name="warp", version=1), voices={"ava": "en-us+f1", "leo": "en-us+m1"}, clips_have_mouths=True,
    destination="file:///delivery",
)


def ref(name: str) -> Ref:
    return Ref(stage=Stage.POSTER, fingerprint=digest(name))


def recipe(*sitters: Sitter, identity: float = 0.6) -> CheckRecipe:
    return CheckRecipe(
        film=ref("film"), frames=100, fps=Fraction(25), width=320, height=180, scenes=(0, 50), heard=True,
        loudness_lufs=-14, true_peak_dbtp=-1, sitters=sitters, identity=identity,
    )


class Measure:
    """Tells distances in turn."""

    def __init__(self, *distances: float, metric: Metric = Metric.FACE) -> None:
        self.distances, self.metric = distances, metric
        self.asked: Sequence[Sitting] = ()

    def __call__(self, film: Path, fps: Fraction, sittings: Sequence[Sitting], limit: float) -> list[Likeness]:
        self.asked = sittings
        return [
            Likeness(sitting, self.metric, distance, limit, 4, "" if self.metric is Metric.FACE else "no face")
            for sitting, distance in zip(sittings, self.distances, strict=True)
        ]


def room(folder: Path) -> Room:
    return Room(folder, lambda wanted: folder / wanted.fingerprint[:8], lambda _: {})


AVA = Sitter(scene=0, actor="Ava", poster=ref("ava"), first=0, end=50)
LEO = Sitter(scene=1, actor="Leo", poster=ref("leo"), first=55, end=120)


def test_a_face_beyond_the_limit_is_a_finding_of_its_scene_that_another_seed_may_mend(tmp_path: Path) -> None:
    found = examine(recipe(AVA, LEO), room(tmp_path), Measure(0.25, 0.81))
    (finding,) = found.findings
    assert (finding.kind, finding.scene, finding.start, finding.end) == (Kind.IDENTITY, 1, 2.2, 4.0)
    assert finding.detail == "somebody else is seen (Leo: face distance 0.81 to its poster, limit 0.60)"
    assert finding.kind.reshootable and "policy of checks to retry" in finding.remedy


def test_metric_distance_and_limit_are_told_also_where_nothing_is_found(tmp_path: Path) -> None:
    found = examine(recipe(AVA, identity=0.5), room(tmp_path), Measure(0.25))
    assert found.findings == [] and found.figures["identity_metric"] == "face: at most 0.25 of 0.50"
    assert found.figures["identity"] == [
        {"scene": 1, "actor": "Ava", "metric": "face", "distance": 0.25, "limit": 0.5, "frames": 4, "why": ""}]


def test_another_metric_is_named_with_its_reason(tmp_path: Path) -> None:
    (finding,) = examine(recipe(AVA), room(tmp_path), Measure(0.95, metric=Metric.PICTURE)).findings
    assert finding.detail == ("nothing of the poster is seen (Ava: picture distance 0.95 to its poster, limit 0.60 "
                              "(no face))")


def order(**changes: object) -> Order:
    fade = Transition(kind=TransitionKind.CROSSFADE, seconds=0.5)
    fields: dict[str, object] = {
        "title": "t",
        "cast": tuple(Actor(id=who, lora=SourceFile(path=f"/{who}", sha256=digest(who))) for who in ("ava", "leo")),
        "scenes": (Scene(prompt="a street", seconds=2, cast=("ava",), transition=fade),
                   Scene(prompt="a garden", seconds=3)),
    }
    return Order.model_validate(fields | changes)


def test_each_actor_is_looked_for_in_its_scenes_and_outside_transitions() -> None:
    film = plan.film(order(), CHOICES, {})
    (window,) = ((part.film_frame, part.film_frame + part.head) for part in film.timeline.segments if part.head)
    second = film.timeline.scenes[1]
    told = [(each.scene, each.actor, each.poster, each.first, each.end) for each in film.check.sitters]
    ava, leo = (poster.ref() for poster in film.posters)
    names = [actor.display_name for actor in film.order.cast]
    end = second.start + second.frames
    assert told == [
        (0, names[0], ava, 0, window[0]), (1, names[0], ava, window[1], end), (1, names[1], leo, window[1], end),
    ], f"{told}, window {window}"


def test_who_has_no_poster_or_wants_no_comparison_is_not_compared() -> None:
    assert plan.film(order(poster=None), CHOICES, {}).check.sitters == ()
    unasked = plan.film(order(check=Check(identity=None)), CHOICES, {}).check
    assert (unasked.sitters, unasked.identity) == ((), None)


def test_another_limit_makes_the_check_anew_and_nothing_before_it() -> None:
    one, other = (plan.film(order(job_id="j", check=Check(identity=limit)), CHOICES, {}) for limit in (0.6, 0.7))
    assert one.check.fingerprint != other.check.fingerprint
    assert one.mix.fingerprint == other.mix.fingerprint
