"""A tiny program that runs PostgreSQL for as long as anybody uses it.

    python keeper.py LOCKS POSTGRES-LOG UID:GID|- POSTGRES ARGUMENT...

Users hold a shared lock on LOCKS/users.lock; the kernel lets go of it however a user ends, kill -9 included.
When nobody holds it, the keeper stops PostgreSQL and ends. It detaches itself, so that it outlives the user
that started it. Standard library only; what users do is in postgres.py.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_LOOK_S = 1.0


def unused(locks: Path) -> bool:
    """Whether nobody holds the users' lock. Call it with the start lock held, so that nobody is about to."""
    with (locks / "users.lock").open("r+") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def keep(locks: Path, command: list[str], account: tuple[int, int] | None, log: Path) -> int:
    """Run PostgreSQL until nobody uses it; its exit code."""
    user, group = account or (None, None)
    groups: list[int] | None = [] if account else None
    with log.open("ab") as words:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words,
                                   user=user, group=group, extra_groups=groups, umask=0o077, cwd="/")
    while process.poll() is None:
        time.sleep(_LOOK_S)
        try:
            start = (locks / "start.lock").open("r+")
        except FileNotFoundError:                     # the folder is gone: nobody can use it any more
            process.send_signal(signal.SIGINT)
            return process.wait()
        with start:
            try:
                fcntl.flock(start, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:                   # somebody is starting or stopping just now
                continue
            if unused(locks):
                process.send_signal(signal.SIGINT)    # PostgreSQL's fast shutdown
                process.wait()
    return process.returncode


def main(arguments: list[str]) -> int:
    if os.fork():                                     # detach: whoever started the keeper need not wait for it
        return 0
    os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: None)        # not SIG_IGN, which PostgreSQL would inherit
    locks, log, account, *command = arguments
    owner = tuple(int(n) for n in account.split(":")) if account != "-" else None
    return keep(Path(locks), command, (owner[0], owner[1]) if owner else None, Path(log))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
