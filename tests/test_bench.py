"""The benchmark works: contenders make the film that was asked, and the meter counts whole process trees."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from bench.contenders import NAIVE, ONE_PASS, OURS
from bench.footage import Scale
from bench.growth import segments_for
from bench.job import Case, read_job
from bench.measure import Failed, measured
from bench.run import contest, prepare
from bench.tables import case_table

TINY = Scale(segments=2, frames=20, overlap=4, width=96, height=160, preset="ultrafast")

CHILD = """
import time
held = bytearray(60 << 20)
while time.process_time() < 0.3: pass
"""
FAMILY = """
import subprocess, sys, time
held = bytearray(60 << 20)
children = [subprocess.Popen([sys.executable, "-c", child]) for child in sys.argv[1:]]
sys.exit(sum(child.wait() for child in children))
"""


def test_the_meter_counts_cpu_and_memory_of_children_too(tmp_path: Path) -> None:
    usage = measured((sys.executable, "-c", FAMILY, CHILD, CHILD), tmp_path, tmp_path / "log")
    assert 0.6 <= usage.cpu_s < 2, f"{usage.cpu_s:.2f} CPU-s for two children of 0.3 s"
    megabytes = usage.peak_bytes / (1 << 20)
    assert 180 <= megabytes < 300, f"{megabytes:.0f} MB for three processes that hold 60 MB each"
    assert usage.largest_bytes < usage.peak_bytes, "one process cannot be as large as all three"


def test_a_contender_that_fails_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no such film"):
        measured((sys.executable, "-c", "raise SystemExit('no such film')"), tmp_path, tmp_path / "log")


def test_a_film_of_an_hour_lasts_an_hour() -> None:
    count = segments_for(60, Scale(), 15)
    assert abs((count * 150 - (count - 1) * 15) / 30 - 3600) < 5


@pytest.mark.slow
def test_every_contender_makes_the_film_that_was_asked(tmp_path: Path) -> None:
    clips = prepare(tmp_path, TINY)
    job = clips.job(Case.SOFT, OURS)
    assert read_job(job.write(tmp_path / "job.json")) == job
    scores = contest(Case.SOFT, clips, (OURS, ONE_PASS, NAIVE), 1, tmp_path, None)
    for score in scores:
        assert score.quality is not None
        assert score.quality.frames == job.film_frames == 36, f"{score.contender.title}: {score.quality.frames} frames"
        assert score.quality.luma > 30, f"{score.contender.title}: {score.quality.luma:.1f} dB"
        assert 0.1 < score.cpu_s < 60
    assert scores[0].quality is not None
    assert math.isinf(scores[0].quality.luma), "untouched frames are copied"
    table = case_table(Case.SOFT, job, TINY.falloff, scores)
    assert table.count("| conformed |") == 3, table
