"""Files that users name, local or in S3: their digests, and their bytes when a stage needs them.

Admitting an order replaces every path by path and digest; from then on the digest decides and the path is a
hint. Nothing goes into the store here: train_complete and intake do that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from callsheet.errors import FileChanged, FileMissing, StoreError
from callsheet.models import Actor, Effect, Order, Sound, SourceFile
from callsheet.store.base import sha256_of
from callsheet.textdata import readable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK = 1 << 20
_LONGEST_NAME = 100

_OBJECT_DIGESTS: dict[tuple[str, str, str, int], str] = {}
"""Of objects in S3, by bucket, key, ETag and size: each is downloaded for its digest once a process."""


class Sources:
    """Reads local files and s3:// objects."""

    def __init__(self, s3: Callable[[], S3Client]) -> None:
        self._s3 = s3

    def digest(self, path: str, what: str) -> str:
        """sha256 of the bytes at `path`. Raises FileMissing, FileUnreadable, StoreError."""
        if path.startswith("s3://"):
            return self._object_digest(path, what)
        with readable(path):
            return _local_digest(_existing(path, what))

    def local(self, path: str, sha256: str, folder: Path, what: str) -> Path:
        """A copy with exactly the admitted bytes, below `folder`, under the file's own name.

        What happens to the original afterwards does not matter. Raises FileMissing, FileUnreadable, FileChanged,
        StoreError.
        """
        inbox = folder / "source"                     # apart from what the stage itself writes
        inbox.mkdir(parents=True, exist_ok=True)
        if path.startswith("s3://"):
            target = inbox / (path.rpartition("/")[2][-_LONGEST_NAME:].lstrip(".") or "object")
            chunks = self._body(*_placed(path), what)
        else:
            with readable(path):
                asked = _existing(path, what)
            target, chunks = inbox / asked.name, _file_chunks(asked)
        with target.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        if sha256_of(target) != sha256:
            raise FileChanged(path=path)
        return target

    def _object_digest(self, url: str, what: str) -> str:
        bucket, key = _placed(url)
        with _answers(url, what):
            head = self._s3().head_object(Bucket=bucket, Key=key)
        known = _OBJECT_DIGESTS.get((bucket, key, head["ETag"], head["ContentLength"]))
        if known:
            return known
        total = hashlib.sha256()
        with _answers(url, what):
            got = self._s3().get_object(Bucket=bucket, Key=key)
            for chunk in got["Body"].iter_chunks(_CHUNK):
                total.update(chunk)
        # Under what came, not under what was announced: somebody may have replaced it between the two.
        _OBJECT_DIGESTS[bucket, key, got["ETag"], got["ContentLength"]] = total.hexdigest()
        return total.hexdigest()

    def _body(self, bucket: str, key: str, what: str) -> Iterator[bytes]:
        with _answers(f"s3://{bucket}/{key}", what):
            yield from self._s3().get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(_CHUNK)


def _placed(url: str) -> tuple[str, str]:
    """Bucket and key."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


@contextmanager
def _answers(url: str, what: str) -> Iterator[None]:
    """Turn what botocore raises inside into errors of our tree."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "NoSuchBucket", "404"):
            raise FileMissing(path=url, what=what) from error
        raise StoreError(url=url, detail=error.response.get("Error", {}).get("Code", "an error")) from error
    except BotoCoreError as error:
        raise StoreError(url=url, detail=type(error).__name__) from error


def _file_chunks(path: Path) -> Iterator[bytes]:
    with readable(path), path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def admit(order: Order, sources: Sources) -> Order:
    """The order with the digest of every file it names. Admitting twice changes nothing.

    Raises FileMissing, naming what the file was for; FileUnreadable, StoreError.
    """

    def known(file: SourceFile, what: str) -> SourceFile:
        return file if file.sha256 else file.model_copy(update={"sha256": sources.digest(file.path, what)})

    def actor(asked: Actor) -> Actor:
        return asked.model_copy(update={"lora": known(asked.lora, f"LoRA of {asked.id}")})

    def effect(asked: Effect) -> Effect:
        return asked.model_copy(update={"file": known(asked.file, "effect")})

    def sound(asked: Sound) -> Sound:
        return asked.model_copy(update={
            "music": known(asked.music, "music") if asked.music else None,
            "ambience": known(asked.ambience, "ambience") if asked.ambience else None,
            "effects": tuple(effect(e) for e in asked.effects),
        })

    return order.model_copy(update={
        "cast": tuple(actor(a) for a in order.cast), "sound": sound(order.sound),
        "style": known(order.style, "the style's LoRA") if order.style else None,
    })


def _existing(path: str, what: str) -> Path:
    for candidate in (Path(path), Path(f"{path}.safetensors")):
        if candidate.is_file():
            return candidate
    raise FileMissing(path=path, what=what)


def _local_digest(path: Path) -> str:
    stat = path.stat()
    return _digest_at(str(path.resolve()), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _digest_at(path: str, mtime_ns: int, size: int) -> str:
    return sha256_of(Path(path))
