"""What `callsheet up` starts its workers with; a whole `up` is tests/e2e/test_up.py's matter."""

from __future__ import annotations

import os
import re

import pytest
import yaml

from callsheet import project
from callsheet.doors.up import POOLS, RENTED_AT_A_TIME, pools, worker_command
from callsheet.settings import Settings


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_runs_no_more_at_a_time_than_its_pool_allows(pool: str) -> None:
    command = worker_command(pool, POOLS[pool])
    assert command[command.index("--pool") + 1] == pool
    assert command[command.index("--limit") + 1] == str(POOLS[pool])


def test_rented_machines_get_a_worker_only_where_runpod_is_configured() -> None:
    assert pools(Settings.load()) == POOLS
    assert pools(Settings.load({"RUNPOD_API_KEY": "k"})) == POOLS | {"runpod": RENTED_AT_A_TIME}


def test_beside_the_nightly_batch_and_a_film_there_is_room_for_events() -> None:
    assert POOLS["cpu"] >= max(4, os.cpu_count() or 0)
    assert POOLS["gpu"] == 2


def test_no_run_waits_for_a_run_of_its_own_pool() -> None:
    """Else a limit could lock up: every slot waiting for a run that gets none."""
    waits_in = {
        f"{spec['entrypoint'].rpartition(':')[2]}/{spec['name']}": spec["work_pool"]["name"]
        for spec in yaml.safe_load((project.root() / "prefect.yaml").read_text())["deployments"]
    }
    sources = {path.stem: path.read_text() for path in (project.root() / "flows").glob("*.py")}
    asked = {
        (flow, called) for flow, text in sources.items()
        for called in re.findall(r'run_deployment\(\s*"([\w/-]+)"', text)
    }
    asked |= {("pool", found) for found in re.findall(r'^SHOOT = "([\w/-]+)"', sources["pool"], re.M)}
    assert asked == {("pool", "shoot/gpu"), ("lora_trained", "produce/cpu")}, "think about the pools' limits"
    assert waits_in["shoot/gpu"] == "{{ $CALLSHEET_GPU_POOL }}"
    waits = {"batch", "produce", "order_form"}        # in their processes somebody waits for the shoot
    assert {pool for name, pool in waits_in.items() if name.split("/")[0] in waits} == {"cpu"}
