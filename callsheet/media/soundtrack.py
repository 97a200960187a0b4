"""The sound of a film as samples: voices, music, ambience and effects, each at its place and level.

Made piece by piece from sounds that are in files, and written piece by piece: an hour needs no more memory
than a minute. Covers placing, looping, cutting and the gains; loudness and encoding come after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from callsheet.media.activity import Span, closed, speech_spans
from callsheet.media.ducking import Envelope, envelope
from callsheet.media.sound import RATE, DecodedSound, HeldSound, Samples, Sound, blocks, decode
from callsheet.recipe import Ref
from callsheet.recipes import MixRecipe
from callsheet.store.base import Room

Gain = Callable[[int, int], NDArray[np.float32]]
"""Linear gain of the film's samples from the first to before the second, of shape (n,)."""

BLOCK = RATE * 10
"""Samples that are mixed at a time."""

EDGE_SECONDS = 0.25
"""Music and ambience fade in and out at the ends of the film."""

SEAM_SECONDS = 0.05
"""Where a loop meets itself, its end fades into its start."""

_SHORTEST_LOOP = RATE * 2


class Layer(Protocol):
    """Something heard in the film."""

    def add(self, bus: Samples, start: int) -> None:
        """Add to `bus`, of shape (n, 2), what is heard from sample `start` of the film on."""


@dataclass(frozen=True)
class Placed:
    """A sound whose first sample is at sample `at` of the film."""

    sound: Sound
    at: int
    volume: float = 1.0

    def add(self, bus: Samples, start: int) -> None:
        _add(bus, start, self.sound, self.at, np.full((1, 1), self.volume, np.float32))


@dataclass(frozen=True)
class Turn:
    """A sound as one turn of a loop: its first `rise` and last `fall` samples are faded, at equal power."""

    sound: Sound
    rise: int
    fall: int

    def __len__(self) -> int:
        return len(self.sound)

    def read(self, start: int, end: int) -> Samples:
        samples = self.sound.read(start, end)
        left = len(self) - end
        if start >= self.rise and left >= self.fall:
            return samples
        at = np.arange(start, end)[:, None]
        rising = np.clip(at / max(self.rise - 1, 1), 0, 1) if start < self.rise else 1.0
        falling = np.clip((len(self) - 1 - at) / max(self.fall - 1, 1), 0, 1) if left < self.fall else 1.0
        return samples * np.sin(np.pi / 2 * np.minimum(rising, falling)).astype(np.float32)


class Under:
    """A sound under the whole film: cut where it is longer, looped with soft seams where it is shorter."""

    def __init__(self, sound: Sound, film: int, gain: Gain) -> None:
        if len(sound) < min(_SHORTEST_LOOP, film):
            sound = HeldSound(np.tile(sound.read(0, len(sound)), (-(-_SHORTEST_LOOP // len(sound)), 1)))
        seam = round(SEAM_SECONDS * RATE) if len(sound) < film else 0
        self._gain = gain
        self._first, self._later = Turn(sound, 0, seam), Turn(sound, seam, seam)
        self._step = len(sound) - seam if seam else film

    def add(self, bus: Samples, start: int) -> None:
        end = start + len(bus)
        level = self._gain(start, end)[:, None]
        for number in range(max(0, (start - len(self._later)) // self._step), -(-end // self._step)):
            _add(bus, start, self._later if number else self._first, number * self._step, level)


def _add(bus: Samples, start: int, sound: Sound, at: int, level: NDArray[np.float32]) -> None:
    """Add a sound that begins at sample `at` to a bus that begins at `start`; one level, or one a sample."""
    first, last = max(at, start), min(at + len(sound), start + len(bus))
    if first < last:
        here = slice(first - start, last - start)
        bus[here] += sound.read(first - at, last - at) * (level[here] if len(level) == len(bus) else level)


@dataclass(frozen=True)
class Soundtrack:
    """All that is heard in a film of `samples` samples, ready to be mixed."""

    samples: int
    voices: tuple[Layer, ...]
    under: tuple[Layer, ...]
    """Music, ambience and effects."""
    speech: tuple[Span, ...] = ()
    """Where somebody speaks, in samples of the film; short pauses are within."""
    warnings: tuple[str, ...] = ()
    """What a person should know about it."""
    files: tuple[Path, ...] = ()
    """Decoded sounds, of no use once it is mixed."""

    def remove(self) -> None:
        """Delete the decoded sounds."""
        for path in self.files:
            path.unlink(missing_ok=True)

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[Samples, Samples]]:
        """Voices, and all else, of the film's next samples, each of shape (n, 2).

        Nothing is limited yet: samples may exceed full scale. Raises MediaUnreadable.
        """
        for start, end in blocks(self.samples, size):
            voice, under = np.zeros((2, end - start, 2), np.float32)
            for layer in self.voices:
                layer.add(voice, start)
            for layer in self.under:
                layer.add(under, start)
            yield voice, under


def soundtrack(recipe: MixRecipe, room: Room) -> Soundtrack:
    """Decode every sound of the film into the room and place it. Raises MediaUnreadable."""
    film = round(recipe.seconds * RATE)
    decoded = _Decoded(room)
    warnings: list[str] = []
    voices, speech = _voices(recipe, film, decoded, warnings)
    under: list[Layer] = []
    if recipe.music is not None:
        duck = envelope(speech, recipe.ducking)
        under.append(_bed(decoded(recipe.music, film), film, recipe.ducking.base_volume, duck))
    if recipe.ambience is not None:
        under.append(_bed(decoded(recipe.ambience, film), film, recipe.ambience_volume, None))
    for number, effect in enumerate(recipe.effects, 1):
        sound, at = decoded(effect.audio, film), round(effect.start * RATE)
        under.append(Placed(sound, at, effect.volume))
        _warn(f"effect {number}", at, len(sound), film, warnings)
    return Soundtrack(film, voices, tuple(under), speech, tuple(warnings), decoded.files)


def edges(samples: int) -> Gain:
    """A short fade at both ends of a film of so many samples."""
    fade = max(1, min(round(EDGE_SECONDS * RATE), samples // 4))

    def gain(start: int, end: int) -> NDArray[np.float32]:
        if start >= fade and end <= samples - fade:
            return np.ones(end - start, np.float32)
        at = np.arange(start, end, dtype=np.float64)
        return np.clip(np.minimum(at, samples - 1 - at) / fade, 0, 1).astype(np.float32)

    return gain


class _Decoded:
    """The sounds of a film, each file decoded once and no further than it is needed."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._sounds: dict[tuple[Ref, int | None], DecodedSound] = {}

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(sound.path for sound in self._sounds.values())

    def __call__(self, source: Ref, limit: int | None = None) -> DecodedSound:
        if (source, limit) not in self._sounds:
            out = self._room.path(f"sound{len(self._sounds)}.au")
            path = self._room.fetch(source)
            self._sounds[source, limit] = decode(path, out) if limit is None else decode(path, out, RATE, limit / RATE)
        return self._sounds[source, limit]


def _bed(sound: Sound, film: int, volume: float, duck: Envelope | None) -> Layer:
    ends = edges(film)

    def gain(start: int, end: int) -> NDArray[np.float32]:
        level = ends(start, end) * np.float32(volume)
        return level * duck.gain(start, end) if duck is not None else level

    return Under(sound, film, gain)


def _voices(
    recipe: MixRecipe, film: int, decoded: _Decoded, warnings: list[str]
) -> tuple[tuple[Layer, ...], tuple[Span, ...]]:
    """The voices in their places, and where speech is heard, in samples of the film."""
    layers: list[Layer] = []
    spans: list[Span] = []
    heard: dict[Ref, list[Span]] = {}
    for number, voice in enumerate(recipe.voices, 1):
        sound, at = decoded(voice.audio), round(voice.start * RATE)
        layers.append(Placed(sound, at))
        if voice.audio not in heard:
            heard[voice.audio] = speech_spans(sound)
        inside = [(max(a + at, 0), min(b + at, film)) for a, b in heard[voice.audio]]
        spans += [(a, b) for a, b in inside if a < b]
        _warn(f"voice {number} ({voice.speaker})", at, len(sound), film, warnings)
    return tuple(layers), tuple(closed(spans))


def _warn(what: str, start: int, length: int, film: int, warnings: list[str]) -> None:
    if start >= film:
        warnings.append(
            f"{what} starts at {start / RATE:.2f} s, after the end of the film at {film / RATE:.2f} s: not heard")
    elif start + length <= 0:
        warnings.append(f"{what} ends before the film starts: not heard")
    elif start + length > film + RATE // 10:
        warnings.append(f"{what} is cut off {(start + length - film) / RATE:.2f} s before its end, by the film's end")


def sources(recipe: MixRecipe) -> Sequence[Ref]:
    """Every sound the film is mixed from."""
    single = [ref for ref in (recipe.music, recipe.ambience) if ref is not None]
    return [*(v.audio for v in recipe.voices), *single, *(e.audio for e in recipe.effects)]
