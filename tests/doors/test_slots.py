"""Slots of concurrency limits after violence: nobody waits for a run that is dead, and nobody takes a living one's."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callsheet.doors.local.postgres import data_folder, database, first_use, remove_database
from callsheet.doors.local.postmaster import running_postmaster
from callsheet.doors.local.server import lease_folder, server_environment
from callsheet.doors.local.slots import drop_leases

ROOT = Path(__file__).parents[2]

TAKE = """
import sys
from callsheet.doors.served import served
from callsheet.settings import Settings

slots, patience_s = int(sys.argv[2]), float(sys.argv[3])
with served(Settings.load({"CALLSHEET_HOME": sys.argv[1]})):
    from prefect.concurrency.sync import concurrency
    from tasks.policy import GPU_LIMIT
    try:
        with concurrency(GPU_LIMIT, occupy=slots, strict=True, timeout_seconds=patience_s):
            print("taken", flush=True)
            sys.stdin.readline()
    except TimeoutError:
        print("denied", flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    yield folder
    deadline = time.monotonic() + 60
    while running_postmaster(data_folder(folder)):
        assert time.monotonic() < deadline, "the database still runs"
        time.sleep(0.05)
    remove_database(folder)


@contextmanager
def _taking(home: Path, slots: int, patience_s: float = 5) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process with a server of its own that takes slots of the GPU limit until its standard input ends."""
    command = [sys.executable, "-c", TAKE, str(home), str(slots), str(patience_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()


def _all_slots() -> int:
    from deployments.apply import limits
    from tasks.policy import GPU_LIMIT

    return limits()[GPU_LIMIT]


@pytest.mark.soak
@pytest.mark.slow
def test_after_kill_9_of_who_held_every_slot_the_next_run_gets_them_all_at_once(home: Path) -> None:
    with _taking(home, _all_slots()) as (process, said):
        assert said == "taken"
        assert list(lease_folder(home).glob("*-*.json")), "the lease is not kept in the home"
        process.kill()
    with _taking(home, _all_slots()) as (_, said):
        assert said == "taken"
    assert not first_use(home).exists(), "the slots would be freed again"


@pytest.mark.soak
def test_a_run_that_joins_another_does_not_take_its_slots(home: Path) -> None:
    with _taking(home, _all_slots()) as (_, first), _taking(home, 1, patience_s=1) as (_, second):
        assert (first, second) == ("taken", "denied")


@pytest.mark.slow
def test_only_the_first_user_of_a_database_finds_it_marked(home: Path) -> None:
    with database(home):
        assert first_use(home).exists()
        first_use(home).unlink()
        with database(home):
            assert not first_use(home).exists()
    with database(home):
        assert first_use(home).exists()


def test_leases_of_others_are_left_alone_while_the_database_is_in_use(tmp_path: Path) -> None:
    lease_folder(tmp_path).mkdir(parents=True)
    drop_leases(tmp_path)
    assert lease_folder(tmp_path).is_dir()


@pytest.mark.parametrize("one_shot", [True, False])
def test_leases_outlive_the_server_and_are_looked_after_whatever_is_inherited(one_shot: bool, tmp_path: Path) -> None:
    inherited = {"PREFECT_SERVER_SERVICES_REPOSSESSOR_ENABLED": "false",
                 "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.memory"}
    given = server_environment(tmp_path, "postgresql+asyncpg://x/y", 4300, one_shot, inherited)
    assert given["PREFECT_SERVER_SERVICES_REPOSSESSOR_ENABLED"] == "true"
    assert given["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"] == "prefect.server.concurrency.lease_storage.filesystem"
    assert lease_folder(tmp_path).parent == Path(given["PREFECT_HOME"])
