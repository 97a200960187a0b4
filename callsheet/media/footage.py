"""What a clip from anywhere is, as far as joining it to others depends on it: read, not guessed from its name.

Decodes the first picture and walks all packets, so that cut-off files and uneven frames are found before anything
is made. What is done about it is joining.py's matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from callsheet.errors import FileMissing, FileUnreadable, MediaError, MediaUnreadable
from callsheet.media.encode import BT709, HD_HEIGHT, UNTAGGED
from callsheet.media.packets import PacketTable, timetable
from callsheet.media.probe import ONLY_FILES

STANDARD_RATES = (
    Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(48), Fraction(50),
    Fraction(60000, 1001), Fraction(60), Fraction(100), Fraction(120000, 1001), Fraction(120),
)
_SAME_RATE = Fraction(2, 10_000)
"""Closer than any two standard rates: what is left of a rate by a clock of milliseconds."""


@dataclass(frozen=True)
class Footage:
    """A clip or still. Sizes in pixels, rates in frames a second."""

    path: Path
    name: str
    """What errors and reasons call it, such as `clip 2 (beach.mp4)`."""
    size: tuple[int, int]
    """As coded."""
    shown: tuple[int, int]
    """As it is to be seen: upright, with square pixels, both even."""
    rate: Fraction
    """0 for a still; for uneven frames the standard rate next to their average."""
    frames: int
    seconds: Fraction
    """0 for a still."""
    pixel_format: str
    pixels: Fraction
    """Shape of a pixel, width by height."""
    rotation: int
    """Degrees."""
    matrix: int
    """H.273 code point of its colour matrix, BT709 for what is untagged and high definition."""
    table: PacketTable | None
    """None unless its frames are evenly 1/rate apart."""
    channels: int
    """Of its sound; 0 without."""
    sound_skip: float
    """Seconds of the file before its first picture is shown."""

    @property
    def still(self) -> bool:
        return not self.rate

    def misfit(self, size: tuple[int, int], fps: Fraction) -> str:
        """Why it has to be conformed before it can be joined at that size and rate; empty when it need not be."""
        return (
            "is a still picture" if self.still
            else f"is turned by {self.rotation % 360} degrees" if self.rotation % 360
            else "has pixels that are not square" if self.pixels != 1
            else f"is {self.size[0]}x{self.size[1]}" if self.size != size
            else f"is {self.pixel_format}" if self.pixel_format != "yuv420p"
            else "has uneven frames" if self.table is None
            else f"has {rate_word(self.rate)} frames a second" if self.rate != fps
            else ""
        )


def rate_word(rate: Fraction) -> str:
    """A rate as people write it: 29.97 for 30000/1001."""
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")


def look_at(path: Path, name: str) -> Footage:
    """Read a file. Raises FileMissing, FileUnreadable, MediaUnreadable."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        raise FileMissing(path=path, what=name, remedy="check the path") from None
    except OSError as error:
        raise FileUnreadable(path=path, detail=error.strerror or "not readable") from error
    try:
        with av.open(str(path), options=dict(ONLY_FILES)) as container:
            if not container.streams.video:
                raise MediaUnreadable(path=name, kind="a clip or picture", detail="it has no pictures")
            return _footage(path, name, container, container.streams.video[0])
    except StopIteration:
        raise MediaUnreadable(path=name, kind="a clip or picture", detail="it has no pictures") from None
    except (FFmpegError, OSError, ValueError) as error:
        raise MediaUnreadable(path=name, kind="a clip or picture", detail=str(error)[:200]) from error


def _footage(path: Path, name: str, container: InputContainer, stream: VideoStream) -> Footage:
    frame = next(container.decode(stream))
    still = container.format.name.endswith("_pipe") or container.format.name == "image2"
    pixels = stream.sample_aspect_ratio or Fraction(1)
    pixels = pixels if pixels > 0 else Fraction(1)
    rate, table = (Fraction(0), None) if still else _pace(path, name, stream)
    frames, seconds = (table.frames, table.frames / rate) if table else (1, Fraction(0))
    if not still and table is None:
        frames, seconds = _uneven(path, name)
        average = Fraction(frames) / (seconds or Fraction(1))
        rate = min(STANDARD_RATES, key=lambda standard: abs(standard - average))
    sound = container.streams.audio[0] if container.streams.audio else None
    begins = float((stream.start_time or 0) * (stream.time_base or 0)) - (container.start_time or 0) / av.time_base
    return Footage(
        path=path, name=name, size=(frame.width, frame.height), shown=_shown(frame, pixels), rate=rate, frames=frames,
        seconds=seconds, pixel_format=frame.format.name, pixels=pixels, rotation=frame.rotation,
        matrix=_matrix(frame), table=table, channels=sound.codec_context.channels if sound else 0,
        sound_skip=0.0 if still else max(0.0, begins),
    )


def _shown(frame: VideoFrame, pixels: Fraction) -> tuple[int, int]:
    width, height = max(2, round(frame.width * pixels) // 2 * 2), max(2, frame.height // 2 * 2)
    return (height, width) if frame.rotation % 180 else (width, height)


def _matrix(frame: VideoFrame) -> int:
    """What players take it for: untagged pictures are bt709 from high definition on."""
    code = int(frame.colorspace)
    return BT709 if code == UNTAGGED and min(frame.width, frame.height) >= HD_HEIGHT else code


def _pace(path: Path, name: str, stream: VideoStream) -> tuple[Fraction, PacketTable | None]:
    """The rate at which its frames are even, and their table; 0 and None when there is none."""
    told = [Fraction(rate) for rate in (stream.guessed_rate, stream.average_rate) if rate]
    for rate in dict.fromkeys(_snapped(told)):
        try:
            return rate, timetable(path, rate, name)
        except MediaError:                            # not at this rate
            continue
    return Fraction(0), None


def _snapped(rates: Iterable[Fraction]) -> list[Fraction]:
    """Each as the standard rate it is meant to be, where there is one; only what a recipe can have."""
    near = (next((s for s in STANDARD_RATES if abs(rate / s - 1) < _SAME_RATE), rate) for rate in rates)
    return [rate.limit_denominator(1001) for rate in near if 1 <= rate <= 120]


def _uneven(path: Path, name: str) -> tuple[int, Fraction]:
    """Frames and seconds from the packets' own times. Raises MediaUnreadable for a file that was cut off."""
    with av.open(str(path), options=dict(ONLY_FILES)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        first, last, count = None, 0, 0
        for packet in container.demux(stream):
            if packet.pts is None:
                continue
            count += 1
            if not packet.is_discard:
                first = packet.pts if first is None else min(first, packet.pts)
                last = max(last, packet.pts + (packet.duration or 0))
        if first is None or stream.frames > count:
            raise MediaUnreadable(path=name, kind="a clip", detail=f"it ends after {count} of {stream.frames} frames")
        return count, (last - first) * stream.time_base
