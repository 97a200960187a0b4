"""Lip-sync of real pictures: the mouth of a face in a still or clip is warped to the speech. No GPU.

A mesh of 468 points is laid on the face in every frame (landmarks.py, tracking.py); lips, jaw and corners then move
as the phones of a voice ask, or its loudness where nobody aligned it (voices.py, warp.py). With a mouth track each
speaker has the face that it points at; without one the largest face speaks for all voices. Heads keep moving as they
do in the clip; eyes, brows and hands are not covered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from callsheet.errors import EngineUnable
from callsheet.faces import warp
from callsheet.faces.extra import MESH, missing, require
from callsheet.faces.footage import planes_of
from callsheet.faces.landmarks import Landmarks
from callsheet.faces.mouth import Planes
from callsheet.faces.sync import check_quality, footage, sync
from callsheet.faces.tracking import followers
from callsheet.faces.tracks import mouth_tracks
from callsheet.faces.voices import Talk, Voices
from callsheet.recipes import EngineId, LipsyncRecipe
from callsheet.store.base import Outcome, Room

_TELL_EVERY = 12


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
        tracks = mouth_tracks(room.fetch(recipe.mouths)) if recipe.mouths else None
        chosen = followers(Landmarks(), voices.speakers, tracks)
        each = list({id(follower): follower for follower in chosen.values()}.values())
        with footage(room.fetch(recipe.clip), recipe, voices) as (picture, frames, still):
            for n, raw in enumerate(frames):
                planes = planes_of(raw, picture)
                for follower in each:
                    follower.see(planes)
                if still:                             # all its frames are the same
                    break
                if n % _TELL_EVERY == 0:
                    room.progress(0.0, f"faces in frame {n}")
        found = {id(follower): follower.mouths() for follower in each}
        mouths = {who: found[id(follower)] for who, follower in chosen.items()}
        if still and not any(mouth for seen in mouths.values() for mouth in seen):
            raise EngineUnable(
                engine=self.id.name, what="lip-sync", detail="no face is found in the picture",
                remedy="send a picture that shows a face from the front",
            )
        return _Cast(mouths)


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
        return tuple(
            f"{who} speaks but is not seen in {count} frames: no mouth was moved there"
            for who, count in sorted(self.unseen.items())
        )
