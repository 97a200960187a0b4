"""The store's contract, and the room a stage works in.

A store holds content-addressed files and, for each recipe, a log whose n-th entry is put if absent: nothing
is ever overwritten. Local folders and S3 behave the same (tests/contracts/test_stores.py). Look-up, claims
and publishing are in records.py; deliveries, the only replaceable pointers, in delivery.py.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from callsheet.recipe import Ref
from callsheet.units import Frozen, Sha256

MEDIA_TYPES: Mapping[str, str] = {
    ".mp4": "video/mp4", ".mov": "video/quicktime", ".jpg": "image/jpeg", ".jpeg": "image/jpeg",
    ".png": "image/png", ".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".srt": "application/x-subrip", ".vtt": "text/vtt", ".json": "application/json", ".html": "text/html",
    ".csv": "text/csv", ".safetensors": "application/octet-stream",
}


class Artifact(Frozen):
    """A file in the store. Stages pass artifacts, never bytes."""

    key: str
    sha256: Sha256
    size: int
    media_type: str = "application/octet-stream"


class Store(Protocol):
    """Bytes under keys. Every store passes tests/contracts/test_stores.py.

    Keys are relative, with `/` between segments; no empty segment, no `.` or `..`.
    """

    @property
    def url(self) -> str:
        """file:// or s3:// URL of the root."""

    def put_if_absent(self, key: str, source: Path | bytes) -> bool:
        """Write all of `source` under `key` unless the key exists; True when this call wrote it.

        What other readers see is nothing or everything. Bytes are verified on the way.
        Raises StoreError.
        """

    def read(self, key: str) -> bytes:
        """The bytes under `key`. Raises NotInStore."""

    def size(self, key: str) -> int | None:
        """Size in bytes, None when there is no such key."""

    def names(self, prefix: str) -> list[str]:
        """Keys that begin with `prefix`, sorted. `prefix` ends with `/`."""

    def fetch(self, artifact: Artifact, folder: Path) -> Path:
        """A local path with the artifact's bytes, checked against its digest; not to be written to.

        A remote store downloads into `folder`. Raises NotInStore, StoreCorrupt.
        """

    def link(self, key: str, expires_s: int = 3600) -> str:
        """A URL for people: presigned for at most an hour where the store is private."""


def sha256_of(path: Path) -> str:
    """Digest of a file's bytes, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def media_type_of(name: str) -> str:
    return MEDIA_TYPES.get(Path(name).suffix.lower(), "application/octet-stream")


@dataclass(frozen=True)
class Outcome:
    """What a stage made, before it is published: files by artifact name, and what is known about them."""

    files: Mapping[str, Path] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    """JSON values: duration, frames, loudness, what was copied and what was encoded."""
    made_by: str = ""
    warnings: tuple[str, ...] = ()


Progress = Callable[[float, str], None]
"""Called with a share from 0 to 1 and a word about what is going on. May raise Cancelled."""


def no_progress(share: float, what: str) -> None:
    """For callers that do not watch."""


Show = Callable[[Path, str], None]
"""Called with a picture (JPEG or PNG) of what is being made, and a word about it. Reads the file before it returns."""


def no_show(picture: Path, what: str) -> None:
    """For callers that show nobody."""


@dataclass(frozen=True)
class Room:
    """Where one stage works: a private folder that vanishes afterwards, and the way to its inputs."""

    folder: Path
    open_ref: Callable[[Ref], Path]
    facts_of: Callable[[Ref], Mapping[str, Any]]
    progress: Progress = no_progress
    show: Show = no_show
    """Shows people the newest picture of unfinished work; never needed for the result."""

    def fetch(self, ref: Ref) -> Path:
        """Local path of an input's bytes, checked; read only. Raises NotInStore, StoreCorrupt."""
        return self.open_ref(ref)

    def facts(self, ref: Ref) -> Mapping[str, Any]:
        """What is recorded about an input, such as its duration."""
        return self.facts_of(ref)

    def path(self, name: str) -> Path:
        """Where to write a file of this stage."""
        return self.folder / name


@contextmanager
def private_folder(prefix: str = "callsheet-") -> Iterator[Path]:
    """A temporary folder, removed afterwards with all it holds."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
