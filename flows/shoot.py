"""The GPU half: poster -> takes -> segments -> lip-sync -> restore -> upscale.

For one order, or many that share a base model.

    prefect deployment run shoot/gpu

A produce run calls `filmed`: it makes the half here, or has the `gpu` pool make it and finds the recipes made.
"""

from __future__ import annotations

from datetime import datetime

from prefect import flow

from callsheet import persona, plan
from callsheet.alignment import words_in
from callsheet.errors import CallsheetError, as_ours
from callsheet.film import Film
from callsheet.models import Gpu, Order, Purse
from callsheet.recipe import Stage
from callsheet.store.sources import admit
from flows.pool import at_the_pool, why_missing
from tasks.align import align
from tasks.direct import logger
from tasks.fallback import Falls, drawn_here, replanned, with_stand_ins
from tasks.intake import intake
from tasks.left_jobs import settle_before
from tasks.lipsync import lipsync
from tasks.poster import poster
from tasks.restore import restore
from tasks.run import current, running
from tasks.segments import segments
from tasks.speech import speech
from tasks.spending import paying, unmade
from tasks.stage import SIDE_BY_SIDE
from tasks.takes import takes
from tasks.train_complete import train_complete
from tasks.upscale import upscale


@flow(name="shoot", flow_run_name="shoot of {orders[0].title}", task_runner=SIDE_BY_SIDE)
def shoot(
    orders: list[Order],
    refresh: list[Stage] | None = None,
    started: datetime | None = None,
    purse: Purse | None = None,
) -> list[CallsheetError | None]:
    """Make the GPU half of every order; one that fails does not stop the others.

    Args:
        orders: Orders that share a base model, so that one warm machine serves them all.
        refresh: Stages to make anew even if they are made.
        started: Refreshed stages accept what was made after this moment; empty means now.
        purse: The batch that pays; empty for films by themselves.

    Returns:
        For each order, in their order: None, or why it failed.
    """
    ended: list[CallsheetError | None] = []
    for order in orders:
        with running(order.title, refresh or (), started, Gpu.HERE, purse):
            try:
                film = prepared(order)
                with paying(order, film.job_id):
                    footage(film)
                ended.append(None)
            except Exception as error:
                logger().error("%s: %s", order.title, error)
                ended.append(as_ours(error))
    return ended


def prepared(order: Order) -> Film:
    """Everything that the shoot rests on: files there and accepted, lines spoken and timed, lengths exact."""
    run = current()
    order = admit(order, run.sources)
    train_complete.each([persona.train_complete(actor) for actor in order.cast])
    choices = run.choices(order)                      # after that: what a LoRA is of decides which models are cast
    if order.poster and choices.style:
        train_complete.one(persona.style_complete(order.poster, choices.style))
    intake.each(plan.sources(order))
    lines = list(dict.fromkeys(line for scene in plan.lines(order, choices) for line in scene))
    spoken = {record.fingerprint: record.facts["seconds"] for record in speech.each(lines)}
    timed = align.each([plan.alignment(line) for line in lines])
    words = {line.fingerprint: words_in(record.facts) for line, record in zip(lines, timed, strict=True)}
    return with_stand_ins(lambda chosen: plan.film(order, chosen, spoken, words), choices, run)


def footage(film: Film) -> Film:
    """Make the half: here, or as jobs of an endpoint where the run's GPU work goes there.

    Where something fails and the order's policy knows what else to try, the film is planned and made with that.
    Returns the film that was made.
    """
    falls = Falls()
    while True:
        failed: dict[str, CallsheetError] = {}
        try:
            with drawn_here(film):
                poster.each(film.posters, failed)
                takes.each(film.takes, failed)
                segments.each(film.segments, failed)
                lipsync.each(film.lipsync, failed)
                restore.each(film.restore, failed)
                upscale.each(film.upscale, failed)
            return film
        except CallsheetError:
            again = falls.after(film, failed)
            if again is None:
                raise
            film = again


def filmed(film: Film) -> Film:
    """Make the half where the run's `gpu` says. A half that is made already starts nothing. Returns the film that was
    made, with what stands in for something.
    """
    run = current()
    if not run.purse.batch:                           # a batch did it for all of its films
        settle_before()
    with paying(film.order, film.job_id):
        if run.gpu is Gpu.POOL and unmade(film):
            at_the_pool([film], run.refresh, run.started)
            film = replanned(film)
            missing = unmade(film)
            if missing:
                raise why_missing(missing)
        return footage(film)
