"""Loudness as EBU R128 defines it: measured, and brought to a target under a true-peak ceiling.

Gain, then a limiter that works at four times the rate, so that it sees the peaks between samples. Covers
WAV to WAV; what an encoder adds on top is mix.py's matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from callsheet.errors import MediaError
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.sound import RATE

UNMEASURABLE_LUFS = -60.0
"""Below it (and in less than 0.4 s of sound) there is nothing that could be brought to a target."""

_OVERSAMPLED = RATE * 4
_CLOSE_LU = 0.2
_ROUNDS = 4
_MOST_EXTRA_DB = 6.0
"""More gain into the limiter than this would squash the sound for the sake of a figure."""


@dataclass(frozen=True)
class Loudness:
    """Integrated loudness in LUFS and true peak in dBTP, both to a tenth; None where there is silence."""

    lufs: float | None
    true_peak_dbtp: float | None

    @property
    def measurable(self) -> bool:
        return self.lufs is not None and self.lufs > UNMEASURABLE_LUFS


def measure_command(path: Path) -> Command:
    """Read all of a file's first sound; the figures are in what ffmpeg says at the end."""
    named = ("-f", "wav") if path.suffix == ".wav" else ()
    return Command(
        ("-loglevel", "info", "-nostats", *named, "-i", local_input(path), "-map", "0:a:0",
         "-af", "ebur128=peak=true:framelog=quiet", "-f", "null", "-"),
        what=f"measure the loudness of {path.name}",
    )


def measure(path: Path) -> Loudness:
    """Loudness of a file's first sound. Raises MediaError."""
    return parse_summary(run(measure_command(path)), path.name)


def parse_summary(words: str, name: str) -> Loudness:
    """The figures in ebur128's summary. Raises MediaError when there is none."""
    summary = words[words.rfind("Summary:"):]
    integrated = re.search(r"\bI:\s+(-?[\d.]+|-?inf|nan) LUFS", summary)
    peak = re.search(r"\bPeak:\s+(-?[\d.]+|-?inf|nan) dBFS", summary)
    if "Summary:" not in words or integrated is None or peak is None:
        raise MediaError(what=f"measure the loudness of {name}", detail="ebur128 gave no summary")
    if peak[1] == "-inf":
        return Loudness(None, None)
    return Loudness(float(integrated[1]), float(peak[1]))


def level_command(source: Path, out: Path, gain_db: float, ceiling_dbtp: float, samples: int) -> Command:
    """Apply a gain and limit true peaks to `ceiling_dbtp`; exactly `samples` samples come out."""
    limit = 10 ** (ceiling_dbtp / 20)
    filters = (
        f"volume={gain_db:.3f}dB:precision=double",
        f"aresample={_OVERSAMPLED}",
        f"alimiter=limit={limit:.6f}:level=0:attack=5:release=50:latency=1",   # latency=1: no delay of 5 ms
        f"aresample={RATE}",
        "apad",
        f"atrim=end_sample={samples}",
    )
    return Command(
        ("-f", "wav", "-i", local_input(source), "-af", ",".join(filters), "-c:a", "pcm_f32le", "-rf64", "auto",
         "-bitexact", local_input(out)),
        what=f"bring {source.name} to its loudness",
    )


def bring_to(source: Path, out: Path, target_lufs: float, ceiling_dbtp: float, samples: int) -> Loudness:
    """Write `source` to `out` at `target_lufs`, its true peaks limited; returns what came out.

    What cannot be measured keeps its level. Sound whose peaks leave no room ends below the target: the
    caller compares. Raises MediaError.
    """
    before = measure(source)
    gain = wanted = target_lufs - before.lufs if before.lufs is not None and before.measurable else 0.0
    run(level_command(source, out, gain, ceiling_dbtp, samples))
    after = measure(out)
    for _ in range(_ROUNDS - 1):                       # the limiter took some of it: ask for more
        if not before.measurable or after.lufs is None or abs(target_lufs - after.lufs) <= _CLOSE_LU:
            break
        asked = min(gain + target_lufs - after.lufs, wanted + _MOST_EXTRA_DB)
        if abs(asked - gain) < _CLOSE_LU / 2:
            break
        gain = asked
        run(level_command(source, out, gain, ceiling_dbtp, samples))
        after = measure(out)
    return after
