"""The Prefect server as a child: found while it runs, gone afterwards, and clear when it cannot start."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from callsheet.doors.local.postgres import data_folder, database, remove_database
from callsheet.doors.local.postmaster import running_postmaster
from callsheet.doors.local.server import (
    Server,
    client_environment,
    prefect_server,
    running,
    server_environment,
    use_server,
)
from callsheet.errors import ServerError

ROOT = Path(__file__).parents[2]
NOWHERE = "postgresql+asyncpg://me:canary-pw@127.0.0.1:1/db"

UP = """
import sys, time
from pathlib import Path
from callsheet.doors.local.postgres import database
from callsheet.doors.local.server import prefect_server
with database(Path(sys.argv[1])) as url, prefect_server(Path(sys.argv[1]), url) as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""

FLOW = """
from prefect import flow
@flow(name="seen-by-the-server")
def seen() -> int:
    return 1
seen()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose database is removed at the end."""
    folder = tmp_path_factory.mktemp("home")
    yield folder
    _wait_until(lambda: running_postmaster(data_folder(folder)) is None, "the database still runs")
    remove_database(folder)


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    """One real server for all tests that only look at it."""
    with database(home) as url, prefect_server(home, url) as server:
        yield server


def _wait_until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def _post(url: str, body: object) -> object:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def _descendants(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_another_process_finds_the_server_while_it_runs(server: Server, home: Path) -> None:
    found = running(home)
    assert found is not None
    assert (found.api_url, found.ui_url, found.pid) == (server.api_url, server.ui_url, server.pid)


@pytest.mark.slow
def test_the_ui_is_served_and_talks_to_this_server(server: Server) -> None:
    assert b"<html" in _get(server.ui_url)
    settings = json.loads(_get(f"{server.ui_url}/ui-settings"))
    assert settings["api_url"] == server.api_url
    assert settings["default_ui"] == "v1", "the V2 pages ask an analytics host for its settings"
    assert json.loads(_get(f"{settings['api_url']}/health")) is True


@pytest.mark.slow
def test_a_flow_of_another_process_is_recorded(server: Server) -> None:
    environment = os.environ | {"PREFECT_PROFILE": "mine", "PREFECT_API_KEY": "pnu_x"} | client_environment(server)
    done = subprocess.run([sys.executable, "-c", FLOW], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    flows = _post(f"{server.api_url}/flows/filter", {"flows": {"name": {"any_": ["seen-by-the-server"]}}})
    assert isinstance(flows, list)
    assert len(flows) == 1


@pytest.mark.slow
def test_a_flow_run_may_have_a_megabyte_of_parameters(server: Server) -> None:
    made = _post(f"{server.api_url}/flows/", {"name": "much"})
    assert isinstance(made, dict)
    much = "x" * (1 << 20)
    run = _post(f"{server.api_url}/flow_runs/", {"flow_id": made["id"], "parameters": {"orders": much}})
    assert isinstance(run, dict)
    kept = json.loads(_get(f"{server.api_url}/flow_runs/{run['id']}"))
    assert kept["parameters"] == {"orders": much}


@pytest.mark.slow
def test_this_process_can_use_it_and_forgets_it_afterwards(server: Server) -> None:
    before = dict(os.environ)
    with use_server(server):
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_API_URL

        with get_client(sync_client=True) as client:
            assert client.hello().status_code == 200
        with ThreadPoolExecutor(1) as thread:
            seen = {PREFECT_API_URL.value(), thread.submit(PREFECT_API_URL.value).result()}
        assert seen == {server.api_url}
        assert os.environ["PREFECT_API_URL"] == server.api_url
    assert PREFECT_API_URL.value() != server.api_url
    assert {k: v for k, v in os.environ.items() if k.startswith("PREFECT")} == {
        k: v for k, v in before.items() if k.startswith("PREFECT")}


@pytest.mark.slow
def test_a_second_up_of_one_home_is_refused_and_told_where_the_first_is(server: Server, home: Path) -> None:
    with pytest.raises(ServerError, match=f"one runs already for .* at {server.ui_url}"), prefect_server(home, NOWHERE):
        pytest.fail("it started")
    assert running(home) is not None, "the refusal took the first one's state along"


@pytest.mark.slow
def test_a_one_shot_server_runs_beside_it_unannounced_and_leaves_no_process(server: Server, home: Path) -> None:
    with database(home) as url, prefect_server(home, url, one_shot=True) as own:
        assert own.api_url != server.api_url
        processes = _descendants(own.pid)
        found = running(home)
        assert found is not None
        assert found.api_url == server.api_url
    assert _alive(processes) == []


@pytest.mark.slow
def test_killing_the_owner_leaves_neither_server_nor_database(tmp_path: Path) -> None:
    try:
        with subprocess.Popen([sys.executable, "-c", UP, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE,
                              text=True) as up:
            assert up.stdout is not None
            processes = _descendants(int(up.stdout.readline()))
            assert running(tmp_path) is not None
            up.kill()
        _wait_until(lambda: not _alive(processes), "the server is an orphan")
        _wait_until(lambda: running_postmaster(data_folder(tmp_path)) is None, "the database is an orphan")
        assert (tmp_path / "up.json").exists(), "nothing stale to ignore"
        assert running(tmp_path) is None
    finally:
        remove_database(tmp_path)


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(ServerError) as caught, prefect_server(tmp_path, NOWHERE):
        pytest.fail("it started")
    assert "onnect" in str(caught.value), caught.value
    assert str(tmp_path / "logs" / "server.log") in str(caught.value)
    assert "canary-pw" not in str(caught.value) + (tmp_path / "logs" / "server.log").read_text()
    assert not (tmp_path / "up.json").exists()


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"port {port} of 127.0.0.1 is in use"), prefect_server(
            tmp_path, NOWHERE, port=port
        ):
            pytest.fail("it started")


@pytest.mark.parametrize("content", [
    "", "not json", "[]", "{}", '{"api_url": "http://127.0.0.1:1/api", "ui_url": "", "pid": 999999999}',
    '{"api_url": "http://127.0.0.1:1/api", "ui_url": "", "pid": 1}',
])
def test_a_stale_state_file_counts_as_no_server(content: str, tmp_path: Path) -> None:
    (tmp_path / "up.json").write_text(content)
    assert running(tmp_path) is None


@contextlib.contextmanager
def _healthy_stranger() -> Iterator[int]:
    """Something that answers 200 to everything, on a port; gives the port."""
    class Yes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Yes) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield web.server_address[1]
        web.shutdown()
        thread.join()


@pytest.mark.parametrize("held", [False, True])
def test_a_stranger_on_the_old_port_with_the_old_pid_is_not_our_server(held: bool, tmp_path: Path) -> None:
    with _healthy_stranger() as port, (tmp_path / "up.lock").open("w") as lock:
        if held:                                      # what a living `up` does, and nothing else does
            fcntl.flock(lock, fcntl.LOCK_EX)
        (tmp_path / "up.json").write_text(json.dumps(
            {"api_url": f"http://127.0.0.1:{port}/api", "ui_url": f"http://127.0.0.1:{port}", "pid": os.getpid()}))
        assert (running(tmp_path) is not None) is held


def test_the_server_inherits_nothing_of_another_server(tmp_path: Path) -> None:
    inherited = {"PREFECT_API_URL": "https://elsewhere", "PREFECT_API_KEY": "pnu_canary", "PREFECT_PROFILE": "mine",
                 "PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite://", "PREFECT_SERVER_UI_API_URL": "https://elsewhere",
                 "PREFECT_LOGGING_LEVEL": "DEBUG", "PATH": "/bin"}
    given = server_environment(tmp_path, NOWHERE, 4300, False, inherited)
    assert "elsewhere" not in str(given)
    assert "pnu_canary" not in str(given)
    assert not [name for name in given if name.startswith("PREFECT_SERVER_DATABASE")]
    assert (given["PREFECT_LOGGING_LEVEL"], given["PATH"]) == ("DEBUG", "/bin")
    assert given["PREFECT_UI_API_URL"] == "http://127.0.0.1:4300/api"
    assert (given["PREFECT_SERVER_ANALYTICS_ENABLED"], given["DO_NOT_TRACK"]) == ("false", "1")


@pytest.mark.parametrize(("one_shot", "wanted"), [(True, "false"), (False, "true")])
def test_only_an_up_server_starts_schedules_and_automations(one_shot: bool, wanted: str, tmp_path: Path) -> None:
    given = server_environment(tmp_path, NOWHERE, 4300, one_shot, {})
    assert {given[f"PREFECT_SERVER_SERVICES_{s}_ENABLED"] for s in ("SCHEDULER", "TRIGGERS", "LATE_RUNS")} == {wanted}


def test_behind_a_proxy_the_server_is_still_asked_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(tmp_path, "http://127.0.0.1:4300/api", "http://127.0.0.1:4300", 1, tmp_path / "server.log")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "intranet")
    assert client_environment(server)["NO_PROXY"] == "intranet,127.0.0.1,localhost"
    monkeypatch.setenv("NO_PROXY", "")
    assert client_environment(server)["no_proxy"] == "127.0.0.1,localhost"
