"""A single job is made where it is run, wherever batches send their GPU work."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.jobs.requests import PosterFrame
from callsheet.models import Gpu
from tasks.direct import direct
from tasks.reply import answering


@pytest.mark.parametrize("place", ["endpoint", "pool", "auto"])
def test_a_job_runs_here_whatever_the_setting(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path))
    monkeypatch.setenv("CALLSHEET_GPU", place)
    monkeypatch.setenv("RUNPOD_API_KEY", "k")
    request = PosterFrame(job_type="poster_frame", actor_id="ava", character_lora_name="ava")
    with direct(), answering(request) as job:
        assert job.run.gpu is Gpu.HERE
