"""What stands in for what failed: decided by the order's policy, written down in the store, found there by every run.

A film is planned with what stands in already, so a rerun is free and exact, and whoever asks for the GPU half plans
the same film as the machine that made it. An entry counts until the asked recipe is made after all, the policy
forbids it, or its stage is refreshed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

from callsheet import plan
from callsheet.alignment import words_in
from callsheet.engines.configured import configured
from callsheet.errors import CallsheetError, DrawnRefused, NoImageModels
from callsheet.fallback import DRAWN, Fault, Picture, after, allowed, fault, takes_as_much, told
from callsheet.film import Film
from callsheet.models import Fallback, Order, SpokenWord
from callsheet.production import FellBack
from callsheet.recipe import Stage
from callsheet.recipes import Choices, Instead
from callsheet.store.stand_ins import StandIn, StandIns
from tasks.direct import logger
from tasks.run import Run, at_hand, current

_STAGES = (Stage.POSTER, Stage.TAKES, Stage.SEGMENTS)


def policy_of(order: Order, run: Run) -> Fallback:
    """The order's own, else that of the settings."""
    return order.generate.fallback or run.settings.fallback


def with_stand_ins(planned: Callable[[Choices], Film], choices: Choices, run: Run) -> Film:
    """The film with what stands in already. What follows a stand-in is another recipe, so it is asked about anew."""
    known = StandIns(run.records.store).known(_STAGES)
    while True:
        film = planned(choices)
        policy = policy_of(film.order, run)
        found = {
            asked.fingerprint: instead
            for asked in map(film.as_asked, film.pictures())
            if asked.fingerprint in known and asked.fingerprint not in choices.instead
            and (instead := _standing(asked, policy, run)) is not None
        }
        if not found:
            return film
        choices = choices.model_copy(update={"instead": choices.instead | found})


def replanned(film: Film) -> Film:
    """The film with what stands in by now; itself where that is what it was planned with. Its lines are made."""
    run = current()
    times = cache(lambda: _times(film, run))

    def planned(choices: Choices) -> Film:
        return film if choices == film.choices else plan.film(film.order, choices, *times())

    return with_stand_ins(planned, film.choices.model_copy(update={"instead": {}}), run)


def _times(film: Film, run: Run) -> tuple[dict[str, float], dict[str, tuple[SpokenWord, ...]]]:
    """Seconds of each line and times of its words, as its records have them."""
    return (
        {line.fingerprint: run.records.facts(line.ref())["seconds"] for line in film.speech},
        {line.fingerprint: words_in(run.records.facts(plan.alignment(line).ref())) for line in film.speech},
    )


class Falls:
    """What fails while one film is made, and what is tried instead. Remembers what was too large: trying each of
    twenty scenes would cost as much each time.
    """

    def __init__(self) -> None:
        self._too_large: list[tuple[Picture, Fault]] = []

    def after(self, film: Film, failed: Mapping[str, CallsheetError]) -> Film | None:
        """The film with something else in place of what failed, None when nothing is left to try or allowed.

        Args:
            film: As it was planned.
            failed: Fingerprint -> why, of everything that failed by itself.
        """
        run = current()
        lost = [recipe for recipe in film.pictures() if recipe.fingerprint in failed]
        if not lost or set(failed) - {recipe.fingerprint for recipe in lost}:
            return None                               # what failed besides has no stand-in
        faults = [(recipe, fault(failed[recipe.fingerprint])) for recipe in lost]
        if not all(_next(film, recipe, found, run) for recipe, found in faults):
            return None
        self._too_large += [(recipe, found) for recipe, found in faults if found.alike]
        again = replanned(film)
        return None if again is film else self._spared(again, run)

    def _spared(self, film: Film, run: Run) -> Film:
        """The film without what would fail in the same way."""
        while True:
            for recipe in film.pictures():
                known = next(((one, why) for one, why in self._too_large if takes_as_much(recipe, one)), None)
                if known is None or run.records.current(recipe, run.since(recipe.stage)) is not None:
                    continue
                one, found = known
                _next(film, recipe, replace(found, why=f"as {one.stage} {one.label}: {found.why}"), run)
            again = replanned(film)
            if again is film:
                return film
            film = again


def _next(film: Film, recipe: Picture, failed: Fault, run: Run) -> Instead | None:
    """What is tried now in place of a recipe that failed: written down for every other run."""
    asked = film.as_asked(recipe)
    logs, tried = StandIns(run.records.store), _log(asked, run)
    known = len(logs.log(asked.stage, asked.fingerprint))
    policy = policy_of(film.order, run)
    step = after(asked, [entry.instead for entry in tried], failed, policy, film.choices.drawn)
    if step is None:
        return None
    logger().warning("%s %s: not by %s (%s): %s is tried instead",
                     recipe.stage, recipe.label, told(recipe), step.why, step.engine.name)
    entry = StandIn(at=datetime.now(UTC), instead=step)
    return logs.add(asked.stage, asked.fingerprint, entry, known + 1).instead


def _standing(asked: Picture, policy: Fallback, run: Run) -> Instead | None:
    """What stands in for a recipe, None where it is to be made as it was asked."""
    if run.records.current(asked, run.since(asked.stage)) is not None:
        return None
    tried = _log(asked, run)
    return tried[-1].instead if tried and allowed(tried[-1].instead.engine, policy) else None


def _log(asked: Picture, run: Run) -> tuple[StandIn, ...]:
    since = run.since(asked.stage)
    entries = StandIns(run.records.store).log(asked.stage, asked.fingerprint)
    return tuple(entry for entry in entries if since is None or entry.at >= since)


def fallbacks(film: Film) -> tuple[FellBack, ...]:
    """What was asked, what made it and why, for the film's account."""
    return tuple(
        FellBack(
            stage=made.stage, label=made.label, asked=told(film.asked[made.fingerprint]), made=told(made),
            why=film.choices.instead[film.asked[made.fingerprint].fingerprint].why,
        )
        for made in film.pictures() if _stands_in(film, made)
    )


def insist_on_generated(film: Film) -> None:
    """Before anything is delivered: no drawn picture in place of a generated one, unless the policy allows it.

    Raises DrawnRefused.
    """
    run = current()
    if policy_of(film.order, run) is Fallback.PLACEHOLDER or film.choices.clips.name == DRAWN:
        return
    for recipe in film.pictures():
        record = run.records.find(recipe.stage, recipe.fingerprint)
        if recipe.engine.name == DRAWN or (record is not None and record.made_by == DRAWN):
            raise DrawnRefused(title=film.order.title, what=f"{recipe.stage} {recipe.label}",
                               asked=film.choices.clips.name)


def insist_on_engine(film: Film) -> None:
    """Before anything is made: an engine that generates, unless the policy allows drawn pictures. Raises NoImageModels.
    """
    run = current()
    if film.choices.clips.name != DRAWN or policy_of(film.order, run) is Fallback.PLACEHOLDER:
        return
    named = film.order.generate.engine == "auto" and run.settings.engine == DRAWN
    raise NoImageModels(
        engine=DRAWN, what=film.order.title, detail=f"CALLSHEET_ENGINE is {DRAWN}" if named else _why_drawn(run),
        remedy=f"{NoImageModels.remedy}, or set use_ai_generation to false",
    )


def _why_drawn(run: Run) -> str:
    there = configured(run.settings)
    return f"{' and '.join(there)} cannot work here" if there else "no engine for pictures is configured here"


def drawn_here(film: Film) -> AbstractContextManager[None]:
    """What is called inside draws in this process what stands in for something, and its lips: no job is paid for
    that.
    """
    drawn = {made.fingerprint for made in film.pictures() if made.engine.name == DRAWN and _stands_in(film, made)}
    lips = {synced.fingerprint for synced in film.lipsync if synced.clip.fingerprint in drawn}
    return at_hand(drawn | lips)


def _stands_in(film: Film, made: Picture) -> bool:
    return made.fingerprint in film.asked


def drawn_for_want(film: Film) -> tuple[str, ...]:
    """A warning where `auto` came to drawing, and why."""
    run = current()
    if film.choices.clips.name != DRAWN or {film.order.generate.engine, run.settings.engine or "auto"} != {"auto"}:
        return ()
    return (f"drawn by the placeholder: {_why_drawn(run)}",)
