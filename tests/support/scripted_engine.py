"""An engine that draws like the placeholder and fails as a test says: for flows in which real models would fail.

    script = Script(shoot=lambda recipe, room: OutOfMemory(...) if recipe.width > 400 else None)
    script.enter(monkeypatch)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType

import pytest

from callsheet.engines import choose as choosing
from callsheet.engines.base import Ability, Asked, Casting
from callsheet.engines.placeholder import PlaceholderEngine
from callsheet.errors import CallsheetError
from callsheet.recipes import ClipRecipe, EngineId, PosterRecipe
from callsheet.settings import Settings
from callsheet.store.base import Outcome, Room

Fails = Callable[[PosterRecipe | ClipRecipe, Room], CallsheetError | None]


def never(recipe: PosterRecipe | ClipRecipe, room: Room) -> CallsheetError | None:
    return None


@dataclass
class Script:
    """How the engine behaves, and what it was asked to make: `model widthxheight` of each attempt."""

    fails: Fails = never
    able: Ability = field(default_factory=lambda: Ability(True))
    attempts: list[str] = field(default_factory=list)

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`scripted` is the best engine here from now on."""
        engines = {"scripted": lambda settings: ScriptedEngine(self, settings), **choosing.ENGINES}
        monkeypatch.setattr(choosing, "ENGINES", MappingProxyType(engines))


class ScriptedEngine(PlaceholderEngine):
    """Draws, under another name, and casts the models of real engines."""

    def __init__(self, script: Script, settings: Settings) -> None:
        self._script = script

    @property
    def id(self) -> EngineId:
        return EngineId(name="scripted", version=1)

    @property
    def has_mouths(self) -> bool:
        return False

    def able(self) -> Ability:
        return self._script.able

    def cast(self, asked: Asked) -> Casting:
        return Casting(poster=asked.poster_model, clips=asked.clip_model or "wan2.2-i2v-a14b")

    def paint(self, recipe: PosterRecipe, room: Room) -> Outcome:
        self._attempt(recipe, room)
        return self._named(super().paint(recipe, room))

    def shoot(self, recipe: ClipRecipe, room: Room) -> Outcome:
        self._attempt(recipe, room)
        made = self._named(super().shoot(recipe, room))
        return Outcome(
            files={name: path for name, path in made.files.items() if name != "mouths"}, facts=made.facts,
            made_by=made.made_by, warnings=made.warnings)

    def _attempt(self, recipe: PosterRecipe | ClipRecipe, room: Room) -> None:
        self._script.attempts.append(f"{recipe.engine.model} {recipe.width}x{recipe.height}")
        error = self._script.fails(recipe, room)
        if error is not None:
            raise error

    def _named(self, made: Outcome) -> Outcome:
        return Outcome(files=made.files, facts=made.facts, made_by="scripted", warnings=made.warnings)
