"""`callsheet produce`: one film of one character from a prompt, as the long-video tool of the sources did it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from callsheet.dialogue import find_actor, parse_dialogue
from callsheet.doors import terminal
from callsheet.doors.batches import check_place
from callsheet.doors.interrupt import interruptible
from callsheet.doors.preview import planned
from callsheet.doors.served import served
from callsheet.errors import InputError, NotReady
from callsheet.manifest import read_manifest
from callsheet.models import Actor, Format, Gpu, Order, Scene
from callsheet.presets import SEGMENTS_SIZE, Door, Quality, quality_from
from callsheet.production import Production
from callsheet.recipe import Stage
from callsheet.settings import Settings
from callsheet.store.sources import admit
from callsheet.words import told

AUTO_PROMPT = "stands among cherry trees in blossom, petals drift past, soft morning light"
OPTIONS = {"seconds": "duration"}
"""Where the command line calls a field otherwise."""


def order_of(
    manifest: Path, character: str, prompt: str, seconds: float, quality: str, dialogue: str, seed: int
) -> Order:
    """One scene of a manifest's actor, delivered square at 24 fps. No takes: the poster is the first frame.

    Raises InputError for an unknown character or quality and for what no film can have, NotReady while the LoRA is
    not there.
    """
    actor = _character(manifest, character)
    try:
        tier = quality_from(quality, Door.SEGMENTS)
    except ValueError as error:
        raise InputError(detail=str(error), remedy="choose one with --quality") from error
    lines = parse_dialogue(dialogue, [actor])
    side = SEGMENTS_SIZE.get(tier, SEGMENTS_SIZE[Quality.PREMIUM])
    try:
        return Order(
            title=f"{actor.display_name}: {prompt}"[:80],
            cast=(actor,),
            scenes=(Scene(prompt=prompt, seconds=seconds, cast=(actor.id,), lines=lines),),
            quality=tier,
            format=Format(width=side, height=side, fps=Fraction(24)),
            takes=(),
            seed=seed,
        )
    except ValidationError as error:
        raise _refused(error) from error


def _refused(error: ValidationError) -> InputError:
    """The first thing that is wrong, under the name of its option."""
    details = error.errors(include_url=False)[0]
    field = str(details["loc"][-1]) if details["loc"] else "the film"
    message, remedy = told(details)
    if details["type"] == "finite_number":
        remedy = "write a number of seconds, such as 12.3"
    return InputError(detail=f"{OPTIONS.get(field, field)} {message}", remedy=remedy)


def produce_one(order: Order, gpu: Gpu | None, refresh: Sequence[Stage], out: Console, verbose: bool) -> Production:
    """Run the produce flow here, with a bar."""
    from callsheet import project

    project.importable()
    from tasks.run import running, watching

    settings = Settings.load()
    check_place(gpu, settings)
    with running("plan") as run:
        order = admit(order, run.sources)
        whole, plan = planned(order, run)
    frames = ", ".join(str(raw) for _, raw, _ in plan.segments)
    out.print(f"{len(plan.segments)} segments of {frames} frames: {plan.frames} frames at 24 fps, {plan.seconds:.2f} s")
    with served(settings, verbose):
        from flows.produce import produce

        totals = {order.title: sum(1 for _ in whole.recipes())}
        with terminal.bars(out, totals) as watcher, watching(watcher), interruptible():
            made: Production = produce(order, gpu or settings.gpu, list(refresh))
    return made


def _character(manifest: Path, character: str) -> Actor:
    book = read_manifest(manifest)
    actors = [order.cast[0] for order in book.orders]
    if not character:
        if not actors:
            raise InputError(detail=f"{manifest} has no trained actor", remedy="name one that is trained")
        return actors[0]
    found = find_actor(character, actors)
    if found is not None:
        return found
    for row in book.waiting:
        if row.actor_id == character:
            raise NotReady(actor=f"{character} ({row.waiting})")
    names = ", ".join(actor.display_name for actor in actors)
    raise InputError(detail=f"{manifest} has no character {character!r}", remedy=f"choose one of {names}")
