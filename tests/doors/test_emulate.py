"""`callsheet emulate`: says what to export, answers there to its owner alone, and ends on Ctrl-C with nothing left."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from callsheet.doors.emulate import emulate
from callsheet.errors import ServerError
from callsheet.runpod.emulator.options import Options

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def emulating(folder: Path) -> Iterator[dict[str, str]]:
    """What the command says to export, while it runs as for a user whose files everybody may read."""
    program = ("import os; os.umask(0o022); from pathlib import Path; from rich.console import Console;"
               f"from callsheet.doors.emulate import emulate; emulate(0, Console(), folder=Path({str(folder)!r}))")
    with subprocess.Popen([sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True) as child:
        assert child.stdout is not None
        told: dict[str, str] = {}
        try:
            for line in child.stdout:
                if found := re.match(r"\s+export (\w+)=(\S+)$", line):
                    told[found[1]] = found[2]
                if "Ctrl-C" in line:
                    break
            yield told
        finally:
            child.send_signal(signal.SIGINT)
            assert "stopped" in child.stdout.read()
            assert child.wait() == 0


def pods(told: dict[str, str], key: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.get(f"{told['CALLSHEET_RUNPOD_API']}/v2/pods", headers=headers, trust_env=False)


def test_a_port_that_is_taken_is_said_with_a_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServerError, match="--port"):
        emulate(taken.getsockname()[1], Console(file=io.StringIO()), folder=tmp_path)


def test_it_says_what_to_export_answers_there_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    with emulating(tmp_path) as told:
        assert pods(told, told["RUNPOD_API_KEY"]).json() == {"pods": []}
        assert told["CALLSHEET_RUNPOD_JOBS"] == f"{told['CALLSHEET_RUNPOD_API']}/jobs"
        assert told["CALLSHEET_RUNPOD_IMAGE"] == "callsheet:emulated"
        assert Options().key not in told["RUNPOD_API_KEY"] and len(told["RUNPOD_API_KEY"]) >= 32
        assert pods(told, Options().key).status_code == 401


def test_its_key_is_its_folders_and_its_folder_is_its_owners(tmp_path: Path) -> None:
    folder = tmp_path / "emulator"
    with emulating(folder) as first:
        assert folder.stat().st_mode & 0o777 == 0o700
        private = [folder / "key", *folder.glob("emulator.sqlite*")]
        assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    with emulating(folder) as again:
        assert again["RUNPOD_API_KEY"] == first["RUNPOD_API_KEY"]
    with emulating(tmp_path / "another") as other:
        assert other["RUNPOD_API_KEY"] != first["RUNPOD_API_KEY"]


def test_a_folder_and_files_that_others_could_read_are_closed_to_them(tmp_path: Path) -> None:
    folder = tmp_path / "emulator"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    for name, words in (("key", "\n"), ("emulator.sqlite", "")):
        (folder / name).write_text(words)
        (folder / name).chmod(0o644)
    with emulating(folder) as told:
        assert told["RUNPOD_API_KEY"] == (folder / "key").read_text().strip() != ""
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {(folder / name).stat().st_mode & 0o777 for name in ("key", "emulator.sqlite")} == {0o600}
