"""Speaks as stagehand.py does, and does as it is told: `{"do": "echo", ...}`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

out = os.fdopen(int(sys.argv[1]), "w")


def say(**event: object) -> None:
    out.write(json.dumps(event) + "\n")
    out.flush()


for line in sys.stdin:
    job = json.loads(line)
    asked = job["input"]
    do = asked.get("do", "progress")
    if do == "print":
        print(asked["word"], flush=True)
        asked["word"] = "printed"
    elif do == "progress":
        say(event="progress", id=job["id"], share=0.5, what="halfway")
    elif do == "kill":
        os.kill(os.getpid(), 9)
    elif do == "exit":
        raise SystemExit(3)
    elif do == "hang":
        time.sleep(600)
    elif do == "grandchild":
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True, close_fds=True)
        with open(asked["file"], "w") as file:  # noqa: PTH123
            file.write(str(child.pid))
        time.sleep(600)
    say(event="result", id=job["id"], reply={"word": asked.get("word"), "pid": os.getpid(), "asked": asked})
