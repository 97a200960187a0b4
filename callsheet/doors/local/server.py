"""The Prefect server as a child process, and how other processes find and use it.

Covers starting, health, the state file <home>/up.json, and the variables that point a process at a server.
The database is postgres.py's matter. Prefect is imported by `use_server` alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from callsheet.doors.local.home import usable
from callsheet.doors.local.process import Child
from callsheet.errors import ServerError

HOST = "127.0.0.1"
_START_S = 180.0
_TRIES = 3

_OF_ANOTHER_SERVER = (
    "PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_UI_", "PREFECT_SERVER_UI_",
    "PREFECT_API_DATABASE_", "PREFECT_SERVER_DATABASE_", "PREFECT_SERVER_API_HOST", "PREFECT_SERVER_API_PORT",
    "PREFECT_LOGGING_HANDLERS_",
)
"""Variables, or beginnings of them, that a server of ours must not inherit. A command that keeps its terminal quiet
does not mean the server's log."""


@dataclass(frozen=True)
class Server:
    """A Prefect server that answered."""

    home: Path
    api_url: str
    ui_url: str
    pid: int
    log: Path
    child: Child | None = None
    """Set where this process started it."""
    one_shot: bool = False


@contextlib.contextmanager
def prefect_server(
    home: Path,
    database_url: str,
    *,
    port: int = 0,
    one_shot: bool = False,
    secrets: Collection[str] = (),
) -> Iterator[Server]:
    """While it is open, a Prefect server with UI answers on 127.0.0.1; `port` 0 takes a free one.

    An `up` server is one a home and stands in up.json, so that `running` finds it. A `one_shot` server serves
    this process alone: it is not announced, and starts neither schedules nor automations. Its log is
    <home>/logs/server.log. Raises ServerError with the server's last words.
    """
    home = home.absolute()
    with contextlib.ExitStack() as stack:
        if not one_shot:
            stack.enter_context(_only_one(home))
        server = _start(home, database_url, port, one_shot, secrets)
        assert server.child is not None
        stack.callback(server.child.stop)
        if not one_shot:
            stack.callback((home / "up.json").unlink, missing_ok=True)
            _announce(server)
        yield server


def running(home: Path) -> Server | None:
    """The server that `up` runs for this home, None when there is none that answers. A stale file counts as none."""
    home = home.absolute()
    try:
        state = json.loads((home / "up.json").read_text())
        server = Server(home, state["api_url"], state["ui_url"], int(state["pid"]), home / "logs" / "server.log")
        os.kill(server.pid, 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return server if _is_locked(home) and _healthy(server.api_url) else None


def client_environment(server: Server) -> dict[str, str]:
    """Variables that point a process (a flow, a worker, `prefect`) at this server; to be laid over its own."""
    environment = {
        "PREFECT_API_URL": server.api_url,
        "PREFECT_UI_URL": server.ui_url,
        "PREFECT_HOME": str(server.home / "prefect"),
        "PREFECT_PROFILE": "local",                   # a profile of the user's is not in this PREFECT_HOME
        "PREFECT_API_KEY": "",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",    # a run whose process died is noticed by its silence
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    return environment | _without_proxy(os.environ)


@contextlib.contextmanager
def use_server(server: Server) -> Iterator[None]:
    """While it is open, this process and what it starts talk to `server`."""
    wanted = client_environment(server)
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        # Threads that are not Prefect's own see the global settings, all others the innermost temporary ones.
        from prefect import settings as prefect_settings
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()
        updates: dict[Any, Any] = {
            prefect_settings.PREFECT_API_URL: server.api_url,
            prefect_settings.PREFECT_UI_URL: server.ui_url,
            prefect_settings.PREFECT_HOME: wanted["PREFECT_HOME"],
            # Nobody listens for them on a one-shot server, and each flow would wait a second for their thread.
            prefect_settings.PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None if server.one_shot else 30,
        }
        with prefect_settings.temporary_settings(updates, restore_defaults={prefect_settings.PREFECT_API_KEY}):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    refresh_global_settings_context()


def server_environment(
    home: Path, database_url: str, port: int, one_shot: bool, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Everything the server's process gets."""
    kept = {k: v for k, v in inherited.items() if not k.startswith(_OF_ANOTHER_SERVER)}
    always = "false" if one_shot else "true"
    return kept | {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_PROFILE": "local",
        "PREFECT_API_DATABASE_CONNECTION_URL": database_url,
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_UI_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_UI_ENABLED": "true",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",      # the V2 pages ask an analytics host for its settings
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_UI_STATIC_DIRECTORY": str(home / "prefect" / "ui"),     # else it writes among installed packages
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": always,
        "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": always,
        "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": always,
        # Who holds a concurrency slot is kept in <home>/prefect, not in memory, where it would be lost with a killed
        # server while the database still counts the slot as taken; the repossessor frees what is not renewed.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_SERVICES_REPOSSESSOR_ENABLED": "true",
        "PREFECT_SERVER_API_MAX_PARAMETER_SIZE": "0",  # no limit: a shoot's parameters are whole orders
        "PYTHONUNBUFFERED": "1",
    } | _without_proxy(inherited)


def lease_folder(home: Path) -> Path:
    """Where the server keeps who holds a slot of a concurrency limit."""
    return home.absolute() / "prefect" / "concurrency_leases"


def _start(home: Path, database_url: str, port: int, one_shot: bool, secrets: Collection[str]) -> Server:
    with usable(home, "the Prefect server"):
        (home / "prefect").mkdir(parents=True, exist_ok=True)
    password = urlsplit(database_url).password
    hidden = frozenset(filter(None, {*secrets, password}))
    log = home / "logs" / "server.log"
    for tries_left in reversed(range(_TRIES)):
        number = port or _free_port()
        if not _is_free(number):
            raise ServerError(what="the Prefect server", detail=f"port {number} of {HOST} is in use", log=log,
                              remedy="choose another port with --port, or end the program that has it")
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(number)]
        environment = server_environment(home, database_url, number, one_shot, os.environ)
        # Its working folder is its own: Prefect reads .env and prefect.toml where it stands.
        child = Child("server", command, environment, log, secrets=hidden, cwd=home / "prefect")
        url = f"http://{HOST}:{number}"
        try:
            if _await_health(f"{url}/api", child):
                return Server(home, f"{url}/api", url, child.pid, log, child, one_shot)
        except BaseException:
            child.stop()
            raise
        words = child.last_words()
        child.stop()
        if port or not tries_left or "already in use" not in words:       # somebody took the free port meanwhile
            raise ServerError(what="the Prefect server", detail=words or "it said nothing", log=log)
    raise AssertionError("unreachable")


def _await_health(api_url: str, child: Child) -> bool:
    deadline = time.monotonic() + _START_S
    while child.poll() is None:
        if _healthy(api_url):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return False


def _healthy(api_url: str) -> bool:
    parts = urlsplit(api_url)                         # no proxy is asked, whatever the environment says
    connection = http.client.HTTPConnection(parts.hostname or HOST, parts.port, timeout=5)
    try:
        connection.request("GET", f"{parts.path}/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _announce(server: Server) -> None:
    state = {"api_url": server.api_url, "ui_url": server.ui_url, "pid": server.pid,
             "started": datetime.now(UTC).isoformat(timespec="seconds")}
    temporary = server.home / f".up.json.{os.getpid()}"
    with usable(server.home, "the Prefect server"):
        temporary.write_text(json.dumps(state, indent=2) + "\n")
        temporary.replace(server.home / "up.json")


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the lock that says: this home's `up` runs. The kernel lets go of it however this process ends."""
    with usable(home, "the Prefect server"):
        home.mkdir(parents=True, exist_ok=True)
        file = (home / "up.lock").open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = running(home)
            where = f" at {other.ui_url}" if other else ""
            raise ServerError(what="the Prefect server", detail=f"one runs already for {home}{where}",
                              log=home / "logs" / "server.log",
                              remedy="use that one, end it first, or set CALLSHEET_HOME to another folder") from None
        yield


def _is_locked(home: Path) -> bool:
    try:
        with (home / "up.lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Where a proxy is set, loopback addresses must be excepted, or clients ask the proxy for our server."""
    if not any(name.lower() in ("http_proxy", "all_proxy") for name in environment):
        return {}
    excepted = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    names = dict.fromkeys([*filter(None, excepted.split(",")), HOST, "localhost"])
    return {"NO_PROXY": ",".join(names), "no_proxy": ",".join(names)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
