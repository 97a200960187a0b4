"""Lip-sync of real pictures: the mouth of a face in a still or clip is warped to the speech. No GPU.

A mesh of 468 points is laid on the face in every frame (landmarks.py, tracking.py); lips, jaw and corners then move
as the phones of a voice ask, or its loudness where nobody aligned it (voices.py, warp.py). With a mouth track each
speaker has the face that it points at; without one the largest face speaks for all voices. Heads keep moving as they
do in the clip; eyes, brows and hands are not covered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from callsheet.faces import warp
from callsheet.faces.extra import MESH, missing, require
from callsheet.faces.mouth import Planes
from callsheet.faces.speakers import follow, told
from callsheet.faces.sync import check_quality, sync
from callsheet.faces.voices import Talk, Voices
from callsheet.recipes import EngineId, LipsyncRecipe
from callsheet.store.base import Outcome, Room


class MouthWarp:
    """Moves the mouths of real faces. Able where the extra `faces` is installed."""

    @property
    def id(self) -> EngineId:
        return EngineId(name="mouth_warp", version=1)

    def able(self) -> str:
        """Empty, or that the extra is missing and how to get it."""
        return missing(MESH)

    def sync(self, recipe: LipsyncRecipe, room: Room) -> Outcome:
        """Files: main, as many frames as the clip; a still lasts as long as its last voice, at recipe.fps.

        A speaker without a face in a clip is warned about. Raises EngineUnable for a still without a face, without
        the extra and for an unknown quality; MediaUnreadable for a clip, track, voice or alignment that is none.
        """
        check_quality(recipe, self.id.name)
        require(MESH, engine=self.id.name, what="lip-sync")
        voices = Voices.of(recipe.voices, room)
        cast = self._cast(recipe, room, voices)
        return sync(recipe, room, self.id.name, voices, cast)

    def _cast(self, recipe: LipsyncRecipe, room: Room, voices: Voices) -> _Cast:
        """Every speaker's mouth in every frame."""
        chosen = follow(recipe, room, voices, self.id.name)
        found = {id(follower): follower.mouths() for follower in chosen.values()}
        return _Cast({who: found[id(follower)] for who, follower in chosen.items()})


@dataclass
class _Cast:
    """The speakers' mouths by frame; those of a still are one frame that lasts."""

    mouths: Mapping[str, Sequence[warp.Mouth | None]]
    unseen: dict[str, int] = field(default_factory=dict)

    def speak(self, planes: Planes, index: int, talking: Mapping[str, Talk]) -> None:
        moved: dict[int, tuple[warp.Mouth, Talk]] = {}
        for who, talk in talking.items():
            seen = self.mouths.get(who, ())
            mouth = seen[min(index, len(seen) - 1)] if seen else None
            if mouth is None:
                self.unseen[who] = self.unseen.get(who, 0) + 1
            elif id(mouth) not in moved or talk.shape.opened > moved[id(mouth)][1].shape.opened:
                moved[id(mouth)] = (mouth, talk)      # one face may speak for two voices: the wider one shows
        for mouth, talk in moved.values():
            warp.speak(planes, mouth, talk.shape, talk.speaking)

    def warnings(self) -> tuple[str, ...]:
        return told(self.unseen)
