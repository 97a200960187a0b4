"""Who may talk to the emulator and read what it keeps, and what a request cannot say about its processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from callsheet import project
from callsheet.runpod.emulator.serve import Emulator, running_emulator
from tests.runpod.emulation import IMAGES, rent, soon


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("home") / "emulator"
    with running_emulator(folder, images=IMAGES) as found:
        yield found


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9:80", "localhost", "LocalHost:8790", "[::1]", "[::1]:8790"])
def test_who_calls_it_by_a_loopback_name_is_let_in(emulator: Emulator, host: str) -> None:
    headers = {"Authorization": f"Bearer {emulator.key}", "Host": host}
    assert httpx.get(f"{emulator.url}/v2/pods", headers=headers, trust_env=False).status_code == 200


@pytest.mark.parametrize("host", [
    "evil.example", "evil.example:8790", "127.0.0.1.evil.example", "localhost.evil.example:8790", "10.0.0.1", "0.0.0.0",
    "[::]:8790", "[::ffff:10.0.0.1]", "127.0.0.1@evil.example", "127.0.0.1:80:evil", "localhost:x", "2130706433", "",
])
@pytest.mark.parametrize("path", ["/", "/v2/pods", "/jobs/e/health", "/emulator/state", "/worker/e/ping/w", "/none"])
def test_a_web_page_whose_name_leads_here_is_refused(emulator: Emulator, host: str, path: str) -> None:
    headers = {"Authorization": f"Bearer {emulator.key}", "Host": host}
    answer = httpx.get(f"{emulator.url}{path}", headers=headers, trust_env=False)
    assert answer.status_code == 421 and "127.0.0.1" in answer.text


def test_of_two_names_none_counts(emulator: Emulator) -> None:
    port = int(emulator.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert int(line.recv(4096).split()[1]) in (400, 421)


def test_no_request_says_where_a_containers_programs_are_found(emulator: Emulator) -> None:
    given = {"PATH": "/evil", "PYTHONPATH": "/evil", "LANG": "de_DE.UTF-8"}
    pod = rent(emulator, env=given)
    process = soon(lambda: emulator.state()["processes"].get(pod["id"]), "its process runs")
    found = dict(item.split("=", 1) for item in Path(f"/proc/{process}/environ").read_text().split("\0") if item)
    assert (found["PATH"], found["PYTHONPATH"]) == (os.environ["PATH"], str(project.root()))
    assert found["LANG"] == "de_DE.UTF-8"


def test_what_it_knows_is_its_owners_alone(emulator: Emulator) -> None:
    assert emulator.folder.stat().st_mode & 0o777 == 0o700
    databases = list(emulator.folder.glob("emulator.sqlite*"))
    assert databases and {path.stat().st_mode & 0o777 for path in databases} == {0o600}
