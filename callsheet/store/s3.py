"""A store in an S3 bucket: Amazon's, R2, or any server that keeps conditional writes.

Put-if-absent is `If-None-Match: *`, on the one request or on completing the upload in parts. Covers the client's
settings and the Store contract; how an upload goes and what errors mean is in s3_bucket.py. It never deletes, but
for parts of an upload that failed.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import SecretStr

from callsheet.errors import SettingMissing, StoreCorrupt, StoreError
from callsheet.store.base import Artifact
from callsheet.store.checks import check_file, checked_expiry, checked_key, checked_prefix
from callsheet.store.s3_bucket import PART_BYTES, Bucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHUNK_BYTES = 1 << 20


def s3_client(
    endpoint: str | None, region: str | None, key: str, secret: SecretStr, token: SecretStr | None = None
) -> S3Client:
    """A client for Amazon S3, or for another server at `endpoint`. Thread safe; nothing is sent yet.

    R2's region is `auto`; so is any other endpoint's when no region is given. `token` belongs to temporary
    credentials. Raises SettingMissing when key, secret, or Amazon's region is empty.
    """
    if not key or not secret.get_secret_value():
        variables = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or R2_ACCESS_KEY and R2_SECRET_KEY"
        raise SettingMissing(subject="S3 access key with its secret", variable=variables)
    return _client(endpoint, region, key, secret, token)


def default_client(endpoint: str | None, region: str | None) -> S3Client:
    """As s3_client, with the credentials that boto3 finds: environment, profile, or the machine's role.

    When there are none, the first use raises StoreDenied.
    """
    return _client(endpoint, region, None, None, None)


def _client(
    endpoint: str | None, region: str | None, key: str | None, secret: SecretStr | None, token: SecretStr | None
) -> S3Client:
    import boto3
    from botocore.config import Config

    if not endpoint and not region:
        raise SettingMissing(subject="S3 region", variable="AWS_REGION")
    config = Config(
        signature_version="s3v4",
        request_checksum_calculation="when_required",     # we send sha256 ourselves; R2 refuses the default
        response_checksum_validation="when_required",
        connect_timeout=10,
        read_timeout=60,
        retries={"mode": "standard", "total_max_attempts": 5},
        max_pool_connections=32,
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    return boto3.session.Session().client(
        "s3", endpoint_url=endpoint or None, region_name=region or "auto", config=config, aws_access_key_id=key,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        aws_session_token=token.get_secret_value() if token else None,
    )


class S3Store:
    """Files below `s3://bucket/prefix`. Passes tests/contracts/test_stores.py."""

    def __init__(self, url: str, client: S3Client, part_bytes: int = PART_BYTES) -> None:
        self._bucket = Bucket(url, client, part_bytes)

    @property
    def url(self) -> str:
        return self._bucket.url

    def put_if_absent(self, key: str, source: Path | bytes) -> bool:
        """See Store. Raises KeyRefused, FileMissing for an unreadable source, StoreDenied, UploadFailed."""
        return self._bucket.upload(checked_key(key), source, if_absent=True)

    def read(self, key: str) -> bytes:
        """See Store. Raises StoreCorrupt when the bytes are not those that were uploaded."""
        bucket = self._bucket
        with bucket.errors(checked_key(key)):
            answer = bucket.client.get_object(Bucket=bucket.name, Key=bucket.prefix + key)
            with contextlib.closing(answer["Body"]) as body:
                data = body.read()
        wanted = answer["Metadata"].get("sha256")
        if wanted and hashlib.sha256(data).hexdigest() != wanted:
            raise StoreCorrupt(key=key, url=self.url, detail="its bytes are not those that were uploaded")
        return data

    def size(self, key: str) -> int | None:
        head = self._bucket.head(checked_key(key))
        return None if head is None else head.size

    def names(self, prefix: str) -> list[str]:
        bucket = self._bucket
        with bucket.errors(checked_prefix(prefix)):
            pages = bucket.client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket.name, Prefix=bucket.prefix + prefix
            )
            found = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return sorted(key.removeprefix(bucket.prefix) for key in found)

    def fetch(self, artifact: Artifact, folder: Path) -> Path:
        """A checked download, `folder/{sha256}{suffix}`: once a folder, whoever asks."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{artifact.sha256}{PurePosixPath(checked_key(artifact.key)).suffix}"
        if not path.exists():
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
                partial = Path(file.name)
            try:
                self._download(artifact.key, partial)
                check_file(partial, artifact, self.url)
                partial.chmod(0o444)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        check_file(path, artifact, self.url)
        return path

    def link(self, key: str, expires_s: int = 3600) -> str:
        """A presigned URL. Whoever has it can read that one file: never write it into a log."""
        bucket = self._bucket
        checked_expiry(expires_s)
        with bucket.errors(checked_key(key)):
            return bucket.client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket.name, "Key": bucket.prefix + key}, ExpiresIn=expires_s
            )

    def _download(self, key: str, path: Path) -> None:
        bucket = self._bucket
        try:
            with bucket.errors(key), path.open("wb") as file:
                answer = bucket.client.get_object(Bucket=bucket.name, Key=bucket.prefix + key)
                with contextlib.closing(answer["Body"]) as body:
                    for chunk in body.iter_chunks(_CHUNK_BYTES):
                        file.write(chunk)
        except OSError as error:                      # the network's errors are store errors by now
            remedy = f"check that the disk of {path.parent} is not full"
            raise StoreError(url=self.url, detail=f"{key}: {error.strerror}", remedy=remedy) from error
