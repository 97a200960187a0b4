"""What every lip-sync engine does alike: frames in, mouths moved by a cast, frames out, facts told.

Knows nothing of how a mouth is moved: that is the cast's matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import repeat
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from callsheet.errors import EngineUnable
from callsheet.faces.footage import Picture, encode_command, frames_of, planes_of, raw_of, still_of
from callsheet.faces.mouth import Planes
from callsheet.faces.voices import Talk, Voices
from callsheet.media.ffmpeg import writer
from callsheet.recipes import LipsyncRecipe
from callsheet.store.base import Outcome, Room

CRF: Mapping[str, int] = MappingProxyType({"draft": 20, "standard": 16, "high": 14, "premium": 12, "cinematic": 10})
_TELL_EVERY = 12


class Cast(Protocol):
    """Whose mouths are where."""

    def speak(self, planes: Planes, index: int, talking: Mapping[str, Talk]) -> None:
        """Move the mouths of everybody who talks in frame `index`, in place."""

    def warnings(self) -> tuple[str, ...]:
        """What a person should know, once all frames are done."""


def check_quality(recipe: LipsyncRecipe, engine: str) -> None:
    """Raises EngineUnable for a quality that is none of CRF."""
    if recipe.quality not in CRF:
        raise EngineUnable(
            engine=engine,
            what="lip-sync",
            detail=f"there is no quality {recipe.quality!r}",
            remedy=f"choose one of {', '.join(CRF)}",
        )


def sync(recipe: LipsyncRecipe, room: Room, engine: str, voices: Voices, cast: Cast) -> Outcome:
    """Files: main, as many frames as the clip; a still lasts as long as its last voice, at recipe.fps.

    Raises MediaUnreadable for a clip that is none, MediaError when it cannot be encoded.
    """
    check_quality(recipe, engine)
    main, done = room.path("lipsync.mp4"), 0
    with footage(room.fetch(recipe.clip), recipe, voices) as (picture, frames, expected):
        command = encode_command(picture, CRF[recipe.quality], main, f"encode {recipe.label or 'a lip-synced clip'}")
        with writer(command) as pipe:
            for raw in frames:
                talking = voices.at(float((done + 0.5) / picture.fps))
                if talking:
                    planes = planes_of(raw, picture)
                    cast.speak(planes, done, talking)
                    for plane in planes:
                        pipe.write(plane.data)
                else:
                    pipe.write(raw)
                done += 1
                if done % _TELL_EVERY == 0:
                    room.progress(min(done / expected, 1.0) if expected else 0.0, f"frame {done}")
    return Outcome(
        files={"main": main},
        facts={**picture.facts(done), **voices.facts()},
        made_by=engine,
        warnings=cast.warnings(),
    )


@contextmanager
def footage(path: Path, recipe: LipsyncRecipe, voices: Voices) -> Iterator[tuple[Picture, Iterator[bytes], int]]:
    """Size and rate, the raw frames, and how many are expected (0: unknown). Raises MediaUnreadable."""
    still = still_of(path)
    if still is None:
        with frames_of(path) as (picture, frames):
            yield picture, frames, 0
        return
    count = max(1, ceil(voices.end * recipe.fps - 1e-6))
    yield Picture(still.width, still.height, recipe.fps), repeat(raw_of(still), count), count
