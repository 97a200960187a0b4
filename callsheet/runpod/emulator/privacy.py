"""What keeps an emulator its owner's alone: private files, a key of its own, and by which names it may be called.

Whoever may create a pod has programs started as this user. A page in a browser may have any name lead to this
machine, but not change under which name it asks; so only loopback's own names are answered.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from pathlib import Path

KEY = "key"
"""Name of the file with the key, in the emulator's folder."""

_HOST = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[0-9a-z.-]+))(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE)


def close_folder(folder: Path) -> None:
    """Have the folder, for its owner alone. Raises OSError, also when it is somebody else's."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)


def close_file(path: Path) -> None:
    """Have the file, for its owner alone; what is in it stays. Raises OSError."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
    path.chmod(0o600)


def kept_key(folder: Path) -> str:
    """The key of the emulator in that folder, made the first time. Raises OSError."""
    path = folder / KEY
    close_file(path)
    if not path.read_text("ascii", "replace").strip():
        path.write_text(secrets.token_urlsafe(32) + "\n")
    return path.read_text("ascii", "replace").strip()


def called_here(hosts: Sequence[str]) -> bool:
    """Whether the Host headers of a request are one, and name loopback."""
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if found is None:
        return False
    try:
        if found["six"]:
            return IPv6Address(found["six"]) == IPv6Address("::1")
        return found["name"].lower() == "localhost" or IPv4Address(found["name"]).is_loopback
    except AddressValueError:
        return False
