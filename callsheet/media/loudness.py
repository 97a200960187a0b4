"""Loudness and true peak as EBU R128 defines them, measured by ffmpeg's ebur128.

Covers measuring alone: how a sound is brought to a target is in limiter.py and mix.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from callsheet.errors import MediaError
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.sound import RATE

UNMEASURABLE_LUFS = -60.0
"""Below it (and in less than SHORTEST_SECONDS of sound) there is nothing that could be brought to a target."""

SHORTEST_SECONDS = 0.4

_NOTHING_LUFS = -70.0
"""What ebur128 says where nothing passes its gate."""


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
    return _measuring((*named, "-i", local_input(path)), "true", path.name)


def measure(path: Path) -> Loudness:
    """Loudness of a file's first sound. Raises MediaError."""
    return parse_summary(run(measure_command(path)), path.name)


def measure_raw(path: Path, peak_db: float = 0.0) -> float:
    """Integrated loudness, in LUFS, of a file of bare stereo floats at 48 kHz; -70 where nothing is loud enough.

    `peak_db` is its highest peak over full scale: ebur128 counts no louder than 10 LUFS, so it is shown what is
    above full scale that much lower. Without the true peak, which is the dear half of measuring. Raises MediaError.
    """
    lower_db = max(0.0, peak_db)
    source = ("-f", "f32le", "-ar", str(RATE), "-ac", "2", "-i", local_input(path))
    found = _integrated(run(_measuring(source, "none", path.name, lower_db)), path.name)
    return found + lower_db if found > _NOTHING_LUFS else found


def parse_summary(words: str, name: str) -> Loudness:
    """The figures in ebur128's summary. Raises MediaError when there is none."""
    lufs = _integrated(words, name)
    peak = re.search(r"\bPeak:\s+(-?[\d.]+|-?inf|nan) dBFS", words[words.rfind("Summary:"):])
    if peak is None:
        raise MediaError(what=f"measure the loudness of {name}", detail="ebur128 gave no true peak")
    return Loudness(None, None) if peak[1] == "-inf" else Loudness(lufs, float(peak[1]))


def _integrated(words: str, name: str) -> float:
    found = re.search(r"\bI:\s+(-?[\d.]+|-?inf|nan) LUFS", words[words.rfind("Summary:"):])
    if "Summary:" not in words or found is None:
        raise MediaError(what=f"measure the loudness of {name}", detail="ebur128 gave no summary")
    return float(found[1])


def _measuring(source: tuple[str, ...], peak: str, name: str, lower_db: float = 0.0) -> Command:
    lower = f"volume={-lower_db:.6f}dB:precision=float," if lower_db else ""
    return Command(
        ("-loglevel", "info", "-nostats", *source, "-map", "0:a:0",
         "-af", f"{lower}ebur128=peak={peak}:framelog=quiet", "-f", "null", "-"),
        what=f"measure the loudness of {name}",
    )
