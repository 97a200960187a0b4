"""From settings to an open store, delivery and sources."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from pydantic import SecretStr

from callsheet.errors import SettingMissing
from callsheet.recipe import Stage
from callsheet.settings import Settings
from callsheet.store.delivery import Delivery
from callsheet.store.open import open_delivery, open_store
from callsheet.store.records import Record, Records
from callsheet.store.s3 import default_client, s3_client
from callsheet.store.sources import Sources

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@lru_cache(maxsize=4)
def backends(settings: Settings) -> tuple[Records, Delivery, Sources]:
    """Opened once per process and settings."""
    delivery = open_delivery(settings.delivery, _client(settings, settings.delivery), settings.public_url)
    store = open_store(settings.store, _client(settings, settings.store))
    records = Records(store, checks={Stage.UPLOAD: _still_delivered(delivery)})
    return records, delivery, Sources(_client(settings, ""))


def _client(settings: Settings, place: str) -> Callable[[], S3Client]:
    """The client for a place: R2's credentials for R2's bucket, AWS's for all others."""

    def make() -> S3Client:
        bucket = place.removeprefix("s3://").partition("/")[0]
        if settings.r2_bucket and bucket == settings.r2_bucket:
            if not settings.r2_endpoint:
                raise SettingMissing(subject="the address of R2", variable="R2_ENDPOINT")
            secret = settings.r2_secret_key or SecretStr("")
            return s3_client(settings.r2_endpoint, "auto", settings.r2_access_key or "", secret)
        if settings.aws_access_key_id and settings.aws_secret_access_key:
            return s3_client(
                settings.aws_endpoint_url,
                settings.aws_region,
                settings.aws_access_key_id,
                settings.aws_secret_access_key,
                settings.aws_session_token,
            )
        return default_client(settings.aws_endpoint_url, settings.aws_region)

    return make


def _still_delivered(delivery: Delivery) -> Callable[[Record], str]:
    """A check that what an upload delivered lies where it was put, unchanged."""

    def check(record: Record) -> str:
        for key, sha256 in record.facts["delivered"].items():
            if not delivery.holds(key, sha256):
                return f"{key} is not in the delivery any more"
        return ""

    return check
