"""What is S3's own: lost answers, conflicts, changing files, missing buckets and settings.

What every store keeps is in tests/contracts/test_stores.py.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from callsheet.errors import SettingMissing, StoreDenied, StoreError, UploadFailed
from callsheet.store.s3 import S3Store, default_client, s3_client
from tests.support.s3_server import BUCKET, S3Server

MIB = 1 << 20


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_told(s3_server: S3Server) -> None:
    store = S3Store("s3://no-such-bucket-here", s3_server.shared)
    with pytest.raises(UploadFailed, match=r"NoSuchBucket.*check the bucket's name"):
        store.put_if_absent("a/b", b"1")
    with pytest.raises(StoreError, match="NoSuchBucket"):
        store.read("a/b")
    with pytest.raises(StoreError, match="NoSuchBucket"):
        store.names("a/")


@pytest.mark.slow
@pytest.mark.parametrize(
    "operation, size, words",
    [("PutObject", 3, "BadDigest"), ("UploadPart", 12 * MIB, "changed while it was read")],
)
def test_a_file_that_changes_while_it_is_uploaded_is_not_stored(
    s3_server: S3Server, tmp_path: Path, operation: str, size: int, words: str
) -> None:
    client, source = s3_server.client(), tmp_path / "changing"
    source.write_bytes(b"a" * size)

    def change(**_: object) -> None:
        source.write_bytes(b"b" * size)

    client.meta.events.register(f"before-call.s3.{operation}", change)
    store = S3Store(s3_server.new_url(), client, part_bytes=6 * MIB)
    with pytest.raises(UploadFailed, match=words):
        store.put_if_absent("a/b", source)
    assert store.names("a/") == []
    assert "Uploads" not in client.list_multipart_uploads(Bucket=BUCKET), "the parts are removed"
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("operation, size", [("PutObject", 3), ("CompleteMultipartUpload", 12 * MIB)])
def test_an_upload_whose_answer_got_lost_is_still_ours(s3_server: S3Server, operation: str, size: int) -> None:
    client = s3_server.client()
    store = S3Store(s3_server.new_url(), client, part_bytes=6 * MIB)
    lost: list[int] = []

    def lose_the_first_answer(response: object, **_: object) -> Any:
        if response is None or lost:
            return None
        lost.append(1)
        return 0.0                                    # botocore sends it again, as after a time-out

    client.meta.events.register_first(f"needs-retry.s3.{operation}", lose_the_first_answer)
    assert store.put_if_absent("claims/1.json", b"x" * size) is True, "we wrote it, whatever the repeat answers"
    assert lost, "the fault was injected"
    assert store.put_if_absent("claims/1.json", b"x" * size) is False
    client.close()


@pytest.mark.slow
def test_an_upload_in_parts_that_is_overtaken_overwrites_nothing(s3_server: S3Server) -> None:
    client, url = s3_server.client(), s3_server.new_url()
    faster = S3Store(url, s3_server.shared)

    def overtake(**_: object) -> None:
        faster.put_if_absent("a/b", b"the faster one")

    client.meta.events.register("before-call.s3.UploadPart", overtake)
    assert S3Store(url, client, part_bytes=6 * MIB).put_if_absent("a/b", b"x" * 12 * MIB) is False
    assert faster.read("a/b") == b"the faster one"
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("conflicts", [1, 99])
def test_a_conflict_with_a_writer_who_gives_up_is_not_taken_for_a_lost_race(
    s3_server: S3Server, conflicts: int
) -> None:
    client, answered = s3_server.client(), list[int]()

    def conflict(**_: object) -> Any:                 # as Amazon answers while another write is under way
        if len(answered) >= conflicts:
            return None
        answered.append(409)
        error = {"Error": {"Code": "ConditionalRequestConflict"}, "ResponseMetadata": {"HTTPStatusCode": 409}}
        return SimpleNamespace(status_code=409), error

    client.meta.events.register("before-call.s3.PutObject", conflict)
    store = S3Store(s3_server.new_url(), client)
    if conflicts == 1:
        assert store.put_if_absent("a/b", b"mine") is True
        assert store.read("a/b") == b"mine"
    else:
        with pytest.raises(UploadFailed, match="others write to it"):
            store.put_if_absent("a/b", b"mine")
    client.close()


def test_an_unreachable_server_is_told_as_a_store_error() -> None:
    client = s3_client("http://127.0.0.1:1", "auto", "KEY", SecretStr("canary-secret-5e1f"))
    with pytest.raises(StoreError, match=r"s3://bucket: EndpointConnectionError.*reachable") as failed:
        S3Store("s3://bucket", client).names("a/")
    assert failed.value.retryable
    client.close()


@pytest.mark.parametrize(
    "endpoint, region, key, secret, subject",
    [
        (None, "us-west-1", "", "s", "S3 access key"), (None, "us-west-1", "k", "", "S3 access key"),
        (None, None, "k", "s", "S3 region"),
    ],
)
def test_a_missing_setting_of_the_client_is_named(
    endpoint: str | None, region: str | None, key: str, secret: str, subject: str
) -> None:
    with pytest.raises(SettingMissing, match=f"{subject}.* is required"):
        s3_client(endpoint, region, key, SecretStr(secret))


def test_a_server_of_ones_own_is_signed_for_region_auto() -> None:
    client = s3_client("https://account.r2.cloudflarestorage.com", None, "k", SecretStr("s"))
    link = S3Store("s3://bucket/films", client).link("a/b.mp4", 60)
    assert link.startswith("https://account.r2.cloudflarestorage.com/bucket/films/a/b.mp4?")
    assert "%2Fauto%2Fs3%2Faws4_request" in link and "X-Amz-Expires=60" in link
    client.close()


def test_temporary_credentials_are_signed_with_their_token() -> None:
    client = s3_client(None, "us-west-1", "k", SecretStr("s"), SecretStr("the token"))
    assert "X-Amz-Security-Token=the%20token" in S3Store("s3://bucket", client).link("a")
    client.close()


def test_the_default_client_takes_the_credentials_that_boto3_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    client = default_client(None, "us-west-1")
    assert "X-Amz-Credential=FROMENVIRONMENT%2F" in S3Store("s3://bucket", client).link("a")
    client.close()


def test_without_any_credentials_the_first_use_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    client = default_client("http://127.0.0.1:1", None)
    with pytest.raises(StoreDenied, match="NoCredentialsError"):
        S3Store("s3://bucket", client).read("a")
    client.close()
