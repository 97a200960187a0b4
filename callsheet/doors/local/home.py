"""What to say when the folder of callsheet's state cannot be used.

Turns the system's errors about it into a ServerError that names the folder and the variable that sets it. Checks
nothing in advance.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from callsheet.errors import ServerError


@contextlib.contextmanager
def usable(folder: Path, what: str) -> Iterator[None]:
    """While it is open, an OSError about `folder`, what is in it or above it becomes a ServerError of `what`."""
    try:
        yield
    except OSError as error:
        if not isinstance(error.filename, str | bytes) or not _concerns(Path(os.fsdecode(error.filename)), folder):
            raise
        raise ServerError(
            what=what, detail=f"{os.fsdecode(error.filename)}: {error.strerror}", log=folder,
            remedy=f"make {folder} a folder that this user may write to, or set CALLSHEET_HOME to another one"
                   + (" (root's databases lie under /var/lib/callsheet in any case)" if os.geteuid() == 0 else ""),
        ) from error


def _concerns(path: Path, folder: Path) -> bool:
    path, folder = path.absolute(), folder.absolute()
    return path.is_relative_to(folder) or folder.is_relative_to(path)
