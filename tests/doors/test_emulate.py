"""`callsheet emulate`: says what to export, answers there, and ends on Ctrl-C with nothing left."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from callsheet.doors.emulate import emulate
from callsheet.errors import ServerError

ROOT = Path(__file__).resolve().parents[2]


def test_a_port_that_is_taken_is_said_with_a_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ServerError, match="--port"):
        emulate(taken.getsockname()[1], Console(file=io.StringIO()), folder=tmp_path)


def test_it_says_what_to_export_answers_there_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    program = ("from pathlib import Path; from rich.console import Console;"
               f"from callsheet.doors.emulate import emulate; emulate(0, Console(), folder=Path({str(tmp_path)!r}))")
    with subprocess.Popen([sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True) as child:
        assert child.stdout is not None
        told: dict[str, str] = {}
        for line in child.stdout:
            if found := re.match(r"\s+export (\w+)=(\S+)$", line):
                told[found[1]] = found[2]
            if "Ctrl-C" in line:
                break
        headers = {"Authorization": f"Bearer {told['RUNPOD_API_KEY']}"}
        answer = httpx.get(f"{told['CALLSHEET_RUNPOD_API']}/v2/pods", headers=headers, trust_env=False)
        assert answer.json() == {"pods": []}
        assert told["CALLSHEET_RUNPOD_JOBS"] == f"{told['CALLSHEET_RUNPOD_API']}/jobs"
        child.send_signal(signal.SIGINT)
        assert "stopped" in child.stdout.read()
        assert child.wait() == 0
