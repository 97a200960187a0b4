"""Small finished films, made frame by frame and sample by sample, so that a fault has a known place."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callsheet.media.ffmpeg import Command, local_input, run, writer
from callsheet.media.loudness import measure
from callsheet.media.sound import RATE, Samples, read_audio, write_wav
from callsheet.recipes import SpeechRecipe
from callsheet.speech.espeak import Espeak
from callsheet.store.base import Room

Picture = NDArray[np.uint8]
Draw = Callable[[int], Picture]
"""The picture of a frame, luma of shape (height, width)."""

SIZE = (320, 180)
LUFS = -20.0
TEXTS = ("The harbour is quiet before the sun comes up.", "Nobody knows where the last tram goes tonight.")


@functools.cache
def texture(seed: int = 0, size: tuple[int, int] = SIZE, coarse: int = 12) -> NDArray[np.float64]:
    """A soft pattern, luma about 60 to 190, half as large again as the picture: room to move in."""
    width, height = size[0] * 3 // 2, size[1] * 3 // 2
    dots = np.random.default_rng(seed).uniform(60, 190, (height // coarse + 2, width // coarse + 2))
    rows = np.linspace(0, dots.shape[0] - 1.001, height)
    columns = np.linspace(0, dots.shape[1] - 1.001, width)
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None], (columns - left)[None]
    upper = dots[top][:, left] * (1 - right) + dots[top][:, left + 1] * right
    lower = dots[top + 1][:, left] * (1 - right) + dots[top + 1][:, left + 1] * right
    return upper * (1 - down) + lower * down


def moving(seed: int = 0, size: tuple[int, int] = SIZE, pixels: float = 1.5, light: float = 1.0) -> Draw:
    """A pattern that moves sideways by `pixels` a frame, in parts of a pixel where they are few, and turns back."""
    pattern, reach = texture(seed, size) * light, size[0] // 2 - 1

    def draw(frame: int) -> Picture:
        way = frame * pixels % (2 * reach)
        at = min(way, 2 * reach - way)
        left, part = int(at), at - int(at)
        here, beside = (pattern[:size[1], first:first + size[0]] for first in (left, left + 1))
        seen = here * (1 - part) + beside * part
        return np.clip(seen, 16, 235).astype(np.uint8)

    return draw


def talking(seed: int = 0, size: tuple[int, int] = SIZE) -> Draw:
    """A face that stands still, but its mouth, 4 % of the picture wide, opens and shuts."""
    still = moving(seed, size, pixels=0)(0)
    height, width = size[1] // 30, size[0] // 25

    def draw(frame: int) -> Picture:
        picture = still.copy()
        opened = max(1, round(height * (1 + np.sin(frame / 2.5)) / 2))
        picture[size[1] * 2 // 3:size[1] * 2 // 3 + opened, size[0] // 2:size[0] // 2 + width] = 30
        return picture

    return draw


def planted(draw: Draw, black: range = range(0), frozen: range = range(0)) -> Draw:
    """The same with a stretch of black pictures and one that stands still."""

    def faulty(frame: int) -> Picture:
        picture = draw(frozen.start if frame in frozen else frame)
        return np.full_like(picture, 16) if frame in black else picture

    return faulty


def write_pictures(path: Path, draw: Draw, frames: int, fps: int = 25, crf: int = 23) -> Path:
    """A reel without sound."""
    height, width = draw(0).shape
    command = Command(
        ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}", "-r", str(fps), "-i", "pipe:0",
         "-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf), "-g", "50", "-threads", "2", local_input(path)),
        what="make a reel",
    )
    grey = np.full((height + 1) // 2 * ((width + 1) // 2) * 2, 128, np.uint8).tobytes()
    with writer(command) as pipe:
        for frame in range(frames):
            pipe.write(draw(frame).tobytes() + grey)
    return path


def join(reel: Path, sound: Samples | None, path: Path) -> Path:
    """Picture (copied) and sound (AAC) as a film."""
    if sound is None:
        run(Command(("-i", local_input(reel), "-c", "copy", local_input(path)), what="copy a reel"))
        return path
    wav = path.with_suffix(".wav")
    write_wav(wav, sound)
    run(Command(
        ("-i", local_input(reel), "-f", "wav", "-i", local_input(wav), "-map", "0:v", "-map", "1:a", "-c:v", "copy",
         "-c:a", "aac", "-b:a", "192k", local_input(path)), what="join a film"))
    return path


def speak(folder: Path, text: str, voice: str = "+f3") -> Path:
    """A real spoken line."""
    folder.mkdir(parents=True)
    engine = Espeak()
    recipe = SpeechRecipe(engine=engine.id, voice=voice, words_per_minute=165, pitch=50, language="en-us", text=text)
    return engine.speak(recipe, Room(folder, lambda ref: Path(), lambda ref: {})).files["main"]


def music(seconds: float, level: float = 0.05, seed: int = 0) -> Samples:
    """Chords that change every half second, in two channels."""
    steps = np.random.default_rng(seed).integers(0, 12, (int(seconds * 2) + 1, 3))
    time = np.arange(round(seconds * RATE)) / RATE
    notes = 220 * 2 ** (steps[(time * 2).astype(int)] / 12)
    phase = np.cumsum(notes, axis=0) / RATE
    chord = np.sin(2 * np.pi * phase).sum(axis=1) * level
    return np.repeat(chord[:, None], 2, axis=1).astype(np.float32)


def levelled(folder: Path, seconds: float, voices: Sequence[tuple[Path, float]], bed: Samples | None) -> Samples:
    """Voices at their places over a bed, at `LUFS`, where their peaks need no limiter."""
    bus = np.zeros((round(seconds * RATE), 2), np.float32) if bed is None else bed.copy()
    for path, start in voices:
        sound, at = read_audio(path), round(start * RATE)
        bus[at:at + len(sound)] += sound[:len(bus) - at]
    write_wav(folder / "bus.wav", bus)
    heard = measure(folder / "bus.wav").lufs
    assert heard is not None
    return (bus * 10 ** ((LUFS - heard) / 20)).astype(np.float32)
