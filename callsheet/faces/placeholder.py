"""The placeholder lip-sync: a drawn mouth that opens as loud as the voice is. No model.

Where a mouth track says where the mouths are, each speaker's own mouth moves. Elsewhere no face is looked
for: one mouth is drawn at the lower middle of the picture, and a warning says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from math import ceil
from pathlib import Path

from callsheet.errors import EngineUnable, MediaUnreadable
from callsheet.faces.footage import Picture, encode_command, frames_of, planes_of, raw_of, still_of
from callsheet.faces.loudness import Voice, listen, openness
from callsheet.faces.mouth import CLOSED, open_mouth
from callsheet.media.ffmpeg import writer
from callsheet.recipes import EngineId, LipsyncRecipe
from callsheet.store.base import Outcome, Room

CRF: Mapping[str, int] = {"draft": 20, "standard": 16, "high": 14, "premium": 12, "cinematic": 10}
GUESS_X, GUESS_Y, GUESS_WIDTH = 0.5, 0.68, 0.16
"""Where the mouth is drawn when nobody knows: shares of width and height, and of the shorter side."""
_TELL_EVERY = 12

Mouths = dict[str, list[tuple[float, float, float]]]


class PlaceholderLipsync:
    """Moves drawn mouths. Able everywhere."""

    @property
    def id(self) -> EngineId:
        return EngineId(name="placeholder", version=1)

    def able(self) -> str:
        """Always empty: it needs nothing but ffmpeg."""
        return ""

    def sync(self, recipe: LipsyncRecipe, room: Room) -> Outcome:
        """Files: main, as many frames as the clip; a still lasts as long as its last voice, at recipe.fps.

        Raises MediaUnreadable for a clip, track or voice that is none, EngineUnable for an unknown quality.
        """
        if recipe.quality not in CRF:
            raise EngineUnable(
                engine="placeholder",
                what="lip-sync",
                detail=f"there is no quality {recipe.quality!r}",
                remedy=f"choose one of {', '.join(CRF)}",
            )
        cast = _Cast(
            voices=[listen(room.fetch(v.audio), v.speaker, v.start) for v in recipe.voices],
            mouths=_track(room.fetch(recipe.mouths)) if recipe.mouths else None,
        )
        main, done = room.path("lipsync.mp4"), 0
        with _footage(room.fetch(recipe.clip), recipe, cast.voices) as (picture, frames, expected):
            command = encode_command(
                picture, CRF[recipe.quality], main, f"encode {recipe.label or 'a lip-synced clip'}"
            )
            with writer(command) as pipe:
                for raw in frames:
                    pipe.write(cast.speak(raw, picture, done))
                    done += 1
                    if done % _TELL_EVERY == 0:
                        room.progress(min(done / expected, 1.0) if expected else 0.0, f"frame {done}")
        return Outcome(
            files={"main": main},
            facts={
                "frames": done,
                "fps": str(picture.fps),
                "duration": float(done / picture.fps),
                "width": picture.width,
                "height": picture.height,
            },
            made_by=self.id.name,
            warnings=cast.warnings(),
        )


@dataclass
class _Cast:
    """Who speaks, and where their mouths are."""

    voices: list[Voice]
    mouths: Mouths | None
    unseen: set[str] = field(default_factory=set)

    def speak(self, raw: bytes, picture: Picture, index: int) -> bytes:
        """One frame with its mouths opened; the same bytes when everybody is silent."""
        talking = {
            who: now
            for who, now in openness(self.voices, float((index + 0.5) / picture.fps)).items()
            if now[0] >= CLOSED
        }
        if not talking:
            return raw
        planes = planes_of(raw, picture)
        if self.mouths is None:
            opened, hiss = max(talking.values())
            short = min(picture.width, picture.height)
            guess = (GUESS_X * picture.width, GUESS_Y * picture.height, GUESS_WIDTH * short)
            open_mouth(planes, guess, opened, hiss, cover=False)
        else:
            for who, (opened, hiss) in talking.items():
                if who in self.mouths:
                    open_mouth(planes, _mouth_at(self.mouths[who], index), opened, hiss, cover=True)
                else:
                    self.unseen.add(who)
        return b"".join(plane.tobytes() for plane in planes)

    def warnings(self) -> tuple[str, ...]:
        if self.mouths is None:
            return ("no face was looked for: the mouth is drawn at the lower middle of the picture",)
        return tuple(f"{who} speaks but is not seen: no mouth was moved" for who in sorted(self.unseen))


def _mouth_at(track: list[tuple[float, float, float]], index: int) -> tuple[float, float, float]:
    if index >= len(track):
        raise MediaUnreadable(
            path="mouths", kind="a mouth track of this clip", detail=f"it has {len(track)} frames only"
        )
    return track[index]


def _track(path: Path) -> Mouths:
    try:
        return {
            who: [(float(x), float(y), float(width)) for x, y, width in track]
            for who, track in json.loads(path.read_text(encoding="utf-8"))["mouths"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise MediaUnreadable(path=path.name, kind="a mouth track", detail=str(error)[:200]) from error


@contextmanager
def _footage(
    path: Path, recipe: LipsyncRecipe, voices: Sequence[Voice]
) -> Iterator[tuple[Picture, Iterator[bytes], int]]:
    """Size and rate, the raw frames, and how many are expected (0: unknown)."""
    still = still_of(path)
    if still is None:
        with frames_of(path) as (picture, frames):
            yield picture, frames, 0
        return
    count = max(1, ceil(max(voice.end for voice in voices) * recipe.fps - 1e-6))
    picture = Picture(still.width, still.height, recipe.fps)
    yield picture, repeat(raw_of(still), count), count
