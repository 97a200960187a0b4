"""From job variables to a machine's order: what a pod is told when it is ordered, what a job may not bring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from callsheet.errors import SettingInvalid
from callsheet.pricing import Rate
from callsheet.runpod.job_hire import JobHire
from callsheet.runpod.job_variables import JobVariables
from callsheet.runpod.pod_hire import PodHire
from callsheet.settings import Settings
from tasks import renting as module
from tasks.renting import Renting
from tests.support.prefect_server import unconfigured

RUN = UUID("0c3a1f5e-8f4a-4d55-9a53-6a4f0a0f0001")
RATE = Rate(gpu="NVIDIA A40", usd_per_second=0.00022)
PUBLIC = "https://prefect.studio.example/api"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Renting]:
    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)
    settings = Settings.load({
        "CALLSHEET_HOME": str(tmp_path), "CALLSHEET_STORE": str(tmp_path / "store"), "RUNPOD_API_KEY": "key",
        "CALLSHEET_RUNPOD_API": "http://127.0.0.1:9", "CALLSHEET_RUNPOD_JOBS": "http://127.0.0.1:9/jobs",
        "CALLSHEET_RUNPOD_IMAGE": "callsheet:test", "RUNPOD_ENDPOINT_ID": "abc123",
        "CALLSHEET_PREFECT_PUBLIC_URL": PUBLIC})
    yield Renting(settings, "http://127.0.0.1:4200/api")


def test_a_pods_time_counts_from_its_own_order(account: Renting, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that replaces another has its whole time again."""
    hire = account.hire(RUN, JobVariables(deadline_s=600), {}, account.books(RUN, "gpu"))
    assert isinstance(hire, PodHire)
    for ordered in (1_800_000_000.0, 1_800_000_450.0):
        monkeypatch.setattr(module.time, "time", lambda now=ordered: now)
        told = hire._environment(RATE)
        assert (float(told["CALLSHEET_POD_UNTIL"]), told["CALLSHEET_POD_DEADLINE_S"]) == (ordered + 600, "600")


def test_an_endpoints_job_with_variables_of_the_pool_is_refused_before_anything_is_asked(account: Renting) -> None:
    asked = JobVariables(mode="serverless")
    with pytest.raises(SettingInvalid, match="HF_TOKEN.*endpoint's template"):
        account.hire(RUN, asked, {"HF_TOKEN": "x"}, account.books(RUN, "gpu"))
    hire = account.hire(RUN, asked, {"PREFECT__WORKER_NAME": "w"}, account.books(RUN, "gpu"))
    assert isinstance(hire, JobHire) and hire._api == PUBLIC
