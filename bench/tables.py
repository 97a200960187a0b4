"""Figures as markdown."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.contenders import BYTES_AND_SOUND, MOVIEPY, NAIVE, ONE_GRAPH, ONE_PASS, OURS, OURS_RAW
from bench.growth import CUTS, FLOOR, ONE_PASS_FILM, SMART, Point
from bench.job import Case, Job
from callsheet.media.ffmpeg import ffmpeg_version

if TYPE_CHECKING:
    from bench.run import Score

TARGETS: Sequence[tuple[Case, str, str, float]] = (
    (Case.SOFT, OURS.name, MOVIEPY.name, 0.15),
    (Case.SOFT, OURS.name, ONE_PASS.name, 0.28),
    (Case.BURNED, OURS_RAW.name, MOVIEPY.name, 0.60),
    (Case.BURNED, OURS_RAW.name, NAIVE.name, 0.42),
    (Case.CUTS, OURS.name, BYTES_AND_SOUND.name, 2.0),
)
"""Case, contender, whom it is compared with, and the greatest share of that one's CPU seconds."""

SMART_MB, ONE_PASS_MB = 350, 550


def machine() -> str:
    return (f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}; Python {platform.python_version()}, "
            f"ffmpeg {ffmpeg_version()}; load {os.getloadavg()[0]:.1f} at the start\n")


def case_table(case: Case, job: Job, falloff: float, scores: Sequence[Score]) -> str:
    """One case: costs, ratios, picture, where the time goes, and the targets."""
    by_name = {score.contender.name: score for score in scores}
    others = [name for name in (MOVIEPY.name, ONE_PASS.name, ONE_GRAPH.name, NAIVE.name) if name in by_name]
    heads = ["made by", "clips given", "CPU-s", *(f"of {name}" for name in others), "wall s", "peak MB",
             "largest process MB", "Y / chroma PSNR dB", "frames"]
    rows = []
    for score in scores:
        picture = score.quality
        rows.append([
            score.contender.title, "conformed" if score.conformed else "raw", f"{score.cpu_s:.1f}",
            *(f"{score.cpu_s / by_name[name].cpu_s:.2f}" for name in others), f"{score.wall_s:.1f}",
            f"{score.peak_mb:.0f}", f"{score.largest_mb:.0f}",
            f"{_decibels(picture.luma)} / {_decibels(picture.chroma)}" if picture else "", f"{picture.frames}"
            if picture else "",
        ])
    runs = len(scores[0].runs)
    title = (f"### {case.headline}\n{len(job.clips)} clips of {job.frames} frames, {job.width}x{job.height} at "
             f"{job.fps}, spectrum 1/f^{falloff:g}; {job.film_frames} frames out; x264 {job.preset}, crf {job.crf}; "
             f"{f'medians of {runs} runs' if runs > 1 else 'one run'}\n")
    return "\n".join([title, _table(heads, rows), "", *_steps(scores), "", *_targets(case, by_name), ""])


def growth_table(points: Sequence[Point]) -> str:
    """Cost by length, and by minute of film."""
    heads = ["film", "minutes", "CPU-s", "CPU-s a minute", "wall s", "peak MB", "largest process MB", "steps, CPU-s"]
    rows = []
    for point in sorted(points, key=lambda point: (point.kind, point.minutes)):
        if point.result is None:
            rows.append([point.kind, f"{point.minutes:g}", "failed", "", "", "", "", point.failure])
            continue
        used = point.result.usage
        rows.append([
            point.kind, f"{point.minutes:g}", f"{used.cpu_s:.1f}", f"{used.cpu_s / point.minutes:.1f}",
            f"{used.wall_s:.1f}", f"{used.peak_bytes / 1e6:.0f}", f"{used.largest_bytes / 1e6:.0f}",
            _shares(point.result.steps),
        ])
    return "\n".join(["### growth", "", _table(heads, rows), "", *_limits(points), ""])


def _limits(points: Sequence[Point]) -> list[str]:
    """Memory against its limits, and from 5 minutes on; hard cuts against their floor."""
    made = {(point.kind, point.minutes): point.result.usage for point in points if point.result}
    lengths = sorted({minutes for _, minutes in made})
    lines = []
    for kind, most in ((SMART, SMART_MB), (ONE_PASS_FILM, ONE_PASS_MB)):
        peaks = {minutes: made[kind, minutes].peak_bytes / 1e6 for minutes in lengths if (kind, minutes) in made}
        if peaks:
            lines.append(f"- {kind}: at most {max(peaks.values()):.0f} MB; wanted below {most}: "
                         f"{'reached' if max(peaks.values()) < most else '**missed**'}")
        flat = [peak for minutes, peak in peaks.items() if minutes >= 5]
        if len(flat) > 1:
            lines.append(f"- {kind}: {min(flat):.0f} to {max(flat):.0f} MB from 5 minutes on")
    for minutes in lengths:
        if (CUTS, minutes) in made and (FLOOR, minutes) in made:
            ours, floor = made[CUTS, minutes], made[FLOOR, minutes]
            lines.append(f"- {CUTS}, {minutes:g} minutes: {ours.cpu_s / floor.cpu_s:.2f} of the CPU and "
                         f"{ours.wall_s / floor.wall_s:.2f} of the time of {FLOOR}; wanted at most 2")
    return lines


def _steps(scores: Sequence[Score]) -> list[str]:
    return ["CPU seconds by step:", "",
            *(f"- {score.contender.title}: {_shares(score.steps)}" for score in scores if score.steps)]


def _shares(steps: Mapping[str, float]) -> str:
    return ", ".join(f"{step} {cpu_s:.2f}" for step, cpu_s in steps.items())


def _targets(case: Case, by_name: Mapping[str, Score]) -> list[str]:
    lines = []
    for where, name, other, most in TARGETS:
        if where is case and name in by_name and other in by_name:
            share = by_name[name].cpu_s / by_name[other].cpu_s
            lines.append(f"- {by_name[name].contender.title}: {share:.3f} of the CPU of "
                         f"{by_name[other].contender.title}; wanted at most {most:.2f}: "
                         f"{'reached' if share <= most else '**missed**'}")
    return lines


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _decibels(value: float) -> str:
    return "exact" if math.isinf(value) else f"{value:.1f}"
