"""What a clip from anywhere is, as far as joining it to others depends on it: read, not guessed from its name.

Decodes the first picture and walks all packets, so that cut-off files and uneven frames are found before anything
is made. What is done about it is joining.py's matter.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from callsheet.errors import FileMissing, FileUnreadable, InputError, MediaError, MediaUnreadable
from callsheet.media.encode import BT709, HD_HEIGHT, UNTAGGED
from callsheet.media.ffmpeg import MAX_PIXELS
from callsheet.media.packets import PacketTable, timetable
from callsheet.media.probe import ONLY_FILES
from callsheet.media.upright import full_range, mirrored

STANDARD_RATES = (
    Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(48), Fraction(50),
    Fraction(60000, 1001), Fraction(60), Fraction(100), Fraction(120000, 1001), Fraction(120),
)
_SAME_RATE = Fraction(2, 10_000)
"""Closer than any two standard rates: what is left of a rate by a clock of milliseconds."""

FORMATS = "mp4, mov, mkv, webm, png, jpg, webp"
"""What people call the formats that are read."""

_CURVES = {16: "PQ", 18: "HLG"}
"""Transfer functions of high dynamic range, by their H.273 code points."""
_UNCOUNTABLE = 1000
"""A rate beyond is the clock's, not that of any frames."""


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
    """0 for a still; without a table the rate that a film can have next to their average."""
    frames: int
    """Those that its edit list hides are counted."""
    seconds: Fraction
    """0 for a still."""
    pixel_format: str
    pixels: Fraction
    """Shape of a pixel, width by height."""
    rotation: int
    """Degrees."""
    matrix: int
    """H.273 code point of its colour matrix, BT709 for what is untagged and high definition."""
    full_range: bool
    """Whether its black is 0, not 16."""
    high_range: str
    """PQ or HLG, where it is of high dynamic range."""
    mirrored: bool
    """Whether it is to be mirrored, whatever its rotation."""
    table: PacketTable | None
    """None unless its frames are evenly 1/rate apart, and all are shown."""
    unpaced: str
    """Why there is no table; empty where there is one, and for a still."""
    channels: int
    """Of its sound; 0 without."""
    sound_skip: float
    """Seconds of the file before its first picture is shown."""

    @property
    def still(self) -> bool:
        return not self.rate

    @property
    def foreign_colour(self) -> bool:
        """Whether its colours have to be converted where it is encoded."""
        return self.matrix != BT709 or self.full_range

    def misfit(self, size: tuple[int, int], fps: Fraction) -> str:
        """Why it has to be conformed before it can be joined at that size and rate; empty when it need not be."""
        return (
            "is a still picture" if self.still
            else "is mirrored" if self.mirrored
            else f"is turned by {self.rotation % 360} degrees" if self.rotation % 360
            else "has pixels that are not square" if self.pixels != 1
            else f"is {self.size[0]}x{self.size[1]}" if self.size != size
            else f"is {self.pixel_format}" if self.pixel_format != "yuv420p"
            else self.unpaced if self.unpaced
            else f"has {rate_word(self.rate)} frames a second" if self.rate != fps
            else ""
        )


def rate_word(rate: Fraction) -> str:
    """A rate as people write it: 29.97 for 30000/1001."""
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")


def look_at(path: Path, name: str) -> Footage:
    """Read a file. Raises FileMissing, FileUnreadable, MediaUnreadable, and InputError for a name that is no text."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(detail=f"the name of {name} is not UTF-8", remedy="rename it") from None
    try:
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        raise FileMissing(path=path, what=name, remedy="check the path") from None
    except OSError as error:
        raise FileUnreadable(path=path, detail=error.strerror or "not readable") from error
    try:
        with av.open(str(path.absolute()), options=dict(ONLY_FILES)) as container:
            stream = container.streams.video[0] if container.streams.video else None
            if stream is None or av.stream.Disposition.attached_pic in stream.disposition:
                detail = "it has no moving picture, only a cover" if stream else "it has no pictures"
                raise MediaUnreadable(path=name, kind="a clip or picture", detail=detail)
            if stream.codec_context is None:
                raise MediaUnreadable(path=name, kind="a clip or picture", detail="its codec is an unknown one")
            if stream.width * stream.height > MAX_PIXELS:
                detail = f"{stream.width}x{stream.height} is more than {MAX_PIXELS / 1e6:.0f} million pixels"
                raise MediaUnreadable(path=name, kind="a clip or picture", detail=detail)
            return _footage(path, name, container, stream)
    except StopIteration:
        raise MediaUnreadable(path=name, kind="a clip or picture", detail="it has no pictures") from None
    except (FFmpegError, OSError, ValueError) as error:
        unlisted = getattr(error, "errno", 0) == errno.EINVAL
        words = f"its format is not one of {FORMATS}" if unlisted else getattr(error, "strerror", "") or str(error)
        raise MediaUnreadable(path=name, kind="a clip or picture", detail=words[:200]) from error


def _footage(path: Path, name: str, container: InputContainer, stream: VideoStream) -> Footage:
    frame = next(container.decode(stream))
    still = container.format.name.endswith("_pipe") or container.format.name == "image2"
    pixels = stream.sample_aspect_ratio or Fraction(1)
    pixels = pixels if pixels > 0 else Fraction(1)
    pace = _Pace(Fraction(0), 1, Fraction(0)) if still else _pace(path, name, stream)
    sound = container.streams.audio[0] if container.streams.audio else None
    begins = float((stream.start_time or 0) * (stream.time_base or 0)) - (container.start_time or 0) / av.time_base
    return Footage(
        path=path, name=name, size=(frame.width, frame.height), shown=_shown(frame, pixels), rate=pace.rate,
        frames=pace.frames, seconds=pace.seconds, table=pace.table, unpaced=pace.unpaced,
        pixel_format=frame.format.name, pixels=pixels, rotation=frame.rotation,
        matrix=_matrix(frame), full_range=full_range(frame), high_range=_CURVES.get(int(frame.color_trc), ""),
        mirrored=not still and mirrored(frame), channels=sound.codec_context.channels if sound else 0,
        sound_skip=0.0 if still else max(0.0, begins),
    )


def _shown(frame: VideoFrame, pixels: Fraction) -> tuple[int, int]:
    width, height = max(2, round(frame.width * pixels) // 2 * 2), max(2, frame.height // 2 * 2)
    return (height, width) if frame.rotation % 180 else (width, height)


def _matrix(frame: VideoFrame) -> int:
    """What players take it for: untagged pictures are bt709 from high definition on."""
    code = int(frame.colorspace)
    return BT709 if code == UNTAGGED and min(frame.width, frame.height) >= HD_HEIGHT else code


@dataclass(frozen=True)
class _Pace:
    """How its frames follow each other, as in Footage."""

    rate: Fraction
    frames: int
    seconds: Fraction
    table: PacketTable | None = None
    unpaced: str = ""


def _pace(path: Path, name: str, stream: VideoStream) -> _Pace:
    """Raises MediaUnreadable for a file that was cut off."""
    told = _snapped(Fraction(rate) for rate in (stream.guessed_rate, stream.average_rate) if rate)
    for rate in dict.fromkeys(told):
        try:
            table = timetable(path.absolute(), rate, name)
        except MediaError:                            # not at this rate
            continue
        seconds = table.frames / rate
        if 1 <= rate <= 120:
            return _Pace(rate, table.frames, seconds, table)
        why = f"has {rate_word(rate)} frames a second, which no film can have"
        return _Pace(_nearest(rate, STANDARD_RATES), table.frames, seconds, unpaced=why)
    frames, shown, seconds = _uneven(path, name)
    rates = *STANDARD_RATES, *(rate for rate in told[:1] if 1 <= rate <= 120)
    why = "has frames that its edit list hides" if shown < frames else "has uneven frames"
    return _Pace(_nearest(Fraction(shown) / (seconds or Fraction(1)), rates), frames, seconds, unpaced=why)


def _nearest(average: Fraction, rates: Iterable[Fraction]) -> Fraction:
    return min(rates, key=lambda rate: abs(rate - average))


def _snapped(rates: Iterable[Fraction]) -> list[Fraction]:
    """Each as the standard rate it is meant to be, where there is one."""
    near = (next((s for s in STANDARD_RATES if abs(rate / s - 1) < _SAME_RATE), rate) for rate in rates)
    return [rate.limit_denominator(1001) for rate in near if 0 < rate <= _UNCOUNTABLE]


def _uneven(path: Path, name: str) -> tuple[int, int, Fraction]:
    """Frames, those that are shown, and seconds, from the packets' own times. Raises MediaUnreadable as _pace."""
    with av.open(str(path.absolute()), options=dict(ONLY_FILES)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        first, last, count, shown = None, 0, 0, 0
        for packet in container.demux(stream):
            if packet.pts is None:
                continue
            count += 1
            if not packet.is_discard:
                shown += 1
                first = packet.pts if first is None else min(first, packet.pts)
                last = max(last, packet.pts + (packet.duration or 0))
        if first is None or stream.frames > count:
            raise MediaUnreadable(path=name, kind="a clip", detail=f"it ends after {count} of {stream.frames} frames")
        return count, shown, (last - first) * stream.time_base
