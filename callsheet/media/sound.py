"""Sound as samples: any audio file in, a file of floats that can be read at any place out.

Samples are float32 of shape (n, 1) or (n, 2), full scale at 1. A sound is decoded once, to a file, and read in
pieces: no more of it is in memory than is being worked on. Covers decoding under limits and the checks that a
stranger's file needs; what is done with the samples is in soundtrack.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from callsheet.errors import MediaError, MediaUnreadable
from callsheet.media.ffmpeg import HOSTILE_INPUT, Command, local_input, run, writer
from callsheet.media.probe import probe
from callsheet.store.base import private_folder

Samples = NDArray[np.float32]

RATE = 48000
"""Samples a second of everything that is mixed and delivered."""

MAX_SECONDS = 4 * 3600.0

_AU_HEADER = struct.Struct(">4s5I")                    # magic, offset of the samples, size, encoding, rate, channels
_SHORTFALL_SECONDS = 0.2
_ESTIMATED = ("mp3", "aac")
"""Codecs whose files may not know their length, so that a shortfall proves nothing."""

FORMATS = "wav, flac, mp3, ogg, opus, aac, m4a, aiff, w64, mp4, mov, mkv, webm"
"""What people call the formats that a stranger's sound may have."""
_NOT_AMONG_THEM = "Error opening input: Invalid argument"
"""What is left of ffmpeg's words for a format that HOSTILE_INPUT does not list."""


class Sound(Protocol):
    """Samples that are somewhere."""

    def __len__(self) -> int:
        """Samples a channel."""

    def read(self, start: int, end: int) -> Samples:
        """The samples `start` to `end`, of shape (end - start, 1) or (end - start, 2)."""


@dataclass(frozen=True)
class HeldSound:
    """A short sound, in memory."""

    samples: Samples

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, start: int, end: int) -> Samples:
        return self.samples[start:end]


@dataclass(frozen=True)
class DecodedSound:
    """A sound in a file of big-endian floats, as `decode` writes it."""

    path: Path
    offset: int
    channels: int
    samples: int
    name: str
    """What its source is called, for an error."""

    def __len__(self) -> int:
        return self.samples

    def read(self, start: int, end: int) -> Samples:
        """Raises MediaUnreadable when one of the samples is not a number."""
        width = 4 * self.channels
        with self.path.open("rb") as file:
            file.seek(self.offset + start * width)
            raw = file.read((end - start) * width)
        found = np.frombuffer(raw, ">f4").astype(np.float32).reshape(-1, self.channels)
        if not np.isfinite(found).all():
            raise MediaUnreadable(path=self.name, kind="sound", detail="some samples are not numbers")
        return found


def blocks(length: int, size: int) -> Iterator[tuple[int, int]]:
    """First and end of the pieces of at most `size` that `length` samples fall into."""
    return ((start, min(start + size, length)) for start in range(0, length, size))


def decode_command(path: Path, out: Path, rate: int, limit_s: float, wav: bool = False) -> Command:
    """Decode the first sound of `path` to an AU file of one or two channels.

    AU, because its header is the simplest that tells how many channels there were. A gap in its timestamps of
    more than 0.1 s becomes silence: dropped, it would put what comes after it too early. `wav` says that it is
    a WAV, which has no timestamps: ffmpeg takes some tones in one for MPEG-TS.
    """
    named, gaps = (("-f", "wav"), "") if wav else ((), "aresample=async=1,")
    return Command(
        ("-xerror", *HOSTILE_INPUT, *named, "-i", local_input(path), "-map", "0:a:0", "-t", f"{limit_s:.6f}",
         "-af", f"{gaps}aformat=channel_layouts=mono|stereo", "-ar", str(rate), "-c:a", "pcm_f32be", "-f", "au",
         local_input(out)),
        what=f"decode the sound of {path.name}",
    )


def decode(path: Path, out: Path, rate: int = RATE, limit_s: float = MAX_SECONDS) -> DecodedSound:
    """Decode the sound of a file to `out`, at `rate` samples a second; at most its first `limit_s` seconds.

    More than two channels are mixed down. Raises MediaUnreadable when it has no sound, is damaged or ends early.
    """
    try:
        run(decode_command(path, out, rate, limit_s, _is_wav(path)))
    except OSError as error:
        raise MediaUnreadable(path=path.name, kind="sound", detail=error.strerror or "no such file") from error
    except MediaError as error:
        raise MediaUnreadable(path=path.name, kind="sound", detail=_why(error.facts["detail"])) from error
    with out.open("rb") as file:
        header = file.read(_AU_HEADER.size)
    if len(header) < _AU_HEADER.size:
        raise MediaUnreadable(path=path.name, kind="sound", detail="it holds no samples")
    _, offset, _, _, _, channels = _AU_HEADER.unpack(header)
    samples = (out.stat().st_size - offset) // (4 * channels)
    if samples <= 0:
        raise MediaUnreadable(path=path.name, kind="sound", detail="it holds no samples")
    _check_whole(path, samples / rate, limit_s)
    return DecodedSound(out, offset, channels, samples, path.name)


def read_audio(path: Path, rate: int = RATE, limit_s: float = MAX_SECONDS) -> Samples:
    """All the sound of a file at once, of shape (n, 2): for short ones. Mono is the same in both channels.

    Raises MediaUnreadable when it has no sound, is damaged, ends early, or holds samples that are not numbers.
    """
    with private_folder() as folder:
        sound = decode(path, folder / "sound.au", rate, limit_s)
        samples = sound.read(0, len(sound))
    return np.repeat(samples, 2, axis=1) if samples.shape[1] == 1 else samples


def write_wav(path: Path, samples: Samples, rate: int = RATE) -> None:
    """Write samples of shape (n, 2) as a 32-bit float WAV; RF64 above 4 GB. Raises MediaError."""
    command = Command(
        ("-f", "f32le", "-ar", str(rate), "-ac", "2", "-i", "pipe:0",
         "-c:a", "pcm_f32le", "-rf64", "auto", "-bitexact", local_input(path)),
        what=f"write {path.name}",
    )
    with writer(command) as pipe:
        for start, end in blocks(len(samples), rate * 10):
            pipe.write(np.ascontiguousarray(samples[start:end], "<f4").data)


def _why(words: str) -> str:
    """ffmpeg's words, or what they mean."""
    return f"its format is not one of {FORMATS}" if _NOT_AMONG_THEM in words else words


def _is_wav(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(12)
    return start[:4] in (b"RIFF", b"RF64") and start[8:] == b"WAVE"


def _check_whole(path: Path, seconds: float, limit_s: float) -> None:
    """A file that was cut off decodes without an error, but shorter than it says; some do not say."""
    facts = probe(path)
    if facts.audio_codec in _ESTIMATED and path.suffix.lower() not in (".m4a", ".mp4", ".mov"):
        return
    promised = min(facts.audio_duration, limit_s)
    if seconds < promised - _SHORTFALL_SECONDS:
        raise MediaUnreadable(
            path=path.name, kind="sound", detail=f"it ends after {seconds:.2f} of {promised:.2f} s",
        )
