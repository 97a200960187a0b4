"""Test footage and sounds, the same on every machine, and the job they belong to.

Pictures have the falling spectrum of natural images: a large still that the camera pans over, a second one that
moves across it, and grain, encoded as clip engines give them (H.264, crf 19, no key frames on demand).
Speech is a buzz of harmonics in syllables and sentences, music slow chords, ambience coloured noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.job import Caption, Case, Job, Placed, Sounds
from callsheet.media.ffmpeg import Command, local_input, run, writer
from callsheet.media.sound import RATE, Samples, write_wav

FPS = 30
GRAIN = 1.5
"""Standard deviation of the grain in luma, of 255."""

_MARGIN = 192
_LINES = (
    "I found the letter on the kitchen table.",
    "Nobody told me that you were in town.",
    "We can still make the late train, if we run.",
    "It was raining the whole night, wasn't it?",
    "Give me one good reason to believe you.",
    "The harbour looked empty at 5 o'clock.",
)

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Scale:
    """How large the job is. The default is the one that figures are published for."""

    segments: int = 12
    frames: int = 150
    overlap: int = 15
    width: int = 540
    height: int = 960
    preset: str = "medium"
    crf: int = 23
    falloff: float = 1.6
    """How fast the pictures' amplitudes fall with spatial frequency: 1.2 is foliage, 1.7 a face before a wall.
    At 1.6 an encode at crf 23 keeps about 45 dB."""


@dataclass(frozen=True)
class Footage:
    """The files of a job: raw clips, and sounds that suit a film of any length."""

    clips: tuple[Path, ...]
    voices: tuple[Path, ...]
    """One line a clip."""
    music: Path
    ambience: Path
    effects: tuple[Path, Path]


def make_footage(folder: Path, scale: Scale) -> Footage:
    """Make what is not there yet in `folder`, which belongs to this scale alone."""
    folder.mkdir(parents=True, exist_ok=True)
    line_s = min(4.0, scale.frames / FPS * 0.8)
    footage = Footage(
        clips=tuple(folder / f"raw_{n:02}.mp4" for n in range(scale.segments)),
        voices=tuple(folder / f"voice_{n:02}.wav" for n in range(scale.segments)),
        music=folder / "music.m4a", ambience=folder / "ambience.m4a",
        effects=(folder / "knock.wav", folder / "bell.wav"),
    )
    for n, clip in enumerate(footage.clips):
        if not clip.exists():
            _write_clip(clip, n, scale)
    for n, voice in enumerate(footage.voices):
        if not voice.exists():
            write_wav(voice, _speech(n, line_s))
    seconds = min(60.0, scale.segments * scale.frames / FPS)
    for path, samples in ((footage.music, _music), (footage.ambience, _ambience)):
        if not path.exists():
            _write_m4a(path, samples(seconds))
    for path, hertz in zip(footage.effects, (180.0, 1400.0), strict=True):
        if not path.exists():
            write_wav(path, _strike(hertz))
    return footage


def job_of(case: Case, scale: Scale, footage: Footage, clips: tuple[Path, ...], segments: int | None = None) -> Job:
    """The film of `segments` clips (all, when not said); a longer film than there are clips shows them again."""
    count = segments or len(clips)
    overlap = 0 if case is Case.CUTS else scale.overlap
    step = (scale.frames - overlap) / FPS
    line_s = min(4.0, scale.frames / FPS * 0.8)
    starts = [n * step + 0.25 for n in range(count)]
    length = step * count + overlap / FPS
    return Job(
        case=case, clips=tuple(str(clips[n % len(clips)]) for n in range(count)), frames=scale.frames,
        overlap=overlap, width=scale.width, height=scale.height, fps=FPS, preset=scale.preset, crf=scale.crf,
        sounds=Sounds(
            voices=tuple(Placed(str(footage.voices[n % len(footage.voices)]), t) for n, t in enumerate(starts)),
            music=Placed(str(footage.music), volume=0.15), ambience=Placed(str(footage.ambience), volume=0.1),
            effects=tuple(Placed(str(path), length * share, 0.5)
                          for path, share in zip(footage.effects, (0.3, 0.7), strict=True)),
        ),
        captions=tuple(Caption(_LINES[n % len(_LINES)], t, t + line_s) for n, t in enumerate(starts)),
    )


def _write_clip(path: Path, seed: int, scale: Scale) -> None:
    width, height = scale.width, scale.height
    dice = np.random.default_rng(seed)
    back, front = (_still(dice, max(height, width) + _MARGIN, scale.falloff) for _ in range(2))
    radius = min(width, height) // 4
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    grains = dice.normal(0, GRAIN, (8, height, width)).astype(np.float32)
    part = path.with_suffix(".part")
    command = Command(
        ("-f", "rawvideo", "-pix_fmt", "yuv444p", "-s", f"{width}x{height}", "-r", str(FPS), "-i", "pipe:0",
         "-vf", "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709,format=yuv420p",
         "-c:v", "libx264", "-preset", "medium", "-crf", "19", "-threads", "2", "-f", "mp4", local_input(part)),
        what="make a clip",
    )
    angle = dice.uniform(0, 2 * np.pi)
    with writer(command) as pipe:
        for n in range(scale.frames):
            t = n / FPS
            y, x = (round(_MARGIN / 2 * (1 + 0.9 * np.sin(angle + phase + t * 0.5))) for phase in (0, np.pi / 2))
            frame = back[:, y:y + height, x:x + width].copy()
            centre = height * (0.5 + 0.3 * np.sin(t + angle)), width * (0.5 + 0.3 * np.cos(1.3 * t))
            mask = np.clip(radius - np.hypot(rows - centre[0], columns - centre[1]), 0, 6) / 6
            frame += mask * (front[:, x:x + height, y:y + width] - frame)
            frame[0] += np.roll(grains[n % 8], (17 * n, 29 * n), (0, 1))
            pipe.write(np.clip(frame, 16, 235).astype(np.uint8).tobytes())
    part.replace(path)


def _still(dice: np.random.Generator, side: int, falloff: float) -> Plane:
    """Y, Cb and Cr of a picture with a spectrum like a natural one's, float32 of shape (3, side, side)."""
    down, across = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    fall = 1 / np.maximum(np.hypot(down, across), 1 / side) ** falloff
    planes = []
    for middle, spread in ((120, 36), (128, 14), (128, 14)):
        plane = np.fft.irfft2(np.fft.rfft2(dice.normal(size=(side, side))) * fall, s=(side, side))
        planes.append(middle + spread * plane / plane.std())
    return np.stack(planes).astype(np.float32)


def _speech(seed: int, seconds: float) -> Samples:
    dice = np.random.default_rng(1000 + seed)
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.7 * t + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    buzz = np.sum([np.sin(k * phase) / k**1.3 for k in range(1, 25)], axis=0)
    syllables = np.repeat(dice.uniform(0.2, 1, round(seconds * 4) + 1), RATE // 4)[:len(t)]
    words = np.clip(1.4 - np.abs(np.sin(np.pi * t * 2)) ** 8, 0, 1) * (np.sin(2 * np.pi * t / 2.6) > -0.8)
    return _stereo(0.2 * buzz * syllables * words)


def _music(seconds: float) -> Samples:
    t = np.arange(round(seconds * RATE)) / RATE
    roots = np.array([220.0, 174.6, 261.6, 196.0])[(t // 4).astype(int) % 4]
    phase = 2 * np.pi * np.cumsum(roots) / RATE
    chord = np.sum([np.sin(phase * ratio) for ratio in (1, 1.25, 1.5, 2.0, 3.0)], axis=0)
    return _stereo(0.12 * chord * (1 - 0.5 * (t % 1)))


def _ambience(seconds: float) -> Samples:
    noise = np.random.default_rng(7).normal(size=(round(seconds * RATE), 2))
    return (0.3 * np.clip((noise + np.roll(noise, 1, 0) + np.roll(noise, 2, 0)) / 6, -1, 1)).astype(np.float32)


def _strike(hertz: float) -> Samples:
    t = np.arange(RATE // 2) / RATE
    return _stereo(0.7 * np.sin(2 * np.pi * hertz * t) * np.exp(-9 * t))


def _stereo(mono: NDArray[np.float64]) -> Samples:
    return np.repeat(np.clip(mono, -1, 1).astype(np.float32)[:, None], 2, axis=1)


def _write_m4a(path: Path, samples: Samples) -> None:
    wav, part = path.with_suffix(".wav"), path.with_suffix(".part")
    write_wav(wav, samples)
    run(Command(("-i", local_input(wav), "-c:a", "aac", "-b:a", "192k", "-f", "mp4", local_input(part)),
                what=f"make {path.name}"))
    wav.unlink()
    part.replace(path)
