"""Sound as samples: any audio file in, float WAV out.

Samples are float32 of shape (n, 2), full scale at 1. Covers decoding under limits and the checks that a
stranger's file needs; what is done with the samples is in soundtrack.py.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callsheet.errors import MediaError, MediaUnreadable
from callsheet.media.ffmpeg import HOSTILE_INPUT, Command, local_input, reader, writer
from callsheet.media.probe import probe

Samples = NDArray[np.float32]

RATE = 48000
"""Samples a second of everything that is mixed and delivered."""

MAX_SECONDS = 4 * 3600.0

_AU_HEADER = struct.Struct(">4s5I")                    # magic, offset of the samples, size, encoding, rate, channels
_SHORTFALL_SECONDS = 0.2
_ESTIMATED = ("mp3", "aac")
"""Codecs whose files may not know their length, so that a shortfall proves nothing."""


def decode_command(path: Path, rate: int, limit_s: float, wav: bool = False) -> Command:
    """Decode the first sound of `path` to an AU stream of one or two channels on standard output.

    AU, because its header tells how many channels there were. `wav` says that it is a WAV: ffmpeg takes
    some tones in one for MPEG-TS.
    """
    named = ("-f", "wav") if wav else ()
    return Command(
        ("-xerror", *HOSTILE_INPUT, *named, "-i", local_input(path), "-map", "0:a:0", "-t", f"{limit_s:.6f}",
         "-af", "aformat=channel_layouts=mono|stereo", "-ar", str(rate), "-c:a", "pcm_f32be", "-f", "au", "pipe:1"),
        what=f"decode the sound of {path.name}",
    )


def read_audio(path: Path, rate: int = RATE, limit_s: float = MAX_SECONDS) -> Samples:
    """The sound of a file as float32 of shape (n, 2), at `rate` samples a second.

    Mono is centred: the same samples in both channels. More than two channels are mixed down. At most the
    first `limit_s` seconds are read. Raises MediaUnreadable when it has no sound, is damaged, ends early,
    or holds samples that are not numbers.
    """
    try:
        with reader(decode_command(path, rate, limit_s, _is_wav(path))) as pipe:
            stream = pipe.read()
    except OSError as error:
        raise MediaUnreadable(path=path.name, kind="sound", detail=error.strerror or "no such file") from error
    except MediaError as error:
        raise MediaUnreadable(path=path.name, kind="sound", detail=error.facts["detail"]) from error
    if len(stream) < _AU_HEADER.size:
        raise MediaUnreadable(path=path.name, kind="sound", detail="it holds no samples")
    _, offset, _, _, _, channels = _AU_HEADER.unpack_from(stream)
    samples = np.frombuffer(stream, ">f4", offset=offset).astype(np.float32).reshape(-1, channels)
    if len(samples) == 0:
        raise MediaUnreadable(path=path.name, kind="sound", detail="it holds no samples")
    if not np.isfinite(samples).all():
        raise MediaUnreadable(path=path.name, kind="sound", detail="some samples are not numbers")
    _check_whole(path, len(samples) / rate, limit_s)
    return np.repeat(samples, 2, axis=1) if channels == 1 else samples


def write_wav(path: Path, samples: Samples, rate: int = RATE) -> None:
    """Write samples of shape (n, 2) as a 32-bit float WAV; RF64 above 4 GB. Raises MediaError."""
    command = Command(
        ("-f", "f32le", "-ar", str(rate), "-ac", "2", "-i", "pipe:0",
         "-c:a", "pcm_f32le", "-rf64", "auto", "-bitexact", local_input(path)),
        what=f"write {path.name}",
    )
    with writer(command) as pipe:
        for start in range(0, len(samples), rate * 10):
            pipe.write(np.ascontiguousarray(samples[start:start + rate * 10], "<f4").data)


def _is_wav(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(12)
    return start[:4] in (b"RIFF", b"RF64") and start[8:] == b"WAVE"


def _check_whole(path: Path, seconds: float, limit_s: float) -> None:
    """A file that was cut off decodes without an error, but shorter than it says."""
    facts = probe(path)
    if facts.audio_codec in _ESTIMATED and path.suffix.lower() not in (".m4a", ".mp4", ".mov"):
        return
    promised = min(facts.audio_duration, limit_s)
    if seconds < promised - _SHORTFALL_SECONDS:
        raise MediaUnreadable(
            path=path.name, kind="sound", detail=f"it ends after {seconds:.2f} of {promised:.2f} s",
        )
