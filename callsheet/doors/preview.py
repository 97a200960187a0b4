"""`callsheet plan`: what is made already and what is to make, before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from callsheet.film import Film
from callsheet.models import Order
from callsheet.plan import film, lines
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

    @property
    def frames(self) -> int:
        return sum(raw for _, raw, _ in self.segments)

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"raw_frames": self.frames}


def planned(order: Order, run: Run) -> tuple[Film, FilmPlan]:
    """Plan an admitted order against what the store has. Raises SceneTooShort, EngineUnable."""
    choices = run.choices(order)
    spoken = {}
    for line in (line for scene in lines(order, choices) for line in scene):
        record = run.records.current(line)
        if record is not None:
            spoken[line.fingerprint] = float(record.facts["seconds"])
    whole = film(order, choices, spoken)
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
        stages=_stages(whole, run.records),
    )


def _stages(whole: Film, records: Records) -> tuple[StagePlan, ...]:
    stages = []
    remade: set[str] = set()
    for stage in Stage:
        reasons = []
        recipes = [recipe for recipe in whole.recipes() if recipe.stage is stage]
        for recipe in recipes:
            # What is made from something that is yet to make is judged by that: its bytes may come out equal.
            why = records.why_to_make(recipe)
            waits = any(ref.fingerprint in remade for ref in recipe.refs())
            if why or waits:
                remade.add(recipe.fingerprint)
                reasons.append(why or "follows what is made before it")
        if recipes:
            stages.append(StagePlan(stage, len(recipes) - len(reasons), len(reasons), reasons[0] if reasons else ""))
    return tuple(stages)


def show(out: Console, plans: Sequence[FilmPlan], waiting: Sequence[tuple[str, str]]) -> None:
    """Print the plans, a table a film."""
    for plan in plans:
        about = "" if plan.exact else "about "
        frames = [raw for _, raw, _ in plan.segments]
        out.print(f"[bold]{plan.title}[/]  {plan.actor_id}  {about}{plan.seconds:.2f} s  {plan.format}")
        out.print(f"  {len(frames)} segments of {', '.join(map(str, frames))} frames: {plan.frames} frames at 24 fps")
        table = Table(box=None, pad_edge=True, show_header=False)
        for stage in plan.stages:
            if not stage.to_make:
                table.add_row(stage.stage, "[green]made already[/]", str(stage.made), "")
            else:
                count = f"{stage.to_make} of {stage.made + stage.to_make}"
                table.add_row(stage.stage, "[yellow]to make[/]", count, f"[dim]{stage.why}[/]")
        out.print(table)
    for actor_id, why in waiting:
        out.print(f"[bold]{actor_id}[/]  [yellow]waiting[/]  {why}")
    todo = sum(stage.to_make for plan in plans for stage in plan.stages)
    out.print(f"\n{todo} to make" if todo else "\nnothing to make: everything is made already")
