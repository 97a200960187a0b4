"""The clips' own sound under their reel: each at its place, cross-faded where pictures are mixed, silence where a
clip has none.

Streams from decoder to encoder, so that memory does not grow with the film. The pictures are copied. Levels are
left as they are; loudness is mix's matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np

from callsheet.media.encode import timescale
from callsheet.media.ffmpeg import HOSTILE_INPUT, Command, local_input, reader, writer
from callsheet.media.sound import RATE, Samples

AAC_KBIT = 192
_CHANNELS = 2
_BLOCK = RATE * 5


@dataclass(frozen=True)
class Heard:
    """The sound of a clip within the film, in samples."""

    path: Path
    name: str
    channels: int
    """0 for a clip without sound."""
    skip: float
    """Seconds of the file before its first picture."""
    first: int
    end: int


def places(lengths: Sequence[int], overlaps: Sequence[int], fps: Fraction) -> list[tuple[int, int]]:
    """First sample and end (excluded) of each clip of so many frames. Each is rounded by itself: nothing drifts."""
    found, frame = [], 0
    for length, overlap in zip(lengths, (*overlaps, 0), strict=True):
        found.append((round(frame / fps * RATE), round((frame + length) / fps * RATE)))
        frame += length - overlap
    return found


def decode_command(heard: Heard) -> Command:
    """Decode a clip's first sound to stereo floats on standard output, from when its first picture is shown.

    A sound that begins later than its picture begins with silence. Mono is the same in both channels; of more than
    two as much is mixed as cannot exceed full scale.
    """
    stereo = "pan=stereo|c0=c0|c1=c0" if heard.channels == 1 else "aformat=channel_layouts=stereo"
    mixed = ":out_chlayout=stereo:rematrix_maxval=1" if heard.channels > _CHANNELS else ""
    seconds = (heard.end - heard.first) / RATE
    chain = f"aresample={RATE}:async=1:first_pts=0{mixed},atrim=start={heard.skip:.6f},asetpts=PTS-STARTPTS,{stereo}"
    return Command(
        ("-xerror", *HOSTILE_INPUT, "-i", local_input(heard.path), "-map", "0:a:0", "-t", f"{seconds:.6f}",
         "-af", chain, "-ar", str(RATE), "-f", "f32le", "pipe:1"),
        what=f"decode the sound of {heard.name}",
    )


def sound_command(sound: Path) -> Command:
    """Encode stereo floats from standard input to AAC in an MP4."""
    return Command(
        ("-f", "f32le", "-ar", str(RATE), "-ac", str(_CHANNELS), "-i", "pipe:0", "-c:a", "aac", "-b:a", f"{AAC_KBIT}k",
         "-fflags", "+bitexact", "-flags:a", "+bitexact", "-f", "mp4", local_input(sound)),
        what="encode the sound",
    )


def film_command(reel: Path, sound: Path, film: Path, fps: Fraction) -> Command:
    """Copy pictures and sound into an MP4 that starts at once."""
    return Command(
        ("-i", local_input(reel), "-i", local_input(sound), "-map", "0:v:0", "-map", "1:a:0", "-c", "copy",
         "-video_track_timescale", str(timescale(fps)), "-map_metadata", "-1", "-map_chapters", "-1",
         "-fflags", "+bitexact", "-movflags", "+faststart", "-f", "mp4", local_input(film)),
        what="join pictures and sound",
    )


def write_sound(clips: Sequence[Heard], sound: Path) -> None:
    """Write the sound of the whole film. Raises MediaError for a clip whose sound is damaged."""
    with writer(sound_command(sound)) as pipe:
        for block in joined(clips):
            pipe.write(np.ascontiguousarray(block, "<f4").data)


def joined(clips: Sequence[Heard]) -> Iterator[Samples]:
    """All sound of the film in blocks of shape (n, 2), equal in power across each overlap. Raises MediaError."""
    before = np.zeros((0, _CHANNELS), np.float32)     # the end of the last clip, faded out, for the overlap
    for n, clip in enumerate(clips):
        length, head, after = clip.end - clip.first, len(before), list[Samples]()
        tail = clip.end - clips[n + 1].first if n + 1 < len(clips) else 0
        at = 0
        for block in _blocks(clip):
            end = at + len(block)
            block *= _rising(at, end, head) * _rising(length - end, length - at, tail)[::-1]
            if at < head:
                block[: head - at] += before[at:end]
            kept = max(0, min(len(block), length - tail - at))
            yield block[:kept]
            if kept < len(block):
                after.append(block[kept:])
            at = end
        before = np.concatenate(after) if after else before[:0]


def _rising(start: int, end: int, fade: int) -> Samples:
    """Gain of samples `start` to `end` where the first `fade` of all fade in, of shape (n, 1)."""
    at = (np.arange(start, end, dtype=np.float64) + 0.5) / max(fade, 1) if fade else np.ones(end - start)
    return np.sin(np.clip(at, 0, 1) * np.pi / 2).astype(np.float32)[:, None]


def _blocks(clip: Heard) -> Iterator[Samples]:
    """Exactly the clip's samples, with silence where its sound ends early."""
    length = clip.end - clip.first
    if not clip.channels:
        yield from _silence(length)
        return
    done = 0
    with reader(decode_command(clip)) as pipe:
        while done < length and len(block := _read(pipe, min(_BLOCK, length - done))):
            yield block
            done += len(block)
        while pipe.read(1 << 16):                     # a rounded sample more; left unread, it would look like a stop
            pass
    yield from _silence(length - done)


def _silence(length: int) -> Iterator[Samples]:
    for start in range(0, length, _BLOCK):
        yield np.zeros((min(_BLOCK, length - start), _CHANNELS), np.float32)


def _read(pipe: IO[bytes], samples: int) -> Samples:
    raw = pipe.read(samples * _CHANNELS * 4)
    whole = len(raw) // (_CHANNELS * 4) * _CHANNELS * 4
    return np.nan_to_num(np.frombuffer(raw[:whole], "<f4").astype(np.float32)).reshape(-1, _CHANNELS)
