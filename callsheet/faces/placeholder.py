"""The placeholder lip-sync: a drawn mouth that follows the phones of a voice, or its loudness. No model.

Where a mouth track says where the mouths are, each speaker's own mouth moves. Elsewhere no face is looked
for: one mouth is drawn at the lower middle of the picture, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from callsheet.faces.mouth import Planes, open_mouth
from callsheet.faces.sync import check_quality, sync
from callsheet.faces.tracks import Mouth, mouth_in, mouth_tracks
from callsheet.faces.voices import Talk, Voices
from callsheet.recipes import EngineId, LipsyncRecipe
from callsheet.store.base import Outcome, Room

GUESS_X, GUESS_Y, GUESS_WIDTH = 0.5, 0.68, 0.16
"""Where the mouth is drawn when nobody knows: shares of width and height, and of the shorter side."""
_SPEAKS = 0.75
"""From here on a drawn mouth is the voice's; there is nothing between the two."""


class PlaceholderLipsync:
    """Moves drawn mouths. Able everywhere."""

    @property
    def id(self) -> EngineId:
        return EngineId(name="placeholder", version=2)

    def able(self) -> str:
        """Always empty: it needs nothing but ffmpeg."""
        return ""

    def sync(self, recipe: LipsyncRecipe, room: Room) -> Outcome:
        """Files: main, as many frames as the clip; a still lasts as long as its last voice, at recipe.fps.

        Facts tell how many voices moved a mouth by their phones, and how many by loudness. Raises MediaUnreadable
        for a clip, track, voice or alignment that is none, EngineUnable for an unknown quality.
        """
        check_quality(recipe, self.id.name)
        cast = _Cast(mouth_tracks(room.fetch(recipe.mouths)) if recipe.mouths else None)
        return sync(recipe, room, self.id.name, Voices.of(recipe.voices, room), cast)


@dataclass
class _Cast:
    """Where the speakers' mouths are; None where nobody knows."""

    mouths: dict[str, list[Mouth]] | None
    unseen: set[str] = field(default_factory=set)

    def speak(self, planes: Planes, index: int, talking: Mapping[str, Talk]) -> None:
        shapes = {who: talk.shape for who, talk in talking.items() if talk.speaking >= _SPEAKS}
        if not shapes:
            return
        if self.mouths is None:
            height, width = planes[0].shape
            guess = (GUESS_X * width, GUESS_Y * height, GUESS_WIDTH * min(width, height))
            open_mouth(planes, guess, max(shapes.values(), key=lambda shape: shape.opened), cover=False)
            return
        for who, shape in shapes.items():
            if who in self.mouths:
                open_mouth(planes, mouth_in(self.mouths[who], index), shape, cover=True)
            else:
                self.unseen.add(who)

    def warnings(self) -> tuple[str, ...]:
        if self.mouths is None:
            return ("no face was looked for: the mouth is drawn at the lower middle of the picture",)
        return tuple(f"{who} speaks but is not seen: no mouth was moved" for who in sorted(self.unseen))
