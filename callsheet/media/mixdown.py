"""A sound track mixed to a file of bare samples, and that file brought to its loudness on the way to an encoder.

One pass writes the mix and takes its profile; each later one reads it, applies gain and limiter, and passes
it on. Nothing longer than ten seconds is in memory. Covers the mix's files and the stems; the film around the
sound is mix.py's matter.
"""

from __future__ import annotations

import contextlib
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from callsheet.keys import STEMS
from callsheet.media.limiter import WINDOW, Master, Profile, Profiler
from callsheet.media.sound import RATE, Samples, blocks
from callsheet.media.soundtrack import BLOCK, Soundtrack

assert BLOCK % WINDOW == 0                             # a block of samples has a whole number of windows

_WIDTH = 8
"""Bytes of a stereo sample in a bare file: two floats."""
_24_BIT = float(1 << 23)


@dataclass(frozen=True)
class Mixdown:
    """The unlimited mix in files of bare stereo floats at 48 kHz."""

    path: Path
    samples: int
    profile: Profile
    parts: tuple[Path, Path] | None = None
    """Voices, and all else, where stems are wanted; they add up to the mix."""
    loudest_part: float = 0.0
    """Highest sample of the parts; 0 without them."""

    def mastered(self, made: Master) -> Iterator[tuple[float, Samples]]:
        """The mix, block by block, at its gain and limited; with each the share that came before it."""
        for start, piece in _pieces(self.path, self.samples):
            yield start / self.samples, made.apply(piece, start)

    def remove(self) -> None:
        """Delete the files."""
        for path in (self.path, *(self.parts or ())):
            path.unlink(missing_ok=True)


def mix_down(track: Soundtrack, folder: Path, stems: bool, progress: Callable[[float], None]) -> Mixdown:
    """Mix all of a sound track into files in `folder`. `progress` gets the share done. Raises MediaUnreadable."""
    path, parts = folder / "mix.f32", (folder / "voices.f32", folder / "under.f32")
    profiler, loudest, done = Profiler(), 0.0, 0
    with contextlib.ExitStack() as open_files:
        out = open_files.enter_context(path.open("wb"))
        apart = [open_files.enter_context(part.open("wb")) for part in parts] if stems else []
        for pieces in track.blocks():
            for file, piece in zip(apart, pieces, strict=False):
                file.write(piece.data)
                loudest = max(loudest, float(np.abs(piece).max()))
            both = pieces[0]
            both += pieces[1]
            out.write(both.data)
            profiler.add(both)
            done += len(both)
            progress(done / track.samples)
    return Mixdown(path, track.samples, profiler.profile(), parts if stems else None, loudest)


def write_stems(mixdown: Mixdown, made: Master, folder: Path) -> tuple[dict[str, Path], float]:
    """Write STEMS as 24-bit WAV; returns them, and by how many dB the first two are below the master's gain.

    voice and music_effects add up to the mix as it is before the limiter. Only where one of them would go
    over full scale, which 24 bits cannot hold, are both lowered by the same amount.
    """
    assert mixdown.parts is not None
    gain = 10 ** (made.gain_db / 20)
    lower = min(1.0, (1 - 1 / _24_BIT) / max(mixdown.loudest_part * gain, 1e-9))
    files = {name: folder / f"{name}.wav" for name in STEMS}
    for name, part in zip(STEMS, mixdown.parts, strict=False):
        pieces = _pieces(part, mixdown.samples)
        _write_24_bit(files[name], (piece * np.float32(gain * lower) for _, piece in pieces))
    _write_24_bit(files[STEMS[-1]], (piece for _, piece in mixdown.mastered(made)))
    return files, -20 * float(np.log10(lower))


def _pieces(path: Path, samples: int) -> Iterator[tuple[int, Samples]]:
    with path.open("rb") as file:
        for start, end in blocks(samples, BLOCK):
            yield start, np.frombuffer(file.read((end - start) * _WIDTH), "<f4").reshape(-1, 2)


def _write_24_bit(path: Path, pieces: Iterator[Samples]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(3)
        file.setframerate(RATE)
        for piece in pieces:
            whole = np.clip(np.rint(piece * _24_BIT), -_24_BIT, _24_BIT - 1).astype("<i4")
            file.writeframesraw(whole.reshape(-1, 1).view(np.uint8)[:, :3].tobytes())
