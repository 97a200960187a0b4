"""Make the example manifest's music, ambience and effects: sums of sines and filtered noise, nothing sampled.

    python manifests/examples/make_sounds.py [folder]

Music and ambience are loops: what rings over the end goes on at the start. Mono, 32 kHz, FLAC.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from callsheet.media.ffmpeg import Command, run

RATE = 32_000
Samples = NDArray[np.float64]

_NOTES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def pitch(name: str) -> float:
    """Frequency in Hz of a note such as A4 or F#3."""
    half_tones = _NOTES[name[0]] + (1 if "#" in name else 0) + 12 * (int(name[-1]) - 4) - 9
    return float(440 * 2 ** (half_tones / 12))


def tone(name: str, seconds: float, attack: float, decay: float, harmonics: Sequence[float]) -> Samples:
    """A note whose harmonics fade the faster the higher they are. `decay` is the time to fall to 1/e, seconds."""
    time = np.arange(int(seconds * RATE)) / RATE
    sound = np.zeros_like(time)
    for n, level in enumerate(harmonics, 1):
        sound += level * np.sin(2 * np.pi * pitch(name) * n * time) * np.exp(-time * n**0.7 / decay)
    rise = np.clip(time / attack, 0, 1)
    fall = np.clip((seconds - time) / 0.05, 0, 1)
    return np.asarray(sound * np.sin(rise * np.pi / 2) ** 2 * fall)


def loop(seconds: float, placed: Sequence[tuple[float, float, Samples]]) -> Samples:
    """Sounds (start, level, samples) on a loop; what is longer than the loop comes in at its start again."""
    track = np.zeros(int(seconds * RATE))
    for start, level, sound in placed:
        places = (int(start * RATE) + np.arange(len(sound))) % len(track)
        np.add.at(track, places, level * sound)
    return track


def pads(chords: Sequence[str], seconds: float, level: float) -> list[tuple[float, float, Samples]]:
    """Each chord held softly, overlapping the next."""
    return [
        (n * seconds, level, tone(note, seconds * 1.35, seconds * 0.3, seconds * 1.2, (1, 0.25, 0.08)))
        for n, chord in enumerate(chords)
        for note in chord.split()
    ]


def plucks(melody: str, step: float, level: float, decay: float) -> list[tuple[float, float, Samples]]:
    """Notes one a step, `-` is a rest; they ring for four times their decay."""
    return [
        (n * step, level, tone(note, 4 * decay, 0.004, decay, (1, 0.5, 0.22, 0.1)))
        for n, note in enumerate(melody.split())
        if note != "-"
    ]


def calm() -> Samples:
    """Ten seconds, open and slow: Cmaj9, Am7, Fmaj7, G6."""
    chords = ("C3 G3 E4 B4", "A2 E3 C4 G4", "F2 C3 A3 E4", "G2 D3 B3 E4")
    line = "E5 - B4 G4 C5 - G4 E4 A4 - E4 C5 D5 B4 - G4"
    return loop(10, [*pads(chords, 2.5, 0.16), *plucks(line, 0.625, 0.09, 0.5)])


def wistful() -> Samples:
    """Twelve seconds in A minor, a line over held chords."""
    chords = ("A2 E3 C4", "F2 C3 A3", "D3 A3 F4", "E3 B3 G#4")
    line = "A4 - C5 E5 - D5 C5 - A4 - F4 A4 - D5 F5 - E5 D5 B4 - G#4 - B4 -"
    return loop(12, [*pads(chords, 3, 0.17), *plucks(line, 0.5, 0.11, 0.6)])


def bright() -> Samples:
    """Eight seconds, light and quick: C, F, Am, G with a bass."""
    chords = ("C4 E4 G4", "F3 A3 C4", "A3 C4 E4", "G3 B3 D4")
    hops = "C5 E5 G5 E5 F5 A5 C5 A4 A4 C5 E5 C5 B4 D5 G5 D5"
    bass = "C2 C3 F2 F2 A2 A2 G2 G2"
    return loop(8, [*pads(chords, 2, 0.07), *plucks(hops, 0.5, 0.12, 0.22), *plucks(bass, 1, 0.2, 0.4)])


def rain() -> Samples:
    """Eight seconds of soft rain: noise shaped in the frequency domain, so that it loops without a seam."""
    count = 8 * RATE
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    shape = 1 / np.sqrt(1 + (frequency / 900) ** 4) * np.clip(frequency / 120, 0, 1)
    random = np.random.default_rng(7)
    noise = np.fft.irfft(shape * np.exp(2j * np.pi * random.random(len(frequency))), count)
    swell = 1 + 0.25 * np.sin(2 * np.pi * np.arange(count) / count) * np.sin(6 * np.pi * np.arange(count) / count)
    return np.asarray(noise / np.abs(noise).max() * swell)


def whoosh() -> Samples:
    """Under a second of noise whose colour rises and falls."""
    time = np.arange(int(0.9 * RATE)) / RATE
    noise = np.random.default_rng(11).standard_normal(len(time))
    middle = 300 + 2600 * np.sin(np.pi * time / 0.9) ** 2
    carrier = np.exp(2j * np.pi * np.cumsum(middle) / RATE)
    slow = np.convolve(noise, np.hanning(96) / 48, mode="same")
    return np.asarray((slow * carrier).real * np.sin(np.pi * time / 0.9) ** 2)


def chime() -> Samples:
    """A bell of three notes, one after another."""
    track = np.zeros(int(1.8 * RATE))
    for start, note in ((0.0, "E5"), (0.12, "G5"), (0.24, "C6")):
        bell = tone(note, 1.8 - start, 0.002, 0.45, (1, 0.0, 0.35, 0.0, 0.12))
        track[int(start * RATE) :][: len(bell)] += bell[: len(track) - int(start * RATE)]
    return track


SOUNDS = {"calm": (calm, 0.4), "wistful": (wistful, 0.4), "bright": (bright, 0.4), "rain": (rain, 0.12),
          "whoosh": (whoosh, 0.5), "chime": (chime, 0.5)}
"""Each sound with its peak level; noise is kept low because FLAC cannot make it small."""


def write(path: Path, samples: Samples, peak: float) -> None:
    """A mono FLAC file whose loudest sample is `peak`."""
    whole = np.round(samples / np.abs(samples).max() * peak * 32767).astype("<i2")
    arguments = ("-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "pipe:0",
                 "-c:a", "flac", "-compression_level", "12", "-bitexact", str(path))
    run(Command(arguments, what=f"write {path.name}"), stdin=whole.tobytes())


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("sounds")
    folder.mkdir(parents=True, exist_ok=True)
    for name, (make, peak) in SOUNDS.items():
        write(folder / f"{name}.flac", make(), peak)
        print(f"{name}.flac {(folder / f'{name}.flac').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
