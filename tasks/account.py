"""What came of a film: read from the records, so that it is the same wherever the work was done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from callsheet import keys
from callsheet.fallback import DRAWN
from callsheet.film import Film
from callsheet.media.retakes import Attempt, told
from callsheet.production import Production, StageRow, Status
from callsheet.recipe import Recipe, Stage
from callsheet.store.records import Record
from tasks.casting import unrestored, unseen
from tasks.fallback import drawn_for_want, fallbacks
from tasks.run import Run, current
from tasks.spending import cost_of


def account(film: Film, attempts: Sequence[Attempt] = (), estimate_usd: float = 0.0) -> Production:
    """The production of a film whose recipes are all made. `attempts` are all that were made on the way to it,
    `estimate_usd` what their GPU work was expected to cost."""
    run = current()
    found = [(recipe, _record(run, recipe)) for recipe in film.recipes()]
    urls = run.urls(found[-1][1])
    order = film.order
    return Production(
        title=order.title,
        actor_id=order.cast[0].id,
        status=Status.MADE,
        job_id=film.job_id,
        seconds=round((datetime.now(UTC) - run.started).total_seconds(), 2),
        duration=film.timeline.seconds,
        format=order.delivered.label,
        video=urls[keys.video(film.job_id)],
        thumbnail=urls[keys.thumbnail(film.job_id)],
        posters={
            actor.id: urls[keys.poster(actor.id, actor.user_id, recipe.fingerprint)]
            for actor, recipe in zip(order.cast, film.posters, strict=bool(film.posters))
        },
        takes={order.cast[0].id: tuple(urls[keys.take(order.cast[0].id, n)] for n in range(len(order.takes)))},
        captions=tuple(urls[keys.captions(film.job_id, kind)] for kind in ("srt", "vtt") if film.mix.cues),
        stems={name: urls[keys.stem(film.job_id, name)] for name in keys.STEMS if film.mix.stems},
        stages=(*(_row(run, recipe, record) for recipe, record in found), *_rejected(run, film, attempts)),
        warnings=tuple(dict.fromkeys((
            *told(attempts, film), *drawn_for_want(film), *unseen(film), *unrestored(film, run.settings),
            *(warning for _, record in found for warning in record.warnings),
        ))),
        fallbacks=fallbacks(film),
        made_at=found[-1][1].made_at,
        cost_usd=cost_of(film.job_id),
        estimate_usd=round(estimate_usd, 6),
    )


def _rejected(run: Run, film: Film, attempts: Sequence[Attempt]) -> Iterator[StageRow]:
    """What was made for other attempts alone: it is not in the film, and cost as much."""
    known = {recipe.fingerprint for recipe in film.recipes()}
    for recipe in (recipe for attempt in attempts for recipe in attempt.film.recipes()):
        record = run.records.find(recipe.stage, recipe.fingerprint)
        if recipe.fingerprint in known or recipe.stage is Stage.UPLOAD or record is None:
            continue
        known.add(recipe.fingerprint)
        row = _row(run, recipe, record)
        yield row.model_copy(update={"label": f"{row.label} (rejected)"})


def _record(run: Run, recipe: Recipe) -> Record:
    record = run.records.find(recipe.stage, recipe.fingerprint)
    assert record is not None, f"{recipe.stage} {recipe.label} is not made"
    return record


def _row(run: Run, recipe: Recipe, record: Record) -> StageRow:
    return StageRow(
        stage=recipe.stage,
        label=recipe.label,
        fingerprint=recipe.fingerprint,
        cached=record.made_at < run.started,
        seconds=record.seconds,
        made_by=record.made_by,
        model=_model(recipe, record),
    )


def _model(recipe: Recipe, record: Record) -> str:
    engine = getattr(recipe, "engine", None)
    if engine is None or not recipe.stage.needs_gpu or record.made_by == DRAWN:
        return ""
    return str(record.facts.get("model") or engine.model)
