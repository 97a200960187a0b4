"""`callsheet plan`: what is made already and what is to make, before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from callsheet.alignment import words_in
from callsheet.errors import CallsheetError
from callsheet.film import Film
from callsheet.lora.inspect import inspect, require_family
from callsheet.media.findings import Finding
from callsheet.media.retakes import Attempt, best, recorded, retake
from callsheet.models import CheckPolicy, Order
from callsheet.plan import alignment, film, lines
from callsheet.pricing import Estimate
from callsheet.production import FellBack, in_short
from callsheet.recipe import Stage

if TYPE_CHECKING:
    from callsheet.store.records import Records
    from tasks.run import Run


@dataclass(frozen=True)
class StagePlan:
    """One stage of one film."""

    stage: Stage
    made: int
    to_make: int
    why: str
    """Why the first of them is to make; empty when all are made."""


@dataclass(frozen=True)
class FilmPlan:
    """One film before it is made."""

    actor_id: str
    title: str
    seconds: float
    exact: bool
    """False while lengths are estimates, because lines are not spoken yet."""
    format: str
    segments: tuple[tuple[int, int, int], ...]
    """Scene, raw frames at 24 fps, delivered frames."""
    stages: tuple[StagePlan, ...]
    estimate: Estimate = field(default_factory=Estimate)
    """What the GPU work that is to make will cost; nothing where it runs on this machine."""
    asked: float = 0.0
    """Seconds that the scenes ask for; the dialogue may make them longer."""
    troubles: tuple[str, ...] = ()
    """What will make it fail: LoRAs that will be refused, what stops its delivery, or why it cannot be planned."""
    fallbacks: tuple[FellBack, ...] = ()
    """What stands in for something that failed in an earlier run."""

    @property
    def frames(self) -> int:
        return sum(raw for _, raw, _ in self.segments)

    def as_json(self) -> dict[str, Any]:
        segments = [{"scene": scene, "raw_frames": raw, "frames": out} for scene, raw, out in self.segments]
        own = {"raw_frames": self.frames, "segments": segments, "estimate": self.estimate.model_dump(),
               "fallbacks": [one.model_dump() for one in self.fallbacks]}
        return asdict(self) | own


def unplannable(order: Order, error: CallsheetError) -> FilmPlan:
    """In place of the plan of a film that cannot be planned: no segments, no stages, and why."""
    return FilmPlan(
        actor_id=order.cast[0].id, title=order.title, seconds=0.0, exact=False, format=order.delivered.label,
        segments=(), stages=(), asked=sum(scene.seconds for scene in order.scenes), troubles=(str(error),),
    )


def planned(order: Order, run: Run) -> tuple[Film, FilmPlan]:
    """Plan an admitted order against what the store has. Raises SceneTooShort, EngineUnable."""
    from tasks.fallback import fallbacks

    whole, stages, findings = _followed(order, run)
    return whole, FilmPlan(
        actor_id=order.cast[0].id,
        title=order.title,
        seconds=whole.timeline.seconds,
        exact=whole.exact,
        format=order.delivered.label,
        segments=tuple(
            (scene.index + 1, part.raw_frames, part.frames)
            for scene in whole.timeline.scenes
            for part in scene.segments
        ),
        stages=stages,
        asked=sum(scene.seconds for scene in order.scenes),
        troubles=(*_troubles(order), *_stopped(order, findings)),
        estimate=_estimate(whole, run),
        fallbacks=fallbacks(whole),
    )


def _estimate(whole: Film, run: Run) -> Estimate:
    from tasks.spending import estimate

    reasons = _reasons(whole, run.records)
    return estimate([recipe for recipe in whole.recipes() if recipe.fingerprint in reasons], run)


def _followed(order: Order, run: Run) -> tuple[Film, tuple[StagePlan, ...], tuple[Finding, ...]]:
    """The attempt that a run would make next, or else the one that it delivers; its stages, and what was found.

    An attempt leads to the next one only when it is all there: else a run makes it, and may find something else.
    """
    made: list[Attempt] = []
    whole = _once(order, run)
    while True:
        stages = _stages(whole, run.records)
        if any(stage.to_make for stage in stages if stage.stage is not Stage.UPLOAD):
            return whole, stages, ()
        made.append(Attempt(whole, recorded(run.records.facts(whole.check.ref()))))
        again = retake(order, whole, made[-1].findings)
        if again is None:
            chosen = best(made)
            return chosen.film, _stages(chosen.film, run.records), chosen.findings
        whole = _once(again, run)


def _once(order: Order, run: Run) -> Film:
    from tasks.fallback import with_stand_ins

    choices = run.choices(order)
    spoken, words = {}, {}
    for line in (line for scene in lines(order, choices) for line in scene):
        record, timed = run.records.current(line), run.records.current(alignment(line))
        if record is not None:
            spoken[line.fingerprint] = float(record.facts["seconds"])
        if timed is not None:
            words[line.fingerprint] = words_in(timed.facts)
    return with_stand_ins(lambda chosen: film(order, chosen, spoken, words), choices, run)


def _stopped(order: Order, findings: Sequence[Finding]) -> Iterator[str]:
    if order.check.policy is CheckPolicy.STOP:
        yield from (f"its check found {finding}" for finding in findings)


def _troubles(order: Order) -> Iterator[str]:
    """What a look at the headers of local LoRAs tells; those in S3 are looked at when they are fetched."""
    for actor in order.cast:
        path = Path(actor.lora.path)
        if not path.is_file():
            continue
        try:
            facts = inspect(path)
            if actor.base_model is not None:
                require_family(facts, actor.base_model, path.name)
        except CallsheetError as error:
            yield str(error)


def _stages(whole: Film, records: Records) -> tuple[StagePlan, ...]:
    found = _reasons(whole, records)
    stages = []
    for stage in Stage:
        recipes = [recipe for recipe in whole.recipes() if recipe.stage is stage]
        reasons = [found[recipe.fingerprint] for recipe in recipes if recipe.fingerprint in found]
        if recipes:
            stages.append(StagePlan(stage, len(recipes) - len(reasons), len(reasons), reasons[0] if reasons else ""))
    return tuple(stages)


def _reasons(whole: Film, records: Records) -> dict[str, str]:
    """Fingerprint -> why it is to make, of every recipe that is not made."""
    reasons: dict[str, str] = {}
    for recipe in whole.recipes():
        # What is made from something that is yet to make is judged by that: its bytes may come out equal.
        why = records.why_to_make(recipe)
        if why or any(ref.fingerprint in reasons for ref in recipe.refs()):
            reasons[recipe.fingerprint] = why or "follows what is made before it"
    return reasons


def show(out: Console, plans: Sequence[FilmPlan], waiting: Sequence[tuple[str, str]]) -> None:
    """Print the plans, a table a film."""
    for plan in plans:
        if not plan.segments:
            why = escape("; ".join(plan.troubles))
            out.print(f"[bold]{escape(plan.title)}[/]  {plan.actor_id}  [red]cannot be planned[/]  {why}")
            continue
        about = "" if plan.exact else "about "
        frames = [raw for _, raw, _ in plan.segments]
        grown = f"  (asked {plan.asked:g} s; the dialogue needs more)" if plan.seconds > plan.asked + 0.05 else ""
        out.print(f"[bold]{escape(plan.title)}[/]  {plan.actor_id}  {about}{plan.seconds:.2f} s  {plan.format}{grown}")
        out.print(f"  {len(frames)} segments of {', '.join(map(str, frames))} frames: {plan.frames} frames at 24 fps")
        table = Table(box=None, pad_edge=True, show_header=False)
        for trouble in plan.troubles:
            out.print(f"  [red]✗[/] {escape(trouble)}")
        for sentence in in_short(plan.fallbacks):
            out.print(f"  [yellow]![/] {escape(sentence)}")
        for stage in plan.stages:
            if not stage.to_make:
                table.add_row(stage.stage, "[green]made already[/]", str(stage.made), "")
            else:
                count = f"{stage.to_make} of {stage.made + stage.to_make}"
                table.add_row(stage.stage, "[yellow]to make[/]", count, f"[dim]{stage.why}[/]")
        out.print(table)
        if plan.estimate.recipes:
            out.print(f"  GPU work: {told(plan.estimate)}")
    for actor_id, why in waiting:
        out.print(f"[bold]{actor_id}[/]  [yellow]waiting[/]  {escape(why)}")
    todo = sum(stage.to_make for plan in plans for stage in plan.stages)
    if todo or all(plan.segments for plan in plans):
        total = sum((plan.estimate for plan in plans), Estimate())
        cost = f"; GPU work of all: {told(total)}" if total.recipes else ""
        out.print(f"\n{todo} to make{cost}" if todo else "\nnothing to make: everything is made already")


def told(estimate: Estimate) -> str:
    """An estimate for people."""
    return (
        f"about ${estimate.usd:.2f} for {estimate.seconds:.0f} s in {estimate.recipes} pieces, "
        f"at the very most ${estimate.worst_usd:.2f}"
    )
