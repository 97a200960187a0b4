"""How callsheet's cost grows with the length of a film: smart render, one pass, hard cuts and their floor.

Long films show the same conformed clips again, each time under a ref of its own, as different clips would
have; voices are one line a clip.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import BYTES_AND_SOUND, ONE_PASS, OURS, Contender, Result, compete
from bench.footage import FPS, Footage, Scale, job_of
from bench.job import Case
from bench.measure import Failed

SMART, CUTS, FLOOR, ONE_PASS_FILM = "smart render", "hard cuts", "file copy and sound", "one pass"
KINDS: Sequence[tuple[str, Contender, Case]] = (
    (SMART, OURS, Case.SOFT),
    (CUTS, OURS, Case.CUTS),
    (FLOOR, BYTES_AND_SOUND, Case.CUTS),
    (ONE_PASS_FILM, ONE_PASS, Case.SOFT),
)


@dataclass(frozen=True)
class Point:
    """One film of one length."""

    kind: str
    minutes: float
    result: Result | None
    failure: str = ""


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A temporary folder beside the footage, so that films are written to the same disk."""
    made = Path(tempfile.mkdtemp(prefix="films-", dir=folder))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def segments_for(minutes: float, scale: Scale, overlap: int) -> int:
    """Clips for a film of about so many minutes."""
    return max(1, round((minutes * 60 * FPS - overlap) / (scale.frames - overlap)))


def grow(footage: Footage, scale: Scale, conformed: tuple[Path, ...], minutes: Sequence[float], work: Path,
         without: Set[str], say: Callable[[str], None]) -> list[Point]:
    """Every kind of film at every length, once. A kind that fails at a length is reported, and goes on."""
    points = []
    for length in minutes:
        for kind, contender, case in KINDS:
            if contender.name in without:
                continue
            overlap = 0 if case is Case.CUTS else scale.overlap
            job = job_of(case, scale, footage, conformed, segments_for(length, scale, overlap))
            folder = work / f"{length:g}-{kind.replace(' ', '_')}"
            try:
                result = compete(contender, job, folder)
            except Failed as failure:
                points.append(Point(kind, length, None, str(failure).strip().splitlines()[-1][:200]))
                say(f"{length:g} min, {kind}: failed: {points[-1].failure}")
            else:
                points.append(Point(kind, length, result))
                say(f"{length:g} min, {kind}: {result.usage.cpu_s:.1f} CPU-s, {result.usage.peak_bytes / 1e6:.0f} MB")
            shutil.rmtree(folder)
    return points
