"""The sound of a film as samples: voices, music, ambience and effects, each at its place and level.

Works in blocks, so that a long film needs little more memory than its own sound. Covers placing, looping,
cutting and the gains; loudness and encoding come after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from callsheet.media.ducking import Envelope, Span, envelope, speech_spans
from callsheet.media.sound import RATE, Samples, read_audio
from callsheet.recipe import Ref
from callsheet.recipes import MixRecipe
from callsheet.store.base import Room

Gain = Callable[[int, int], NDArray[np.float32]]
"""Linear gain of the film's samples from the first to before the second, of shape (n,)."""

EDGE_SECONDS = 0.25
"""Music and ambience fade in and out at the ends of the film."""

SEAM_SECONDS = 0.05
"""Where a loop meets itself, its end fades into its start."""

_BLOCK = RATE * 30
_SHORTEST_LOOP = RATE * 2


def soundtrack(recipe: MixRecipe, room: Room) -> tuple[Samples, tuple[str, ...]]:
    """All sound of the film, of shape (round(seconds * 48000), 2), and what a person should know about it.

    Nothing is limited yet: samples may exceed full scale. Raises MediaUnreadable.
    """
    bus = np.zeros((round(recipe.seconds * RATE), 2), np.float32)
    warnings: list[str] = []
    spans = _lay_voices(bus, recipe, room, warnings)
    if recipe.music is not None:
        duck = envelope(spans, recipe.ducking)
        _lay_under(bus, recipe.music, room, recipe.ducking.base_volume, duck)
    if recipe.ambience is not None:
        _lay_under(bus, recipe.ambience, room, recipe.ambience_volume, None)
    _lay_effects(bus, recipe, room, warnings)
    return bus, tuple(warnings)


def lay(bus: Samples, sound: Samples, start: int, gain: Gain | float = 1.0) -> None:
    """Add `sound` to `bus`, its first sample at sample `start` of the film; what is outside is left out."""
    first, last = max(start, 0), min(start + len(sound), len(bus))
    for at in range(first, last, _BLOCK):
        end = min(at + _BLOCK, last)
        level = np.float32(gain) if isinstance(gain, (int, float)) else gain(at, end)[:, None]
        bus[at:end] += sound[at - start:end - start] * level


def lay_through(bus: Samples, sound: Samples, gain: Gain) -> None:
    """Add `sound` over the whole film: cut where it is longer, looped with soft seams where it is shorter."""
    if len(sound) >= len(bus):
        lay(bus, sound, 0, gain)
        return
    if len(sound) < _SHORTEST_LOOP:
        sound = np.tile(sound, (-(-_SHORTEST_LOOP // len(sound)), 1))
    seam = round(SEAM_SECONDS * RATE)
    ramp = np.sin(np.linspace(0, np.pi / 2, seam, dtype=np.float32))[:, None]        # equal power
    later = sound.copy()
    later[:seam] *= ramp
    later[-seam:] *= ramp[::-1]
    first = np.concatenate([sound[:seam], later[seam:]])
    for start in range(0, len(bus), len(sound) - seam):
        lay(bus, later if start else first, start, gain)


def edges(samples: int) -> Gain:
    """A short fade at both ends of a film of so many samples."""
    fade = max(1, min(round(EDGE_SECONDS * RATE), samples // 4))

    def gain(start: int, end: int) -> NDArray[np.float32]:
        at = np.arange(start, end, dtype=np.float64)
        return np.clip(np.minimum(at, samples - 1 - at) / fade, 0, 1).astype(np.float32)

    return gain


def _lay_under(bus: Samples, source: Ref, room: Room, volume: float, duck: Envelope | None) -> None:
    sound = read_audio(room.fetch(source), limit_s=len(bus) / RATE)
    ends = edges(len(bus))

    def gain(start: int, end: int) -> NDArray[np.float32]:
        level = ends(start, end) * np.float32(volume)
        return level * duck.gain(start, end) if duck is not None else level

    lay_through(bus, sound, gain)


def _lay_voices(bus: Samples, recipe: MixRecipe, room: Room, warnings: list[str]) -> list[Span]:
    """Place the voices; returns where speech is heard, in samples of the film."""
    spans: list[Span] = []
    for number, voice in enumerate(recipe.voices, 1):
        sound = read_audio(room.fetch(voice.audio))
        start = round(voice.start * RATE)
        lay(bus, sound, start)
        heard = [(max(a + start, 0), min(b + start, len(bus))) for a, b in speech_spans(sound)]
        spans += [(a, b) for a, b in heard if a < b]
        _warn(f"voice {number} ({voice.speaker})", start, len(sound), len(bus), warnings)
    return spans


def _lay_effects(bus: Samples, recipe: MixRecipe, room: Room, warnings: list[str]) -> None:
    by_file: dict[Ref, list[int]] = {}
    for number, effect in enumerate(recipe.effects):
        by_file.setdefault(effect.audio, []).append(number)
    for file, numbers in by_file.items():              # each file is decoded once
        sound = read_audio(room.fetch(file), limit_s=len(bus) / RATE)
        for number in numbers:
            effect = recipe.effects[number]
            start = round(effect.start * RATE)
            lay(bus, sound, start, effect.volume)
            _warn(f"effect {number + 1}", start, len(sound), len(bus), warnings)


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
