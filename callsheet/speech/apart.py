"""A program of ours in a process of its own: one JSON request on standard input, one JSON answer.

For C libraries that meet a stranger's text or sound: what crashes, hangs or leaks there ends there. The
program is one file that needs the standard library alone; it gets no key of our environment, and limits its
own memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_INHERITED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""All that the process gets of our environment: no key is in it."""


class EndedBadly(Exception):
    """The process crashed, hung, or gave no answer; its words say how. Callers make it an error of ours."""


def run_apart(program: Path, request: bytes, timeout_s: float) -> dict[str, Any]:
    """The answer of `program`. Raises EndedBadly, and OSError when it cannot be started."""
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-S", "-X", "utf8", str(program)], input=request, env=environment,
            capture_output=True, timeout=timeout_s, check=False,
        )
    except subprocess.TimeoutExpired:
        raise EndedBadly(f"no end after {timeout_s:g} s") from None
    try:
        ended.check_returncode()
        answer: dict[str, Any] = json.loads(ended.stdout)
    except (subprocess.CalledProcessError, ValueError):
        words = ended.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise EndedBadly(f"its process ended with {ended.returncode}: {words[0][-200:]}") from None
    return answer
