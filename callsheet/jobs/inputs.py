"""A request's files once they are here: digests, the recipes that check them, and what was found in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from callsheet.errors import RequestInvalid
from callsheet.models import SourceFile
from callsheet.persona import digest_of
from callsheet.recipe import Ref
from callsheet.recipes import EngineId, IntakeRecipe

PICTURES = frozenset({"image", "primary_image"})
"""Fields that name a picture."""
CLIPS = frozenset({"video", "control"})
"""Fields that name a clip; all others name a sound."""


@dataclass(frozen=True)
class ClipEngines:
    """What `auto` came to here for clips, and where results go."""

    clips: EngineId
    destination: str
    """URL of the delivery."""
    unloaded: tuple[str, ...] = ()
    """Actors whose LoRA the clip model cannot load: what clips start from carries them."""
    steps: int | None = None
    """The clip model's own default, which beats the tier's; None: it has none."""
    cfg: float | None = None

    def warnings(self) -> tuple[str, ...]:
        """Whose LoRA was named and is not used."""
        return tuple(
            f"{actor}: {self.clips.model} does not load the LoRA, only what the clip starts from can show who it is"
            for actor in self.unloaded
        )


@dataclass(frozen=True)
class TalkEngines:
    """What `auto` came to here for talking pictures, which need no clips; and where results go."""

    lipsync: EngineId
    destination: str
    """URL of the delivery."""
    restore: EngineId | None = None
    """None where no faces are restored."""
    upscale: EngineId | None = None
    """None where nothing but interpolation enlarges."""


@dataclass(frozen=True)
class Inputs:
    """Files by the path of their field, such as `image` or `sfx_tracks[0].url`."""

    files: Mapping[str, SourceFile]
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What intake found, by recipe fingerprint."""

    def recipe(self, path: str) -> IntakeRecipe:
        """How the file of a field is checked and taken in."""
        kind: Literal["picture", "clip", "audio"]
        kind = "picture" if path in PICTURES else "clip" if path in CLIPS else "audio"
        file = self.files[path]
        return IntakeRecipe(label=path, path=file.path, sha256=digest_of(file), kind=kind)

    def recipes(self) -> tuple[IntakeRecipe, ...]:
        """All of them; a file that is named twice is taken in once."""
        return tuple({recipe.fingerprint: recipe for recipe in map(self.recipe, self.files)}.values())

    def ref(self, path: str) -> Ref:
        return self.recipe(path).ref()

    def found(self, path: str) -> Mapping[str, Any]:
        """Width and height of a picture in pixels, duration of a sound in seconds."""
        return self.facts[self.recipe(path).fingerprint]

    def frames(self, path: str, fps: Fraction) -> int:
        """Frames that a sound lasts, the last one begun counted whole. Raises RequestInvalid for one without length."""
        frames = math.ceil(Fraction(str(self.found(path)["duration"])) * fps - Fraction(1, 1000))
        if frames < 1:
            raise RequestInvalid(field=f"input.{path}", detail="lasts under a frame", remedy="send a longer sound")
        return frames
