"""A log whose n-th entry is put if absent: what journal and budgets are written on.

Whoever wants to write entry n+1 has seen entry n; of several who want it one succeeds. Nothing is overwritten.
"""

from __future__ import annotations

import contextlib

from callsheet.errors import NotInStore
from callsheet.store.base import Store


class NumberedLog:
    """The entries below one prefix, from 1 on."""

    def __init__(self, store: Store, prefix: str) -> None:
        self.store = store
        self.prefix = prefix
        """Ends with `/`."""

    def key(self, number: int) -> str:
        return f"{self.prefix}{number:06d}.json"

    def newest(self) -> int:
        """Number of the newest entry, 0 when there is none. Lists the log."""
        return max((int(name[-11:-5]) for name in self.store.names(self.prefix)), default=0)

    def read(self, number: int) -> bytes:
        """Raises NotInStore."""
        return self.store.read(self.key(number))

    def seek(self, number: int) -> bytes | None:
        """The entry, or None when it was not written yet."""
        with contextlib.suppress(NotInStore):
            return self.read(number)
        return None

    def put(self, number: int, data: bytes) -> bool:
        """Whether the entry is this one now. After a lost answer it may be there already: then it is ours."""
        key = self.key(number)
        return self.store.put_if_absent(key, data) or self.store.read(key) == data
