"""A run whose processes are gone is marked Crashed, its worker is started again, and the next run goes on."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from tests.support.house import forget, small_manifest, up

pytestmark = pytest.mark.soak


def test_a_run_whose_worker_is_killed_is_marked_and_taken_up_again(tmp_path: Path) -> None:
    manifest = small_manifest(tmp_path)
    try:
        with up(tmp_path, manifest) as house:
            nightly = house.deployment("batch/nightly")
            run = house.post(f"/deployments/{nightly}/create_flow_run", {"state": {"type": "SCHEDULED"}})
            house.wait("the run to begin", lambda: house.get(f"/flow_runs/{run['id']}")["state_type"] == "RUNNING")
            time.sleep(3)
            for process in worker_processes(house.process.pid):
                process.kill()
            crashed = house.wait(
                "the run to be marked",
                lambda: house.get(f"/flow_runs/{run['id']}")["state_type"] != "RUNNING" and
                house.get(f"/flow_runs/{run['id']}"),
                patience_s=240,
            )
            assert crashed["state_name"] == "Crashed"
            assert "its process is gone" in crashed["state"]["message"]
            again = house.post(f"/deployments/{nightly}/create_flow_run", {"state": {"type": "SCHEDULED"}})
            ended = house.wait(
                "the next run to end",
                lambda: house.get(f"/flow_runs/{again['id']}")["state_type"] in ("COMPLETED", "FAILED") and
                house.get(f"/flow_runs/{again['id']}"),
            )
            assert ended["state_type"] == "COMPLETED", house.words()
            assert len(house.films()) == 2
    finally:
        forget(tmp_path)


def worker_processes(root: int) -> list[psutil.Process]:
    """The cpu worker and all that it started."""
    children = psutil.Process(root).children(recursive=True)
    workers = [child for child in children if "cpu-here" in child.cmdline()]
    return list({p.pid: p for worker in workers for p in (worker, *worker.children(recursive=True))}.values())
