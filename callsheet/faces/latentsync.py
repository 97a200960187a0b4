"""Lip-sync by LatentSync 1.6, as a program in its own environment (latentsync_process.py). The best mouths; needs CUDA.

It works at 25 frames a second and animates one face. So the clip's frames are handed over one for one as if they were
25 a second, with the voices as much faster; and with mouth tracks each speaker has a run of its own, on a square around
that face. Without them the whole picture is one run for all voices. Frames in which nobody speaks stay as they are.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np

from callsheet.errors import EngineError, EngineUnable
from callsheet.faces import latentsync_process as process
from callsheet.faces.footage import Picture, encode_command, frames_of, planes_of
from callsheet.faces.latentsync_process import Inference
from callsheet.faces.local_models import files_of
from callsheet.faces.loudness import RATE, samples_of
from callsheet.faces.mouth import Planes
from callsheet.faces.speakers import told
from callsheet.faces.squares import Square, around, whole
from callsheet.faces.sync import check_quality, footage, sync
from callsheet.faces.tracks import Mouth, mouth_in, mouth_tracks
from callsheet.faces.voices import Talk, Voices
from callsheet.media.ffmpeg import Command, writer
from callsheet.media.ffmpeg import run as run_ffmpeg
from callsheet.media.probe import probe
from callsheet.recipes import EngineId, LipsyncRecipe, PlacedVoice
from callsheet.settings import Settings
from callsheet.store.base import Outcome, Room

STEPS: Mapping[str, int] = MappingProxyType(
    {"draft": 10, "standard": 20, "high": 20, "premium": 30, "cinematic": 40}
)
"""Steps of diffusion by quality."""
_CRF = 6
_SLOWEST, _FASTEST = 12, 60
"""Frames a second of clips whose voices are still voices once they are brought to its rate."""
_LATE = 2
"""Frames of silence after the end, so that the program does not end before the clip."""
_PROGRAM = 0.9
"""Share of the work that the program does, where progress is told."""


class LatentSync:
    """Moves the mouths of real faces. Able where its checkout, its weights and a CUDA GPU are."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def id(self) -> EngineId:
        return EngineId(name="latentsync", version=1, model="latentsync-1.6")

    @property
    def _weights(self) -> Path:
        return files_of(self._settings, "latentsync")[0]

    def able(self) -> str:
        """Empty, or what is missing and how to get it."""
        return ": ".join(process.missing(self._settings.latentsync, self._weights) or ())

    def sync(self, recipe: LipsyncRecipe, room: Room) -> Outcome:
        """Files: main, as many frames as the clip; a still lasts as long as its last voice, at recipe.fps.

        Raises EngineUnable where something is missing and for an unknown quality, EngineError with the program's last
        words, OutOfMemory, MediaUnreadable for what is no clip, track or voice.
        """
        name = self.id.name
        check_quality(recipe, name)
        if lack := process.missing(self._settings.latentsync, self._weights):
            raise EngineUnable(engine=name, what="lip-sync", detail=lack[0], remedy=lack[1])
        voices = Voices.of(recipe.voices, room)
        tracks = mouth_tracks(room.fetch(recipe.mouths)) if recipe.mouths else None
        parts = _cut(recipe, room, voices, tracks)
        for n, part in enumerate(parts):
            self._run(part, recipe, _later(room, _PROGRAM * n / len(parts), _PROGRAM * (n + 1) / len(parts)))
        with ExitStack() as stack:
            made = [_Made(part, *stack.enter_context(frames_of(part.result))) for part in parts]
            return sync(recipe, _later(room, _PROGRAM, 1.0), name, voices, _Cast(made))

    def _run(self, part: _Part, recipe: LipsyncRecipe, room: Room) -> None:
        """Give a part to the program. Raises EngineError for a result that does not fit."""
        checkout = self._settings.latentsync
        assert checkout is not None                   # it would be missing
        mine = [voice for voice in recipe.voices if part.speakers is None or voice.speaker in part.speakers]
        _write_voices(mine, part, room)
        process.run(
            Inference(checkout, self._weights, part.video, part.audio, part.result, part.folder / "scratch",
                      STEPS[recipe.quality]),
            part.folder, room.progress,
        )
        found, side = probe(part.result), part.square.side
        if (found.width, found.height) != (side, side) or (found.frames or 0) < part.frames:
            raise EngineError(
                engine=self.id.name, what="a lip-synced clip",
                detail=f"{found.frames} frames of {found.width}x{found.height} came back, {part.frames} of "
                       f"{side}x{side} were asked",
            )


@dataclass(frozen=True)
class _Part:
    """A square of the clip with one face that the program is to animate."""

    folder: Path
    """Its own."""
    square: Square
    speakers: frozenset[str] | None
    """Whose face it is; None for the face of all voices."""
    fps: Fraction
    """Of the clip."""
    frames: int = 0

    @property
    def video(self) -> Path:
        return self.folder / "video.mp4"

    @property
    def audio(self) -> Path:
        return self.folder / "audio.wav"

    @property
    def result(self) -> Path:
        return self.folder / "result.mp4"


@dataclass
class _Made:
    """What the program made of a part, read in step with the clip."""

    part: _Part
    picture: Picture
    frames: Iterator[bytes]
    _at: int = -1

    def lay(self, planes: Planes, index: int, amount: float) -> None:
        """Mix frame `index` into the clip's."""
        while self._at < index:
            raw = next(self.frames)
            self._at += 1
        self.part.square.lay(planes, planes_of(raw, self.picture), amount)


@dataclass
class _Cast:
    """Lays what the program made over the frames in which somebody speaks."""

    made: Sequence[_Made]
    unseen: dict[str, int] = field(default_factory=dict)

    def speak(self, planes: Planes, index: int, talking: Mapping[str, Talk]) -> None:
        for each in self.made:
            speakers = each.part.speakers
            mine = [talk.speaking for who, talk in talking.items() if speakers is None or who in speakers]
            if mine:
                each.lay(planes, index, max(mine))
        for who in talking:
            if not any(each.part.speakers is None or who in each.part.speakers for each in self.made):
                self.unseen[who] = self.unseen.get(who, 0) + 1

    def warnings(self) -> tuple[str, ...]:
        return told(self.unseen)


def _cut(
    recipe: LipsyncRecipe, room: Room, voices: Voices, tracks: Mapping[str, list[Mouth]] | None
) -> list[_Part]:
    """The parts, with their videos written. Raises MediaUnreadable, EngineUnable for a rate that voices cannot get."""
    with footage(room.fetch(recipe.clip), recipe, voices) as (picture, frames, _), ExitStack() as stack:
        if not _SLOWEST <= picture.fps <= _FASTEST:
            raise EngineUnable(engine="latentsync", what="lip-sync", detail=f"the clip has {picture.fps} frames a "
                               "second", remedy=f"send a clip of {_SLOWEST} to {_FASTEST} frames a second")
        parts = list(_parts(picture, room, voices, tracks))
        pipes = []
        for part in parts:
            part.folder.mkdir()
            small = Picture(part.square.side, part.square.side, Fraction(process.RATE))
            pipes.append(stack.enter_context(writer(encode_command(small, _CRF, part.video, "cut out a face"))))
        count = 0
        for raw in frames:
            planes = planes_of(raw, picture)
            for part, pipe in zip(parts, pipes, strict=True):
                for who in part.speakers or ():
                    mouth_in((tracks or {})[who], count)      # a track that ends too early is refused
                pipe.write(part.square.cut(planes))
            count += 1
    return [replace(part, frames=count) for part in parts]


def _parts(
    picture: Picture, room: Room, voices: Voices, tracks: Mapping[str, list[Mouth]] | None
) -> Iterator[_Part]:
    if tracks is None:
        yield _Part(room.path("everyone"), whole(picture.width, picture.height), None, picture.fps)
        return
    for n, who in enumerate(voices.speakers):
        if tracks.get(who):
            yield _Part(room.path(f"speaker-{n}"), around(tracks[who]), frozenset((who,)), picture.fps)


def _write_voices(placed: Sequence[PlacedVoice], part: _Part, room: Room) -> None:
    """The voices of a part at their moments, as much faster as its frames are."""
    length = round((part.frames + _LATE) / part.fps * RATE)
    sound = np.zeros(length)
    for voice in placed:
        samples, start = samples_of(room.fetch(voice.audio)), round(voice.start * RATE)
        samples, start = samples[max(-start, 0) :], max(start, 0)
        end = min(start + len(samples), length)
        if end > start:
            sound[start:end] += samples[: end - start]
    plain = part.folder / "voices.wav"
    with wave.open(str(plain), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    played, end = round(RATE * process.RATE / part.fps), round(Fraction(part.frames + _LATE, process.RATE) * RATE)
    quicker = f"asetrate={played},aresample={RATE}"   # pitch goes along: atempo keeps it, but moves sounds by 30 ms
    run_ffmpeg(Command(
        arguments=("-i", str(plain), "-af", f"{quicker},apad=whole_len={end},atrim=end_sample={end}", str(part.audio)),
        what="bring voices to the rate of LatentSync",
    ))


def _later(room: Room, start: float, end: float) -> Room:
    """The same room for a stretch of the work."""
    return replace(room, progress=lambda share, what: room.progress(start + (end - start) * share, what))
