"""The database of the Prefect server: one by address, else a private PostgreSQL that runs while it is used.

Covers where the data lie, starting, sharing between processes and removal; which programs run is in
postgres_programs.py, keeper.py holds the process, postmaster.py finds and stops it. The private one listens on
a Unix socket in a folder that only its owner may enter. Not for Windows.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import select
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlsplit

from callsheet.doors.local import keeper
from callsheet.doors.local.home import usable
from callsheet.doors.local.postgres_address import check, for_asyncpg
from callsheet.doors.local.postgres_programs import Account, Programs, find_programs, service_account
from callsheet.doors.local.postmaster import Postmaster, clear_leftovers, running_postmaster, stop_postmaster
from callsheet.errors import ServerError

_log = logging.getLogger(__name__)

ROOT_BASE = Path("/var/lib/callsheet")
"""Where root's data lie: PostgreSQL refuses to run as root, and its account cannot enter root's own folders."""

_START_S = 60.0
_SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_SOCKET = 103                                 # bytes in a Unix socket's address, less one, on the narrowest


@contextlib.contextmanager
def database(home: Path, url: str | None = None) -> Iterator[str]:
    """While it is open, a PostgreSQL is there; gives its `postgresql+asyncpg://` address.

    `url` is used as it is, after a check. Without one, the private database of `home` is started, or joined if
    another process runs it; it stops when the last user goes, even by kill -9. Its data stay.
    Who is the first to use the private one leaves the mark `first_use`.
    Raises ServerError when it cannot be reached, does not start, or lacks pg_trgm.
    """
    if url is not None:
        check(url, urlsplit(url).hostname or "the database's host")
        yield for_asyncpg(url)
        return
    base = data_folder(home)
    with usable(base, "the database"), _modes_kept(base), _locked(base):
        users = (base / "users.lock").open("a")
        if keeper.unused(base):
            first_use(home).touch()
        fcntl.flock(users, fcntl.LOCK_SH)
    try:
        with usable(base, "the database"), _modes_kept(base), _locked(base):
            postmaster = _joined(base) or _start(base)
        address = f"postgresql://postgres@/postgres?host={quote(str(postmaster.socket_folder), safe='/')}&port=5432"
        check(address, str(base / "postgres.log"))
        yield for_asyncpg(address)
    finally:
        _leave(base, users)


def data_folder(home: Path) -> Path:
    """Where the private database of a home lies: <home>/postgres, or for root a folder of ROOT_BASE."""
    if os.geteuid() != 0:
        return home.absolute() / "postgres"
    return ROOT_BASE / hashlib.sha256(os.fsencode(home.resolve())).hexdigest()[:16]


def first_use(home: Path) -> Path:
    """The mark that a private database was taken up while nobody used it: what slots.py does then is still to do."""
    return data_folder(home) / "first-use"


def remove_database(home: Path) -> None:
    """Delete the private database of a home with all it knows. Raises ServerError while somebody uses it."""
    base = data_folder(home)
    if not base.exists():
        return
    with usable(base, "the removal of the database"), _locked(base):
        if (base / "users.lock").exists() and not keeper.unused(base):
            raise ServerError(what="the removal of the database", detail="it is in use", log=base / "postgres.log",
                              remedy="end what uses it first")
        if postmaster := running_postmaster(base):
            stop_postmaster(base, postmaster)
        shutil.rmtree(_socket_folder(base), ignore_errors=True)
        shutil.rmtree(base)


def _joined(base: Path) -> Postmaster | None:
    """The one that runs already, once it is ready: it may be recovering from a crash."""
    deadline = time.monotonic() + _START_S
    while (postmaster := running_postmaster(base)) and not postmaster.ready:
        if time.monotonic() > deadline:
            raise ServerError(what="PostgreSQL", detail=f"not ready after {_START_S:.0f} s", log=base / "postgres.log")
        time.sleep(0.02)
    return postmaster


def _leave(base: Path, users: IO[str]) -> None:
    """Let go; the last one stops the database."""
    with _locked(base):
        users.close()
        postmaster = running_postmaster(base)
        if postmaster and keeper.unused(base):
            stop_postmaster(base, postmaster)


def _start(base: Path) -> Postmaster:
    data, log = base / "pgdata", base / "postgres.log"
    account = service_account(data)
    programs = find_programs(data, account, ROOT_BASE)
    _log.info("starting PostgreSQL %s (%s)", programs.version, programs.source)
    if not (data / "PG_VERSION").exists():
        _create(data, programs, account, log)
    socket_folder = _socket_folder(base)
    _private(socket_folder, account)
    clear_leftovers(base, socket_folder / _SOCKET_NAME)
    began = log.stat().st_size if log.exists() else 0
    postmaster = _launch(base, programs, account, socket_folder)
    if postmaster is None:
        raise ServerError(what="PostgreSQL", detail=_tail(log, began) or "it said nothing", log=log)
    return postmaster


def _launch(base: Path, programs: Programs, account: Account | None, socket_folder: Path) -> Postmaster | None:
    """Start the keeper and wait for readiness; None when PostgreSQL ended instead."""
    options = {
        "listen_addresses": "",
        "port": "5432",                               # of the socket's name; said here so that PGPORT means nothing
        "unix_socket_directories": '"' + str(socket_folder).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "synchronous_commit": "off",                  # a power cut may lose the last moment, never consistency
        "max_parallel_workers_per_gather": "0",       # containers have little shared memory
        "max_connections": "200",
    }
    arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    owner = f"{account.uid}:{account.gid}" if account else "-"
    command = [sys.executable, "-P", keeper.__file__, str(base), str(base / "postgres.log"), owner,
               str(programs.postgres), "-D", str(base / "pgdata"), *arguments]
    ended, alive = os.pipe()                          # the keeper holds `alive`; its end shows at `ended`
    try:
        subprocess.run(command, pass_fds=(alive,), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env=_plain_environment(), check=True)
        os.close(alive)
        alive = -1
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            postmaster = running_postmaster(base)
            if postmaster and postmaster.ready:
                return postmaster
            if select.select([ended], [], [], 0.02)[0]:
                return None
        raise ServerError(what="PostgreSQL", detail=f"not ready after {_START_S:.0f} s", log=base / "postgres.log")
    finally:
        os.close(ended)
        if alive >= 0:
            os.close(alive)


def _create(data: Path, programs: Programs, account: Account | None, log: Path) -> None:
    """Make an empty database cluster; a half-made one is never seen."""
    new = data.with_name("pgdata.new")
    shutil.rmtree(new, ignore_errors=True)
    _private(new, account)
    made = subprocess.run(
        [programs.initdb, "-D", new, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale",
         "--no-instructions"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/", env=_plain_environment(),
        **(account.as_options() if account else {}),
    )
    if made.returncode != 0:
        log.write_text(made.stdout + made.stderr)
        raise ServerError(what="a new PostgreSQL database", detail=_last_lines(made.stderr), log=log)
    new.rename(data)


def _private(folder: Path, account: Account | None) -> None:
    """Make a folder that only the database's owner may enter. Raises ServerError when somebody made it before us."""
    owner = account.uid if account else os.geteuid()
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.geteuid()) or found.st_mode & 0o077:
        raise ServerError(what="PostgreSQL", detail=f"{folder} is somebody else's, or open to others",
                          log="the folder above", remedy="look who made it, and remove it")
    if account:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)


def _socket_folder(base: Path) -> Path:
    """Where the socket lies: a path that a socket's and a database's address can have."""
    folder = base / "socket"
    too_long = len(os.fsencode(folder / _SOCKET_NAME)) > _LONGEST_SOCKET
    if not too_long and re.fullmatch(r"[\w./-]+", str(folder), re.ASCII):
        return folder
    name = f"callsheet-{os.geteuid()}-{hashlib.sha256(os.fsencode(base)).hexdigest()[:16]}"
    return Path(tempfile.gettempdir()) / name


@contextlib.contextmanager
def _locked(base: Path) -> Iterator[None]:
    """The start lock: one process at a time starts, joins or stops this database."""
    if os.geteuid() == 0 and not ROOT_BASE.exists():
        ROOT_BASE.mkdir(parents=True)
        ROOT_BASE.chmod(0o755)                        # ours, and the database's account has to get through
    if not base.exists():
        base.mkdir(parents=True, exist_ok=True)
        base.chmod(0o755 if os.geteuid() == 0 else 0o700)
    with (base / "start.lock").open("a") as file:
        deadline = time.monotonic() + 2 * _START_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServerError(what="the database", detail="another process has been starting it for minutes",
                                      log=base / "postgres.log") from None
                time.sleep(0.02)
        yield


@contextlib.contextmanager
def _modes_kept(base: Path) -> Iterator[None]:
    """Whatever starts a database must not open a folder above it to others: restore, then raise, if it did."""
    before = {p: stat.S_IMODE(p.stat().st_mode) for p in (*base.parents, Path(sys.prefix)) if p.exists()}
    yield
    changed = {p: mode for p, mode in before.items() if stat.S_IMODE(p.stat().st_mode) != mode}
    for path, mode in changed.items():
        path.chmod(mode)
    if changed:
        raise ServerError(what="PostgreSQL", log=base / "postgres.log",
                          detail=f"its start changed the permissions of {', '.join(map(str, changed))}; restored")


def _plain_environment() -> dict[str, str]:
    """Without PG* variables, which would change what the programs do."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C"}


def _tail(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return _last_lines(file.read().decode(errors="replace"))


def _last_lines(text: str) -> str:
    return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-4:])[-600:]
