"""What an engine for pictures and clips promises. A new engine is one file and one line in ENGINES.

Every engine passes tests/contracts/test_clip_engines.py. An engine never decides about fallback: the
caller's policy does, and the record tells what ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from callsheet.models import Family
from callsheet.presets import Quality
from callsheet.recipes import ClipRecipe, EngineId, PosterRecipe
from callsheet.store.base import Outcome, Room


@dataclass(frozen=True)
class Ability:
    """Yes, or no with the reason and the remedy."""

    able: bool
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Asked:
    """What an order asks of an engine, before anything is planned."""

    families: Mapping[str, Family | None] = field(default_factory=dict)
    """Name of each character's LoRA file, and the family it was trained for; None where nobody knows yet. May be a
    mapping that reads a file's header only when it is asked."""
    poster_model: str = ""
    """Empty where no poster is wanted."""
    sampler: str = ""
    """Of the poster, and its scheduler, in ComfyUI's words."""
    scheduler: str = ""
    clip_model: str = ""
    """Empty leaves it to the engine."""
    clips: bool = True
    """Whether clips are wanted at all."""
    pictured: bool = True
    """Whether clips start from a picture."""
    quality: Quality = Quality.STANDARD
    follows: bool = False
    """Whether a clip is to be made after another clip's frames."""
    controlled: bool = False
    """Whether a clip is to keep to control pictures."""


@dataclass(frozen=True)
class Casting:
    """Which models an engine makes an order with. Their names enter the recipes."""

    poster: str = ""
    clips: str = ""
    unloaded: frozenset[str] = frozenset()
    """LoRA files of `Asked.families` that the clip model cannot load: what clips start from carries them."""
    steps: int | None = None
    """The clip model's own default; None takes the tier's."""
    cfg: float | None = None
    follows: bool = False
    """Whether the clip model can make a clip after another clip's frames."""
    controlled: bool = False
    """Whether it can keep to control pictures."""


class ClipEngine(Protocol):
    """Makes posters and clips."""

    @property
    def id(self) -> EngineId:
        """Enters every recipe; raise its version when the pixels change."""

    @property
    def has_mouths(self) -> bool:
        """Whether clips come with a mouth track (faces/base.py)."""

    @property
    def loads_files(self) -> bool:
        """Whether it loads LoRA files of the store; else it draws, or has them by name where it works."""

    def able(self) -> Ability:
        """Whether it is configured and reachable here."""

    def cast(self, asked: Asked) -> Casting:
        """The models for an order, before anything is loaded. Does not look at this machine.

        Raises WrongFamily naming the file, EngineUnable for what it cannot make at all.
        """

    def paint(self, recipe: PosterRecipe, room: Room) -> Outcome:
        """A poster. Files: main, a JPEG of exactly width x height. Raises EngineError."""

    def shoot(self, recipe: ClipRecipe, room: Room) -> Outcome:
        """A clip. Tells its progress at least every few minutes, also while a model loads: a rented machine on which
        nothing moves for `quiet_s` (900 s) is given up. Whatever progress raises ends it within one step.

        Files: main, H.264 in MP4 without sound, exactly num_frames at fps, width x height; last_frame, a PNG of the
        same size; mouths where the engine knows them (faces/base.py). Facts may hold `warnings` of the work and
        `plan`, how the model was held in memory. Raises EngineError."""
