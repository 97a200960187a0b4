"""What came of an order: files, stages, warnings, or why it failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from callsheet.units import Frozen, Sha256


class StageRow(Frozen):
    """One line of a production's account: a recipe, and whether it had to be made."""

    stage: str
    label: str
    fingerprint: Sha256
    cached: bool
    seconds: float
    """Wall time of making it, in this run or an earlier one."""
    made_by: str
    """The engine or program that really made it."""
    model: str = ""
    """The base model or network that it used; empty where it has none, and for what is drawn."""

    @property
    def maker(self) -> str:
        """Engine and model."""
        return f"{self.made_by} {self.model}".strip()


class FellBack(Frozen):
    """Something that another engine, model or size made than was asked."""

    stage: str
    label: str
    asked: str
    """Such as `diffusers wan2.2-i2v-a14b, 1024x1024`."""
    made: str
    """The same of what really made it."""
    why: str
    """What failed, in one line."""

    def __str__(self) -> str:
        return f"{self.stage} {self.label}: made by {self.made} instead of {self.asked}, because {self.why}"


def in_short(fell: Iterable[FellBack]) -> tuple[str, ...]:
    """For people: one sentence for all that the same engine made in place of the same one, for the same reason."""
    groups: dict[tuple[str, ...], list[FellBack]] = {}
    for one in fell:
        asked, made = (text.partition(" ")[0].rstrip(",") for text in (one.asked, one.made))
        groups.setdefault((asked, made, one.why), []).append(one)
    return tuple(
        str(alike[0]) if len(alike) == 1 else f"{_counted(alike)}: made by {made} instead of {asked}, because {why}"
        for (asked, made, why), alike in groups.items()
    )


def _counted(alike: Sequence[FellBack]) -> str:
    counts = Counter(one.stage for one in alike)
    return ", ".join(f"{count} {stage}" if count > 1 else stage for stage, count in counts.items())


class Status(StrEnum):
    MADE = "made"
    WAITING = "waiting"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    """The budget was reached before it was made; a larger one goes on from here."""


class Production(Frozen):
    """What came of an order."""

    title: str
    actor_id: str
    status: Status
    job_id: str = ""
    seconds: float = 0.0
    """Wall time of this run."""
    duration: float = 0.0
    """Length of the finished film."""
    format: str = ""
    video: str = ""
    thumbnail: str = ""
    posters: dict[str, str] = Field(default_factory=dict)
    """Actor id -> URL."""
    takes: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Of the film's own actor: actor id -> URLs, in the order they were asked for. Guests' are with their films."""
    captions: tuple[str, ...] = ()
    stems: dict[str, str] = Field(default_factory=dict)
    """Where they were asked for: `voice`, `music_effects` and `full_mix` -> URL."""
    stages: tuple[StageRow, ...] = ()
    warnings: tuple[str, ...] = ()
    fallbacks: tuple[FellBack, ...] = ()
    """What stands in for what was asked, as the order's policy allows it."""
    error: str = ""
    error_code: str = ""
    cost_usd: float = 0.0
    """What its GPU work has cost so far, in all runs, as the ledger knows it."""
    estimate_usd: float = 0.0
    """What the GPU work of this run was expected to cost before it began."""
    kept: str = ""
    """Where a film that was made and not delivered lies in the store."""
    made_at: datetime | None = None

    @property
    def engines(self) -> tuple[str, ...]:
        """Who made its pictures and clips, each once, in order of work."""
        pictures = (row.maker for row in self.stages if row.stage in ("poster", "takes", "segments"))
        return tuple(dict.fromkeys(pictures))
