"""A video from anywhere as a reel: its pictures alone in an MP4, copied where that can be, else encoded once.

Covers the choice and why it was made, the captions that are burned on the way, and where the video's own sound
lies against its pictures. What is in a container that conform does not open (AVI, MPEG-TS, FLV and the like) is
copied into another first.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from callsheet.errors import InputError, MediaError, MediaUnreadable
from callsheet.media.conform import conform
from callsheet.media.ffmpeg import HOSTILE_INPUT, MAX_PIXELS, Command, local_input, run
from callsheet.media.footage import Footage, look_at
from callsheet.media.probe import ONLY_FILES, probe
from callsheet.models import Cue
from callsheet.presets import ENCODE, Quality
from callsheet.recipe import Ref, Stage
from callsheet.recipes import ConformRecipe, EncodeSettings
from callsheet.store.base import Progress, Room

OTHER_CONTAINERS = "avi,mpegts,mpeg,flv,asf,mxf,dv,rm,nut"
"""What is opened only to be copied: no playlists, nothing that names other files, no streams without times."""

MAX_SECONDS = 4 * 3600
_NARROWEST = 16


@dataclass(frozen=True)
class Source:
    """A video as it can be worked with."""

    path: Path
    """The file itself, or what its streams were copied into."""
    footage: Footage
    codec: str
    sound_offset: float | None
    """Seconds from its first picture to its first sound; None when it has no sound."""


@dataclass(frozen=True)
class Rewrapped:
    """Pictures alone, in an MP4."""

    path: Path
    seconds: float
    copied: bool
    why: str
    warnings: tuple[str, ...] = ()


def open_video(path: Path, folder: Path) -> Source:
    """Look at a video; `folder` takes a copy of its streams where one is needed.

    Raises FileMissing, FileUnreadable, MediaUnreadable for what is none, InputError for a still or an endless one.
    """
    usable = path.absolute()
    try:
        footage = look_at(path, path.name)
    except MediaUnreadable:
        copied = _copied(path, folder)
        if copied is None:
            raise
        usable, footage = copied, look_at(copied, path.name)
    if footage.still:
        raise InputError(detail=f"{path} is a still picture", remedy="name a video; `callsheet splice` shows stills")
    if footage.seconds > MAX_SECONDS:
        raise InputError(detail=f"{path} is longer than {MAX_SECONDS // 3600} hours", remedy="cut it into parts")
    return Source(usable, footage, probe(usable).video_codec, _sound_offset(usable))


def streams_command(path: Path, out: Path) -> Command:
    """Copy first video and first sound of another container."""
    limits = ("-protocol_whitelist", "file,pipe", "-format_whitelist", OTHER_CONTAINERS, "-max_pixels", str(MAX_PIXELS))
    return Command(
        (*limits, "-fflags", "+genpts", "-i", local_input(path), "-map", "0:v:0", "-map", "0:a:0?", "-c", "copy",
         local_input(out)),
        what=f"copy the streams of {path.name}",
    )


def reel_command(path: Path, out: Path) -> Command:
    """Copy the pictures of a video into an MP4 of their own."""
    return Command(
        (*HOSTILE_INPUT, "-i", local_input(path), "-map", "0:v:0", "-c", "copy", "-map_metadata", "-1",
         "-map_chapters", "-1", "-f", "mp4", local_input(out)),
        what=f"copy the pictures of {path.name}",
    )


def rewrap(source: Source, burn: tuple[Cue, ...], folder: Path, progress: Progress) -> Rewrapped:
    """The pictures of a video; `burn` is drawn into them. Raises MediaError."""
    why = "captions are drawn into the pictures" if burn else ""
    if source.codec != "h264":
        why = f"they are {source.codec}, not H.264" + (f", and {why}" if why else "")
    if not why:
        progress(0.0, "copying the pictures")
        copied = folder / "pictures.mp4"
        try:
            run(reel_command(source.path, copied))
            facts = probe(copied)
            if facts.frames == source.footage.frames and facts.duration > 0:
                return Rewrapped(copied, facts.duration, True, "they are H.264, which an MP4 can hold")
            why = f"only {facts.frames} of {source.footage.frames} frames could be copied into an MP4"
        except MediaError as error:
            why = f"an MP4 cannot hold them as they are ({error.facts['detail']})"
    return _encoded(source, burn, folder, why, progress)


def _copied(path: Path, folder: Path) -> Path | None:
    """The streams in a container that is allowed; MP4 where it holds them, as Matroska's clock is a coarse one."""
    for out in (folder / "streams.mp4", folder / "streams.mkv"):
        try:
            run(streams_command(path, out))
        except MediaError:
            continue
        return out
    return None


def _encoded(source: Source, burn: tuple[Cue, ...], folder: Path, why: str, progress: Progress) -> Rewrapped:
    footage, profile = source.footage, ENCODE[Quality.HIGH]
    rate = footage.rate if footage.rate >= 1 else Fraction(25)
    frames = footage.frames if footage.table is not None else max(1, round(footage.seconds * rate))
    recipe = ConformRecipe(
        label=footage.name, clip=Ref(stage=Stage.INTAKE, fingerprint="0" * 64), fps=rate, frames=frames,
        width=max(_NARROWEST, footage.shown[0]), height=max(_NARROWEST, footage.shown[1]),
        encode=EncodeSettings(crf=profile.crf, preset=profile.preset), cues=burn,
    )
    room = folder / "conform"
    room.mkdir()
    progress(0.0, "encoding the pictures")
    made = conform(recipe, Room(room, lambda _: source.path, lambda _: {}, progress))
    return Rewrapped(made.files["main"], float(frames / rate), False, why, made.warnings)


def _sound_offset(path: Path) -> float | None:
    with av.open(str(path.absolute()), options=dict(ONLY_FILES)) as container:
        if not container.streams.audio:
            return None
        video, sound = container.streams.video[0], container.streams.audio[0]
        begins = [float((stream.start_time or 0) * (stream.time_base or 0)) for stream in (video, sound)]
        return begins[1] - begins[0]
