"""Deliveries: finished files under names that people and other systems know.

The only replaceable pointers: putting a key again replaces its file at once, whole. Covers a folder and an S3
bucket, each with an optional public address. URLs are plain: nothing here signs one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

from callsheet.errors import RequestInvalid, StoreError
from callsheet.store.checks import checked_key, digest_of
from callsheet.store.local import incoming, make_folder, sync_folder, writing
from callsheet.store.s3_bucket import PART_BYTES, Bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class Delivery(Protocol):
    """Where finished files go. Every delivery passes tests/contracts/test_deliveries.py."""

    @property
    def url(self) -> str:
        """file:// or s3:// URL of the root."""

    def put(self, key: str, source: Path, media_type: str) -> str:
        """Put all of `source` under `key`, in place of what was there; its URL.

        Readers see the old file or the new one, never a mixture. The bytes are verified on the way.
        Raises KeyRefused, FileMissing for an unreadable source, UploadFailed.
        """

    def holds(self, key: str, sha256: str) -> bool:
        """Whether the file under `key` has this digest. Raises StoreError."""

    def url_of(self, key: str) -> str:
        """The key's public URL where one is configured, else its s3:// or file:// URL; never presigned."""


class FolderDelivery:
    """Files under `root`. A folder keeps no media types: names tell them."""

    def __init__(self, root: Path, public_url: str | None = None) -> None:
        self.root = root.expanduser().resolve()
        self.public_url = _public(public_url)

    @property
    def url(self) -> str:
        return self.root.as_uri()

    def put(self, key: str, source: Path, media_type: str) -> str:
        """See Delivery. `media_type` is for deliveries that say it to readers: a folder does not."""
        target = self.root / checked_key(key)
        with writing(self.url, key), incoming(self.root, source, mode=0o644) as copy:
            make_folder(target.parent)
            copy.replace(target)
            sync_folder(target.parent)
        return self.url_of(key)

    def holds(self, key: str, sha256: str) -> bool:
        path = self.root / checked_key(key)
        try:
            return path.is_file() and digest_of(path) == sha256
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(url=self.url, detail=f"{key}: {error.strerror}") from error

    def url_of(self, key: str) -> str:
        return f"{self.public_url or self.url}/{quote(checked_key(key))}"


class S3Delivery:
    """Files below `s3://bucket/prefix`, with their media type and `x-amz-meta-sha256`."""

    def __init__(
        self, url: str, client: S3Client, public_url: str | None = None, part_bytes: int = PART_BYTES
    ) -> None:
        self._bucket = Bucket(url, client, part_bytes)
        self.public_url = _public(public_url)

    @property
    def url(self) -> str:
        return self._bucket.url

    def put(self, key: str, source: Path, media_type: str) -> str:
        self._bucket.upload(checked_key(key), source, media_type, if_absent=False)
        return self.url_of(key)

    def holds(self, key: str, sha256: str) -> bool:
        """See Delivery. A file that came without its digest counts as another one."""
        head = self._bucket.head(checked_key(key))
        return head is not None and sha256 == head.sha256

    def url_of(self, key: str) -> str:
        """The public address stands for the whole `s3://bucket/prefix`."""
        checked_key(key)
        return f"{self.public_url}/{quote(key)}" if self.public_url else f"{self.url}/{key}"


def _public(address: str | None) -> str | None:
    if address is None:
        return None
    with contextlib.suppress(ValueError):
        parts = urlsplit(address)
        plain = not (parts.query or parts.fragment or "@" in parts.netloc)
        if parts.scheme in ("http", "https") and parts.hostname and plain:
            return address.rstrip("/")
    raise RequestInvalid(
        field="public_url", detail="this is not an http or https address without credentials or query",
        remedy="write it as https://host/path; a key is appended to it",
    )
