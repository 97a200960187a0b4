"""A store in memory, for laws that are not about a file system."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

from callsheet.errors import NotInStore
from callsheet.store.base import Artifact


class MemoryStore:
    """Keeps the Store contract without a disk. `lost` makes a key vanish."""

    url = "memory://"

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put_if_absent(self, key: str, source: Path | bytes) -> bool:
        data = source if isinstance(source, bytes) else source.read_bytes()
        with self._lock:
            return self.blobs.setdefault(key, data) is data

    def read(self, key: str) -> bytes:
        if key not in self.blobs:
            raise NotInStore(key=key, url=self.url)
        return self.blobs[key]

    def size(self, key: str) -> int | None:
        return len(self.blobs[key]) if key in self.blobs else None

    def names(self, prefix: str) -> list[str]:
        return sorted(key for key in list(self.blobs) if key.startswith(prefix))

    def fetch(self, artifact: Artifact, folder: Path) -> Path:
        target = folder / hashlib.sha256(artifact.key.encode()).hexdigest()
        target.write_bytes(self.read(artifact.key))
        return target

    def link(self, key: str, expires_s: int = 3600) -> str:
        return self.url + key

    def lose(self, key: str) -> None:
        del self.blobs[key]
