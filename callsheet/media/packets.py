"""H.264 packets of MP4 clips: what they say without decoding, and copying them frame by frame number.

A clip may be cut where an IDR frame shows that nothing before it is shown after it (a closed GOP). A key frame
that is no IDR does not do: what follows it may still refer to what came before. Packets are streamed, so memory
stays flat however long a clip is. Encodes nothing and looks at no pixel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from callsheet.errors import MediaError
from callsheet.media.encode import ticks, timescale
from callsheet.media.probe import ONLY_FILES

VideoPacket: TypeAlias = "Packet[VideoStream]"

_REMEDY = "conform every clip of a film with the same size, rate and encode settings"
_IDR, _SPS, _PPS, _SPS_EXTENSION = 5, 7, 8, 13
_PICTURES = range(1, 6)


@dataclass(frozen=True)
class PacketTable:
    """What the packets of a clip say. Frames count from 0 in the order they are shown, 1/fps apart."""

    frames: int
    cuts: frozenset[int]
    """Frames before which the clip may be cut: IDR frames of closed GOPs, and the end."""
    delay: int
    """Frames between decoding and showing; 0 without B-frames."""
    even: bool
    """Whether decoding times go up by exactly one frame from packet to packet, and the first is shown at 0."""
    avcc: str
    """sha256 of the parameter sets (avcC), as hex. Clips with equal ones can share a track. Empty where packets
    cannot be copied at all; `obstacle` says why."""
    obstacle: str
    width: int
    height: int
    colour: tuple[int, int, int]
    """Primaries, transfer and matrix as H.273 code points."""


def inspect(path: Path, fps: Fraction, name: str) -> PacketTable:
    """Read the whole packet table of a clip whose packets are to be copied. `name` is what errors call it.

    Raises MediaError when it is no H.264 in MP4 order, or its frames are not evenly `1/fps` apart.
    """
    table = timetable(path, fps, name)
    if table.obstacle:
        raise _refused(name, table.obstacle)
    return table


def timetable(path: Path, fps: Fraction, name: str) -> PacketTable:
    """As inspect, for any codec: what cannot be copied has an obstacle. Raises MediaError for uneven frames."""
    with _opened(path, name) as (container, stream):
        context, clock = stream.codec_context, _clock(stream, fps)
        sets = context.extradata or b""
        h264 = not _no_source(container, stream)
        cuts: set[int] = set()
        early: set[int] = set()                       # decoded, but an earlier frame is still to come
        next_shown = count = delay = 0
        even, first_dts, in_band = True, 0, False
        for count, (shown, packet) in enumerate(_walk(container, stream, fps, name), start=1):
            decoded = count - 1
            dts = (packet.dts or 0) * clock.numerator      # in frames times the denominator
            if decoded == 0:
                first_dts, even = dts, packet.pts == 0 and dts % clock.denominator == 0
                delay = max(0, -dts // clock.denominator)
            even = even and dts == first_dts + decoded * clock.denominator
            delay = max(delay, decoded - shown)
            units = _units(packet, sets) if h264 else frozenset()
            in_band = in_band or not units.isdisjoint((_SPS, _PPS, _SPS_EXTENSION))
            if units.intersection(_PICTURES) == {_IDR} and shown == decoded == next_shown and not early:
                cuts.add(shown)
            early.add(shown)
            while next_shown in early:
                early.remove(next_shown)
                next_shown += 1
        if stream.frames > count:                     # the index promises more: the file was cut off
            raise _refused(name, f"ends after {count} of its {stream.frames} frames")
        if early or next_shown != count or count == 0:
            raise _refused(name, f"shows {next_shown} frames in a row but holds {count}")
        obstacle = (
            _no_source(container, stream)
            or ("carries parameter sets among its pictures" if in_band else "")
            or ("does not begin with an IDR frame" if 0 not in cuts else "")
        )
        return PacketTable(
            frames=count, cuts=frozenset({0, count} if obstacle else {*cuts, count}), delay=delay, even=even,
            avcc="" if obstacle else hashlib.sha256(sets).hexdigest(), obstacle=obstacle,
            width=stream.width, height=stream.height,
            colour=(int(context.color_primaries), int(context.color_trc), int(context.colorspace)),
        )


def _no_source(container: InputContainer, stream: VideoStream) -> str:
    """Why no packet can be copied out of it, whatever is in them; empty for H.264 in MP4."""
    context, sets = stream.codec_context, stream.codec_context.extradata or b""
    return (
        f"is {context.name}, not H.264" if context.name != "h264"
        else "is H.264 in another container: packets are copied from MP4 only" if "mp4" not in container.format.name
        else "has no parameter sets in its header" if sets[:1] != b"\1" or len(sets) <= 6
        else ""
    )


def _units(packet: VideoPacket, avcc: bytes) -> frozenset[int]:
    """The types of a packet's NAL units, each of which follows its length (ISO 14496-15)."""
    data, width, at, types = memoryview(packet), (avcc[4] & 3) + 1, 0, set()
    while at + width < len(data):
        types.add(data[at + width] & 31)
        at += width + int.from_bytes(data[at : at + width], "big")
    return frozenset(types)


class Copier:
    """An MP4 under way, with one video track. Each piece copied goes on where the last one ended."""

    def __init__(self, container: OutputContainer, stream: VideoStream, fps: Fraction, delay: int) -> None:
        self._container = container
        self._stream = stream
        self._fps = fps
        self._delay = delay
        self._tick, self._ticks = Fraction(1, timescale(fps)), ticks(fps)
        self.frames = 0
        """Frames written so far."""

    def copy(self, path: Path, first: int, end: int, name: str) -> None:
        """Append frames `first` to `end` (excluded) of a clip; it may be cut at both. Raises MediaError."""
        if first >= end:
            return
        start = self.frames
        with _opened(path, name) as (container, stream), closing(_walk(container, stream, self._fps, name)) as walk:
            for decoded, (shown, packet) in enumerate(walk):
                if decoded < first:
                    continue
                if decoded >= end:
                    break
                self._write(packet, start + shown - first, name)
        if self.frames != start + end - first:
            raise _refused(name, f"ends before its frame {end}")

    def _write(self, packet: VideoPacket, shown: int, name: str) -> None:
        step = self._ticks
        dts = self.frames - self._delay
        if dts > shown:
            raise _refused(name, f"shows its frames later than the reel's delay of {self._delay} frames allows")
        packet.stream = self._stream
        packet.time_base = self._tick
        packet.pts, packet.dts, packet.duration = shown * step, dts * step, step
        try:
            self._container.mux(packet)
        except (FFmpegError, OSError) as error:       # not the clip's fault, so it must not read like one
            raise _unwritten(error) from error
        self.frames += 1


@contextmanager
def copier(target: Path, template: Path, fps: Fraction, delay: int) -> Iterator[Copier]:
    """Write an MP4 whose track has the template's parameter sets; its index comes first (faststart).

    `delay` is the greatest of the clips to be copied, in frames. Raises MediaError.
    """
    options = {"movflags": "+faststart", "fflags": "+bitexact", "video_track_timescale": str(timescale(fps))}
    try:
        with av.open(str(target), "w", format="mp4", options=options) as container:
            with _opened(template, template.name) as (_, source):
                stream = container.add_stream_from_template(source)
            stream.time_base = Fraction(1, timescale(fps))
            yield Copier(container, stream, fps, delay)
    except (FFmpegError, OSError) as error:
        raise _unwritten(error) from error


@contextmanager
def _opened(path: Path, name: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        with av.open(str(path), options=dict(ONLY_FILES)) as container:
            if not container.streams.video:
                raise _refused(name, "has no pictures")
            yield container, container.streams.video[0]
    except (FFmpegError, OSError, ValueError) as error:
        raise _refused(name, f"cannot be read: {str(error)[:200]}") from error


def _walk(
    container: InputContainer, stream: VideoStream, fps: Fraction, name: str
) -> Generator[tuple[int, VideoPacket], None, None]:
    """Packets in decoding order, each with the index of the frame it shows. A clock may be a tick off."""
    zero: int | None = None
    clock = _clock(stream, fps)                        # whole numbers below: a film has a hundred thousand packets
    tick, frame = clock.numerator, clock.denominator
    for packet in container.demux(stream):
        if packet.pts is None:                        # the empty one at the end
            continue
        if packet.is_discard:
            raise _refused(name, "has frames that its edit list hides")
        zero = packet.pts if zero is None else zero
        shown, rest = divmod((packet.pts - zero) * tick + frame // 2, frame)
        off = abs(rest - frame // 2)
        if off > tick or (off and 4 * tick > frame):
            seconds = float((packet.pts - zero) * clock / fps)
            raise _refused(name, f"has a frame at {seconds:.6f} s, which is none of {fps} a second")
        yield shown, packet


def _clock(stream: VideoStream, fps: Fraction) -> Fraction:
    """What a tick of the stream's clock is, in frames."""
    assert stream.time_base is not None
    return stream.time_base * fps


def _unwritten(error: Exception) -> MediaError:
    return MediaError(what="write the copied packets", detail=str(error)[:200])


def _refused(name: str, detail: str) -> MediaError:
    return MediaError(what="copy clips into one reel", detail=f"{name} {detail}", remedy=_REMEDY)
