"""The faces of those who speak in a clip: followed for the engines that move mouths in real pictures."""

from __future__ import annotations

from collections.abc import Mapping

from callsheet.errors import EngineUnable
from callsheet.faces.footage import planes_of
from callsheet.faces.landmarks import Landmarks
from callsheet.faces.sync import footage
from callsheet.faces.tracking import Follower, followers
from callsheet.faces.tracks import mouth_tracks
from callsheet.faces.voices import Voices
from callsheet.recipes import LipsyncRecipe
from callsheet.store.base import Room

_TELL_EVERY = 12


def follow(recipe: LipsyncRecipe, room: Room, voices: Voices, engine: str) -> dict[str, Follower]:
    """Every speaker's face through the clip; of a still it is one frame that lasts. Some may share one.

    Raises EngineUnable for a still without a face, MediaUnreadable for a clip or track that is none.
    """
    tracks = mouth_tracks(room.fetch(recipe.mouths)) if recipe.mouths else None
    chosen = followers(Landmarks(), voices.speakers, tracks)
    each = list({id(follower): follower for follower in chosen.values()}.values())
    with footage(room.fetch(recipe.clip), recipe, voices) as (picture, frames, still):
        for n, raw in enumerate(frames):
            planes = planes_of(raw, picture)
            for follower in each:
                follower.see(planes)
            if still:                                 # all its frames are the same
                break
            if n % _TELL_EVERY == 0:
                room.progress(0.0, f"faces in frame {n}")
    if still and not any(follower.found for follower in each):
        raise EngineUnable(
            engine=engine, what="lip-sync", detail="no face is found in the picture",
            remedy="send a picture that shows a face from the front",
        )
    return chosen


def told(unseen: Mapping[str, int]) -> tuple[str, ...]:
    """Warnings about speakers without a face, by how many frames they speak in without one."""
    return tuple(
        f"{who} speaks but is not seen in {count} frames: no mouth was moved there"
        for who, count in sorted(unseen.items())
    )
