"""From a setting to a store or a delivery: a folder's path, a file:// or an s3:// URL.

The S3 client is made only when it is needed, so a local project needs no credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from callsheet.errors import RequestInvalid, SettingMissing
from callsheet.store.base import Store
from callsheet.store.delivery import Delivery, FolderDelivery, S3Delivery
from callsheet.store.local import LocalStore
from callsheet.store.s3 import S3Store
from callsheet.store.s3_bucket import location

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def open_store(url_or_path: str, s3: Callable[[], S3Client]) -> Store:
    """The store at a folder's path, a file:// or an s3://bucket/prefix URL.

    Raises SettingMissing without a place or a bucket, RequestInvalid for another kind of URL.
    """
    folder = _folder(url_or_path, "store")
    return LocalStore(folder) if folder else S3Store(url_or_path, s3())


def open_delivery(url_or_path: str, s3: Callable[[], S3Client], public_url: str | None = None) -> Delivery:
    """The delivery at such a place; `public_url` is the address under which people find it. Raises as open_store."""
    folder = _folder(url_or_path, "delivery")
    return FolderDelivery(folder, public_url) if folder else S3Delivery(url_or_path, s3(), public_url)


def _folder(url_or_path: str, what: str) -> Path | None:
    """The folder that is meant, None for a bucket."""
    if not url_or_path.strip():
        raise SettingMissing(subject=f"a place for the {what}", variable="it to a folder or to s3://bucket/prefix")
    if "://" not in url_or_path:
        return Path(url_or_path)
    parts = urlsplit(url_or_path)
    if parts.scheme == "s3":
        location(url_or_path)                         # a bucket is required before credentials are
        return None
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    raise RequestInvalid(
        field=what, detail=f"callsheet has no {what} for URLs that begin with {parts.scheme}://",
        remedy="write a folder's path, or s3://bucket/prefix",
    )
