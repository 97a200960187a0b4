"""Files that users name, local or in S3: their digests, and their bytes when a stage needs them.

Admitting an order replaces every path by path and digest; from then on the digest decides and the path is a
hint. Nothing is copied here: train_complete and intake do that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from callsheet.errors import FileChanged, FileMissing, StoreError
from callsheet.models import Actor, Effect, Order, Sound, SourceFile
from callsheet.store.base import sha256_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK = 1 << 20


class Sources:
    """Reads local files and s3:// objects."""

    def __init__(self, s3: Callable[[], S3Client]) -> None:
        self._s3 = s3

    def digest(self, path: str, what: str) -> str:
        """sha256 of the bytes at `path`. Raises FileMissing, StoreError."""
        if not path.startswith("s3://"):
            return _local_digest(_existing(path, what))
        total = hashlib.sha256()
        for chunk in self._body(path, what):
            total.update(chunk)
        return total.hexdigest()

    def local(self, path: str, sha256: str, folder: Path, what: str) -> Path:
        """A local file with exactly the admitted bytes. Raises FileMissing, FileChanged, StoreError."""
        if path.startswith("s3://"):
            target = folder / path.rpartition("/")[2]
            with target.open("wb") as file:
                for chunk in self._body(path, what):
                    file.write(chunk)
        else:
            target = _existing(path, what)
        if sha256_of(target) != sha256:
            raise FileChanged(path=path)
        return target

    def _body(self, url: str, what: str) -> Iterator[bytes]:
        from botocore.exceptions import BotoCoreError, ClientError

        bucket, _, key = url.removeprefix("s3://").partition("/")
        try:
            yield from self._s3().get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(_CHUNK)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "NoSuchBucket", "404"):
                raise FileMissing(path=url, what=what) from error
            raise StoreError(url=url, detail=error.response.get("Error", {}).get("Code", "an error")) from error
        except BotoCoreError as error:
            raise StoreError(url=url, detail=type(error).__name__) from error


def admit(order: Order, sources: Sources) -> Order:
    """The order with the digest of every file it names. Admitting twice changes nothing.

    Raises FileMissing, naming what the file was for.
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

    return order.model_copy(update={"cast": tuple(actor(a) for a in order.cast), "sound": sound(order.sound)})


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
