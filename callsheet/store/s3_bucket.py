"""One prefix of one S3 bucket: uploads that are verified, look-ups, and errors in our own words.

S3Store and S3Delivery stand on this. Covers conditional and replacing uploads, in one request or in parts.
Messages of the server are never shown, only its error codes: a message may echo what was sent.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from callsheet.errors import NotInStore, RequestInvalid, SettingMissing, StoreDenied, StoreError, UploadFailed
from callsheet.store.base import media_type_of
from callsheet.store.checks import checked_prefix
from callsheet.store.local import open_source

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 64 << 20
"""Files larger than this go in parts of this size. Servers take parts from 5 MiB."""

_MOST_PARTS = 10_000
_ATTEMPTS = 6
_PAUSE_S = 0.1
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}
_ABSENT = {"NoSuchKey", "NotFound", "404"}


@dataclass(frozen=True)
class Head:
    """What the server says about a file."""

    size: int
    sha256: str
    """As whoever uploaded it said; empty when it came from elsewhere."""
    upload_id: str
    checksum: str
    """The server's own sha256 as hex, where it keeps one of the whole file; else empty."""


@dataclass(frozen=True)
class _Payload:
    source: Path | bytes
    size: int
    sha256: str
    media_type: str
    upload_id: str
    """Tells our own upload from another one of the same bytes, also when the answer got lost."""

    @property
    def headers(self) -> dict[str, Any]:
        return {"ContentType": self.media_type, "Metadata": {"sha256": self.sha256, "upload": self.upload_id}}


class Bucket:
    """Keys below `url`. Every method raises StoreDenied or another StoreError when the server does."""

    def __init__(self, url: str, client: S3Client, part_bytes: int = PART_BYTES) -> None:
        self.name, self.prefix = location(url)
        self.url = f"s3://{self.name}/{self.prefix}".rstrip("/")
        self.client = client
        self.part_bytes = part_bytes

    def upload(self, key: str, source: Path | bytes, media_type: str = "", *, if_absent: bool) -> bool:
        """Put all of `source` under `key`, verified; False when `if_absent` and somebody else has it.

        Raises FileMissing for an unreadable source, UploadFailed.
        """
        payload = _payload(source, media_type or media_type_of(key))
        if if_absent and payload.size > self.part_bytes and self.head(key) is not None:
            return False                              # seen before gigabytes travel
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        for attempt in range(_ATTEMPTS):
            time.sleep(_PAUSE_S * attempt)
            sent = self._send(key, payload, condition)
            found = self.head(key)
            if sent or (found is not None and found.upload_id == payload.upload_id):      # or its answer got lost
                self._verify(key, payload, found, if_absent)
                return True
            if if_absent and found is not None:
                return False
        raise UploadFailed(key=key, url=self.url, detail="the server kept answering that others write to it")

    def head(self, key: str) -> Head | None:
        """None when there is no such key."""
        try:
            with self.errors(key):
                found = self.client.head_object(Bucket=self.name, Key=self.prefix + key, ChecksumMode="ENABLED")
        except NotInStore:
            return None
        checksum = found.get("ChecksumSHA256", "")
        return Head(
            size=found["ContentLength"],
            sha256=found["Metadata"].get("sha256", ""),
            upload_id=found["Metadata"].get("upload", ""),
            checksum="" if "-" in checksum else base64.b64decode(checksum).hex(),     # `-2`: a checksum of parts
        )

    @contextlib.contextmanager
    def errors(self, key: str, writing: bool = False) -> Iterator[None]:
        """Turn what botocore raises inside into errors of our tree."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (ClientError, BotoCoreError) as error:
            self._raise(error, key, writing)

    def _raise(self, error: Exception, key: str, writing: bool) -> NoReturn:
        code, status = _answer(error)
        detail = f"{code}, HTTP {status}" if status else code
        if status in (401, 403) or code in _NO_CREDENTIALS:
            raise StoreDenied(url=self.url, detail=detail) from None
        if writing:
            raise UploadFailed(key=key, url=self.url, detail=detail) from None
        if code in _ABSENT:
            raise NotInStore(key=key, url=self.url) from None
        raise StoreError(url=self.url, detail=detail) from None

    def _send(self, key: str, payload: _Payload, condition: dict[str, Any]) -> bool:
        """True when the server took it; False when it says that it is there, or that others write to it."""
        from botocore.exceptions import ClientError

        with self.errors(key, writing=True):
            try:
                if payload.size <= self.part_bytes:
                    self._send_whole(key, payload, condition)
                else:
                    self._send_parts(key, payload, condition)
            except ClientError as error:
                code, status = _answer(error)
                if status not in (409, 412) and code != "NoSuchUpload":       # the last: completed, answer lost
                    raise
                return False
        return True

    def _send_whole(self, key: str, payload: _Payload, condition: dict[str, Any]) -> None:
        with open_source(payload.source) as file:
            self.client.put_object(
                Bucket=self.name, Key=self.prefix + key, Body=file,
                ChecksumSHA256=_base64(bytes.fromhex(payload.sha256)), **payload.headers, **condition,
            )

    def _send_parts(self, key: str, payload: _Payload, condition: dict[str, Any]) -> None:
        place: Any = {"Bucket": self.name, "Key": self.prefix + key}
        started = self.client.create_multipart_upload(**place, ChecksumAlgorithm="SHA256", **payload.headers)
        place["UploadId"] = started["UploadId"]
        try:
            self.client.complete_multipart_upload(
                **place, **condition, MultipartUpload={"Parts": list(self._parts(key, payload, place))}
            )
        except BaseException:
            self._abort(place)
            raise

    def _parts(self, key: str, payload: _Payload, place: Any) -> Iterator[CompletedPartTypeDef]:
        part_bytes = max(self.part_bytes, -(-payload.size // _MOST_PARTS))
        whole = hashlib.sha256()
        with open_source(payload.source) as file:
            for number in range(1, -(-payload.size // part_bytes) + 1):
                chunk = file.read(part_bytes)
                whole.update(chunk)
                checksum = _base64(hashlib.sha256(chunk).digest())
                sent = self.client.upload_part(**place, PartNumber=number, Body=chunk, ChecksumSHA256=checksum)
                yield {"PartNumber": number, "ETag": sent["ETag"], "ChecksumSHA256": checksum}
            if whole.hexdigest() != payload.sha256 or file.read(1):
                raise UploadFailed(key=key, url=self.url, detail="the file changed while it was read")

    def _abort(self, place: Any) -> None:
        """Best effort: what is left, the bucket's lifecycle rule removes."""
        from botocore.exceptions import BotoCoreError, ClientError

        with contextlib.suppress(BotoCoreError, ClientError):
            self.client.abort_multipart_upload(**place)

    def _verify(self, key: str, payload: _Payload, found: Head | None, if_absent: bool) -> None:
        if found is None:
            detail = "it is not there after its upload"
        elif (found.size, found.sha256) != (payload.size, payload.sha256):
            detail = "something else is there after its upload"
        elif if_absent and found.upload_id != payload.upload_id:
            detail = "another upload took its place: this server does not keep conditional writes"
        elif found.checksum not in ("", payload.sha256):
            detail = "the server holds other bytes"
        else:
            return
        raise UploadFailed(key=key, url=self.url, detail=detail)


def location(url: str) -> tuple[str, str]:
    """Bucket and prefix of an s3:// URL; the prefix is empty or ends with `/`.

    Raises SettingMissing without a bucket, RequestInvalid for what is not a bucket's name.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3" and not parts.netloc:
        raise SettingMissing(subject="S3 bucket", variable="AWS_USER_IMAGES_BUCKET or R2_BUCKET, or write s3://bucket")
    if parts.scheme != "s3" or not _BUCKET_NAME.fullmatch(parts.netloc) or parts.query or parts.fragment:
        raise RequestInvalid(           # the value is not shown: people put keys into URLs
            field="store", detail="this is not s3:// with a bucket's name and a prefix",
            remedy="write s3://bucket/prefix; credentials and endpoint are settings of their own",
        )
    prefix = parts.path.strip("/")
    return parts.netloc, checked_prefix(prefix + "/") if prefix else ""


def _payload(source: Path | bytes, media_type: str) -> _Payload:
    with open_source(source) as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        return _Payload(source, file.tell(), digest.hexdigest(), media_type, uuid.uuid4().hex)


def _answer(error: Exception) -> tuple[str, int]:
    """A word for what happened, and the HTTP status, 0 when no answer came."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return type(error).__name__, 0
    code = re.sub(r"[^A-Za-z0-9.]", "", str(response.get("Error", {}).get("Code", "")))[:64]
    return code or "an error", int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
