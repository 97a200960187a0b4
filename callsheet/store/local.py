"""A store in a folder, for one machine or a file system that several share.

Put-if-absent is a temporary file in the same file system, fsync and `os.link`: a rename would overwrite,
a link refuses. Needs a file system with hard links. Nothing here deletes what was stored.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from callsheet.errors import FileMissing, NotInStore, StoreError, UploadFailed
from callsheet.store.base import Artifact
from callsheet.store.checks import check_file, checked_expiry, checked_key, checked_prefix, digest_of

INCOMING = ".incoming"
"""Where files lie while they are written. No key can name it: keys have no hidden segments."""

_CHUNK_BYTES = 1 << 20
_ABANDONED_S = 24 * 3600
_REMEDY = "check that the folder can be written to, its disk is not full and its file system has hard links"


class LocalStore:
    """Files under `root`, read-only once stored. Passes tests/contracts/test_stores.py."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()

    @property
    def url(self) -> str:
        return self.root.as_uri()

    def put_if_absent(self, key: str, source: Path | bytes) -> bool:
        """See Store. Raises KeyRefused, FileMissing for an unreadable source, UploadFailed."""
        target = self.root / checked_key(key)
        with writing(self.url, key):
            if _taken(target):
                return False
            with incoming(self.root, source, mode=0o444) as copy:
                make_folder(target.parent)
                try:
                    os.link(copy, target)
                except FileExistsError:
                    if not _taken(target):
                        raise
                    return False
                sync_folder(target.parent)
        return True

    def read(self, key: str) -> bytes:
        path = self.root / checked_key(key)
        with self._reading(key):
            return path.read_bytes()

    def size(self, key: str) -> int | None:
        path = self.root / checked_key(key)
        try:
            with self._reading(key):
                return path.stat().st_size if path.is_file() else None
        except NotInStore:
            return None

    def names(self, prefix: str) -> list[str]:
        top = self.root / checked_prefix(prefix)
        with self._reading(prefix):
            return sorted(
                f"{Path(folder).relative_to(self.root).as_posix()}/{name}"
                for folder, _, names in os.walk(top, onerror=_refuse) for name in names
            )

    def fetch(self, artifact: Artifact, folder: Path) -> Path:
        """The stored file itself, checked; nothing is copied into `folder`."""
        path = self.root / checked_key(artifact.key)
        with self._reading(artifact.key):
            if not path.is_file():
                raise NotInStore(key=artifact.key, url=self.url)
            check_file(path, artifact, self.url)
        return path

    def link(self, key: str, expires_s: int = 3600) -> str:
        """A file:// URL. A folder's links do not expire."""
        checked_expiry(expires_s)
        return (self.root / checked_key(key)).as_uri()

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotInStore(key=key, url=self.url) from None
        except OSError as error:
            raise StoreError(url=self.url, detail=f"{key}: {error.strerror}", remedy=_REMEDY) from error


@contextlib.contextmanager
def incoming(root: Path, source: Path | bytes, mode: int) -> Iterator[Path]:
    """A whole, synced copy of `source` in `root`'s file system, removed afterwards unless it was moved away.

    Raises FileMissing when the source cannot be read, and OSError when the copy cannot be written.
    """
    hall = root / INCOMING
    make_folder(hall)
    _sweep(hall)
    handle, name = tempfile.mkstemp(dir=hall)
    digest = hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as copy, open_source(source) as original:
            while chunk := original.read(_CHUNK_BYTES):
                digest.update(chunk)
                copy.write(chunk)
            copy.flush()
            os.fchmod(copy.fileno(), mode)
            os.fsync(copy.fileno())
        if digest_of(Path(name)) != digest.hexdigest():
            raise OSError(errno.EIO, "what was written is not what was read")
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def open_source(source: Path | bytes) -> BinaryIO:
    """What is to be stored, for reading. Raises FileMissing."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return source.open("rb")
    except OSError as error:
        raise FileMissing(path=source, what=f"to be stored: {error.strerror}") from None


def make_folder(path: Path) -> None:
    """The folder with its parents, so that it is still there after a power cut."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make new names in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def writing(url: str, key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UploadFailed(key=key, url=url, detail=error.strerror or str(error), remedy=_REMEDY) from error


def _taken(target: Path) -> bool:
    """Whether a file is stored there. Raises OSError where a folder is: its name is the start of other keys."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "other keys lie below this one")
    return target.exists()


def _sweep(hall: Path) -> None:
    """Remove what a killed process left behind."""
    with contextlib.suppress(FileNotFoundError):      # somebody else may sweep at the same time
        for entry in hall.iterdir():
            if time.time() - entry.stat().st_mtime > _ABANDONED_S:
                entry.unlink()


def _refuse(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error
