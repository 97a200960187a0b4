"""Weights into a folder: resumable, checked, and visible only when whole.

    with Hub(token) as hub:
        fetch(weights("wan-5b"), Path("/workspace/models"), hub)

A file is written beside its place under a hidden name that has its digest in it, so that a broken download goes on
where it ended and another version of the file starts anew. It is put in its place once its digest is right; a small
note beside it says so, and the next time it is not read through again. A file that is in the way and differs is
refused, never overwritten. Free disk is looked at before the first byte.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from callsheet.errors import Cancelled, DownloadFailed, InputError
from callsheet.weights import Weights
from callsheet.weights_hub import File, Hub

Progress = Callable[[File, int], None]
"""Called with a file and how many of its bytes are there."""

TRIES = 6
"""In a row without a byte coming; each byte that comes starts the count anew."""
SPARE_BYTES = 1 << 30
"""Left free on the disk."""
_CHUNK = 1 << 20


class Standing(NamedTuple):
    """Files of some weights, and what is left to fetch of them."""

    there: tuple[File, ...]
    to_fetch: tuple[File, ...]
    bytes_left: int


def fetch(
    of: Sequence[Weights],
    folder: Path,
    hub: Hub,
    *,
    parallel: int = 2,
    progress: Progress = lambda file, had: None,
    started: Callable[[Standing], None] = lambda standing: None,
    pause_s: float = 1.0,
) -> Standing:
    """Fetch what is not there yet. `started` is told what is to come, before anything is fetched.

    Raises InputError when the disk is too small or another file is in the way, DownloadFailed, DownloadGone,
    Cancelled. What was fetched before stays.
    """
    files = [file for each in of for file in hub.files(each)]
    standing = standing_of(files, folder)
    _enough_room(standing, folder)
    started(standing)
    stop = threading.Event()
    fetching = _Fetching(folder, hub, progress, stop, pause_s)
    with ThreadPoolExecutor(parallel, thread_name_prefix="weights") as threads:
        jobs = [threads.submit(fetching.one, file) for file in standing.to_fetch]
        try:
            for job in jobs:
                job.result()
        finally:                                          # one that failed, or Ctrl-C, stops the others at their chunk
            stop.set()
            for job in jobs:
                job.cancel()
    return standing


def standing_of(files: Sequence[File], folder: Path) -> Standing:
    """What is there, whole and of that digest. Raises InputError where another file is in the way."""
    there = tuple(file for file in files if _is_there(file, folder))
    to_fetch = tuple(file for file in files if file not in there)
    left = sum(max(0, file.size - _size(_part(file, folder))) for file in to_fetch)
    return Standing(there, to_fetch, left)


def _is_there(file: File, folder: Path) -> bool:
    target, note = folder / file.path, _note(file, folder)
    if not target.exists():
        return False
    if _size(target) == file.size:
        if note.is_file() and note.read_text().strip() == file.digest:
            return True
        if digest_of(target, file) == file.digest:
            note.write_text(file.digest + "\n")
            return True
    raise InputError(detail=f"{target} is another file than the hub's ({file.size} bytes, {file.digest[:12]})",
                     remedy="move it away, then start again")


def _enough_room(standing: Standing, folder: Path) -> None:
    if not standing.to_fetch:
        return
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if standing.bytes_left + SPARE_BYTES > free:
        raise InputError(
            detail=f"{folder} has {free / 1e9:.1f} GB free, and {standing.bytes_left / 1e9:.1f} GB are to come",
            remedy="name another folder with --folder, make room, or fetch less at a time")


class _Fetching:
    """What the downloads of one call share."""

    def __init__(self, folder: Path, hub: Hub, progress: Progress, stop: threading.Event, pause_s: float) -> None:
        self.folder, self.hub, self.progress, self.stop, self.pause_s = folder, hub, progress, stop, pause_s

    def one(self, file: File) -> None:
        """Fetch, check, publish. Raises DownloadFailed, DownloadGone, Cancelled."""
        part = _part(file, self.folder)
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as out, _alone(out, file):
            for again in (True, False):
                self._whole(file, out)
                said = digest_of(part, file)
                if said == file.digest:
                    break
                out.truncate(0)                           # what went wrong is nowhere to be seen: from the beginning
                if not again:
                    raise DownloadFailed(url=file.url, detail=f"its digest is {said[:12]}, not {file.digest[:12]}")
            os.fsync(out.fileno())
            _publish(part, self.folder / file.path)
            _note(file, self.folder).write_text(file.digest + "\n")

    def _whole(self, file: File, out: BinaryIO) -> None:
        """Until all bytes are there. Breaks are gone on from where they happened."""
        failures = 0
        while (had := os.fstat(out.fileno()).st_size) < file.size:
            try:
                self._some(file, out, had)
            except DownloadFailed as error:
                failures = failures + 1 if os.fstat(out.fileno()).st_size == had else 1
                if failures >= TRIES or not error.retryable:
                    raise
                self._wait(min(30.0, self.pause_s * 2 ** (failures - 1)) * random.uniform(0.7, 1.3))
        if had > file.size:
            out.truncate(0)
            self._whole(file, out)

    def _some(self, file: File, out: BinaryIO, had: int) -> None:
        """As many bytes as come, from `had` on. Raises DownloadFailed when it ends early."""
        headers = {"range": f"bytes={had}-"} if had else {}
        with self.hub.opened("GET", file.url, headers) as response:
            if had and not (response.status_code == 206
                            and response.headers.get("content-range", "").startswith(f"bytes {had}-")):
                out.truncate(0)                           # it knows no ranges, and sends all of it
                had = 0
            if response.status_code not in (200, 206) or (response.status_code == 206 and not had):
                raise DownloadFailed(url=file.url, detail=f"HTTP {response.status_code}")
            for chunk in response.iter_raw():             # in pieces as they come: nothing is lost when it breaks
                if self.stop.is_set():
                    raise Cancelled(what="the download")
                had += len(chunk)
                if had > file.size:
                    out.truncate(0)
                    raise DownloadFailed(url=file.url, detail=f"more than the {file.size} bytes it should have")
                out.write(chunk)
                out.flush()
                self.progress(file, had)
        if had < file.size:
            raise DownloadFailed(url=file.url, detail=f"it ended after {had} of {file.size} bytes")

    def _wait(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Cancelled(what="the download")


def _publish(part: Path, target: Path) -> None:
    """Put a whole file in its place; one that came there meanwhile stays."""
    try:
        os.link(part, target)
    except FileExistsError:
        pass                                              # somebody else's, and as good: it is looked at the next time
    except OSError:                                       # a file system without links
        if not target.exists():
            part.rename(target)
            return
    part.unlink()


def digest_of(path: Path, file: File) -> str:
    """As the file's digest is given: sha256, or git's sha1 of a blob."""
    if len(file.digest) == 64:
        with path.open("rb") as source:
            return hashlib.file_digest(source, "sha256").hexdigest()
    blob = hashlib.sha1(f"blob {_size(path)}\0".encode(), usedforsecurity=False)
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            blob.update(chunk)
    return blob.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _part(file: File, folder: Path) -> Path:
    target = folder / file.path
    return target.with_name(f".{target.name}.{file.digest[:16]}.part")


def _note(file: File, folder: Path) -> Path:
    target = folder / file.path
    return target.with_name(f".{target.name}.digest")


@contextmanager
def _alone(out: BinaryIO, file: File) -> Iterator[None]:
    """Hold a file while it is written: two downloads of one file would mix."""
    try:
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise DownloadFailed(url=file.url, detail="another download of it is running",
                             remedy="wait until that one has ended") from None
    try:
        yield
    finally:
        fcntl.flock(out, fcntl.LOCK_UN)
