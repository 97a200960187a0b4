"""A container for tests with descendants that are hard to find: own sessions, clean environments, lost parents.

Writes their process ids to children.txt in its home, then waits. Ignores SIGTERM.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

signal.signal(signal.SIGTERM, signal.SIG_IGN)
same = subprocess.Popen(["sleep", "3600"])
apart = subprocess.Popen(["sleep", "3601"], start_new_session=True)
clean = subprocess.Popen(["sleep", "3602"], start_new_session=True, env={"PATH": os.environ["PATH"]})
started = "subprocess.Popen(['sleep', '3603'], start_new_session=True, env={'PATH': '/usr/bin:/bin'}, **quiet)"
orphan = subprocess.run(
    [sys.executable, "-c",
     "import subprocess; quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
     f"print({started}.pid)"],
    capture_output=True, text=True, check=True,
).stdout.strip()
part = Path(os.environ["HOME"], "children.part")
part.write_text(f"{same.pid} {apart.pid} {clean.pid} {orphan}")
part.rename(part.with_suffix(".txt"))
time.sleep(3600)
