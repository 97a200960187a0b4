"""Facts about media files, read with PyAV (no ffprobe needed)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
from av.error import FFmpegError

from callsheet.errors import MediaUnreadable
from callsheet.media.ffmpeg import HOSTILE_INPUT

ONLY_FILES: Mapping[str, str] = MappingProxyType(dict(zip(
    (name.removeprefix("-") for name in HOSTILE_INPUT[:4:2]), HOSTILE_INPUT[1:4:2], strict=True,
)))
"""PyAV's options for a stranger's file: the protocols and formats of HOSTILE_INPUT, so that no playlist is followed."""


@dataclass(frozen=True)
class Facts:
    """What a file holds. Durations in seconds, sizes in pixels, rates as Fractions."""

    duration: float
    width: int = 0
    height: int = 0
    fps: Fraction = Fraction(0)
    frames: int = 0
    """Counted packets of the video stream; 0 without video."""
    video_codec: str = ""
    pixel_format: str = ""
    audio_codec: str = ""
    sample_rate: int = 0
    channels: int = 0
    audio_duration: float = 0.0
    """Of the sound alone; 0 where a file with pictures does not say how long its sound is."""
    subtitle_codecs: tuple[str, ...] = ()

    @property
    def has_video(self) -> bool:
        return bool(self.video_codec)

    @property
    def has_audio(self) -> bool:
        return bool(self.audio_codec)


def probe(path: Path, strange: bool = False) -> Facts:
    """Inspect a media file without decoding it; a `strange` one only as one of ONLY_FILES. Raises MediaUnreadable."""
    try:
        with av.open(str(path.absolute()), options=dict(ONLY_FILES) if strange else {}) as container:
            return _facts(container)
    except (FFmpegError, OSError, ValueError) as error:
        raise MediaUnreadable(path=path.name, kind="media", detail=str(error)[:200]) from error


def _facts(container: av.container.InputContainer) -> Facts:
    video = container.streams.video[0] if container.streams.video else None
    audio = container.streams.audio[0] if container.streams.audio else None
    whole = float(container.duration / av.time_base) if container.duration else 0.0
    video_seconds = float(video.duration * video.time_base) if video and video.duration and video.time_base else 0.0
    audio_seconds = _sound_seconds(audio, 0.0 if video else whole) if audio else 0.0
    frames = sum(1 for packet in container.demux(video) if packet.size) if video else 0
    return Facts(
        duration=video_seconds or whole or audio_seconds,
        width=video.width if video else 0,
        height=video.height if video else 0,
        fps=Fraction(video.average_rate or 0) if video else Fraction(0),
        frames=frames,
        video_codec=video.codec_context.name if video else "",
        pixel_format=(video.codec_context.pix_fmt or "") if video else "",
        audio_codec=audio.codec_context.name if audio else "",
        sample_rate=audio.codec_context.sample_rate if audio else 0,
        channels=audio.codec_context.channels if audio else 0,
        audio_duration=audio_seconds,
        subtitle_codecs=tuple(s.codec_context.name for s in container.streams.subtitles),
    )


def _sound_seconds(sound: av.AudioStream, otherwise: float) -> float:
    """How long a sound lasts by its header; Matroska has no length a stream, but often a tag with where it ends."""
    base = sound.time_base or Fraction(0)
    if sound.duration:
        return float(sound.duration * base)
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", sound.metadata.get("DURATION", "").strip())
    if tag is None:
        return otherwise
    return max(0.0, int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]) - float((sound.start_time or 0) * base))
