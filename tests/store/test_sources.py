"""Files that users name: what is worked on is what was admitted, and nothing is fetched more often than needed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from callsheet.errors import FileChanged, FileMissing, FileUnreadable, StoreError
from callsheet.store.sources import Sources
from tests.support.s3_server import S3Server

UNREADABLE = Path("/proc/self/mem")
needs_unreadable = pytest.mark.skipif(not UNREADABLE.exists(), reason="needs a file that not even root can read")


class Objects:
    """An S3 client over a dict, which counts what is asked of it."""

    def __init__(self, **objects: bytes) -> None:
        self.objects = {f"b/{name}": data for name, data in objects.items()}
        self.heads = self.gets = 0

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self.heads += 1
        return self._found(Bucket, Key, "404")

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        self.gets += 1
        found = self._found(Bucket, Key, "NoSuchKey")
        return {**found, "Body": Body(self.objects[f"{Bucket}/{Key}"])}

    def _found(self, bucket: str, key: str, absent: str) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        data = self.objects.get(f"{bucket}/{key}")
        if data is None:
            raise ClientError({"Error": {"Code": absent}}, "GetObject")
        return {"ETag": f'"{hashlib.md5(data).hexdigest()}"', "ContentLength": len(data)}


class Body(io.BytesIO):
    def iter_chunks(self, size: int) -> Iterator[bytes]:
        while chunk := self.read(size):
            yield chunk


def local() -> Sources:
    def no_client() -> Any:
        raise AssertionError("a local file needs no S3 client")

    return Sources(no_client)


def over(objects: Objects) -> Sources:
    return Sources(lambda: cast(Any, objects))


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_local_file_is_copied_into_the_folder_with_its_name(tmp_path: Path) -> None:
    asked, room = tmp_path / "ava.safetensors", tmp_path / "room"
    asked.write_bytes(b"weights")
    room.mkdir()
    got = local().local(str(tmp_path / "ava"), sha(b"weights"), room, "LoRA")
    assert room in got.parents
    assert (got.name, got.read_bytes()) == ("ava.safetensors", b"weights")


def test_what_changes_after_it_was_taken_changes_nothing(tmp_path: Path) -> None:
    asked, room = tmp_path / "ava.safetensors", tmp_path / "room"
    asked.write_bytes(b"weights")
    room.mkdir()
    got = local().local(str(asked), sha(b"weights"), room, "LoRA")
    asked.write_bytes(b"changed")
    assert got.read_bytes() == b"weights"


def test_a_file_that_changed_since_it_was_admitted_is_refused(tmp_path: Path) -> None:
    asked = tmp_path / "ava.safetensors"
    asked.write_bytes(b"weights")
    admitted = local().digest(str(asked), "LoRA")
    asked.write_bytes(b"changed")
    with pytest.raises(FileChanged, match="ava.safetensors changed"):
        local().local(str(asked), admitted, tmp_path, "LoRA")


def test_the_copy_never_meets_a_file_that_the_stage_writes(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    asked, room = tmp_path / "in" / "picture.png", tmp_path / "room"
    asked.write_bytes(b"pixels")
    room.mkdir()
    assert local().local(str(asked), sha(b"pixels"), room, "picture") != room / "picture.png"


@needs_unreadable
def test_a_file_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    asked = tmp_path / "ava.safetensors"
    asked.symlink_to(UNREADABLE)
    (tmp_path / "room").mkdir()
    for ask in (lambda: local().digest(str(asked), "LoRA"),
                lambda: local().local(str(asked), "0" * 64, tmp_path / "room", "LoRA")):
        with pytest.raises(FileUnreadable, match=r"ava\.safetensors cannot be read \(.+\): check its permissions"):
            ask()


def test_missing_files_are_told_with_what_they_were_for(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match="music"):
        local().digest(str(tmp_path / "gone.flac"), "music")
    with pytest.raises(FileMissing, match="music"):
        local().local(str(tmp_path / "gone.flac"), "0" * 64, tmp_path, "music")
    with pytest.raises(FileMissing, match="music"):
        over(Objects()).digest("s3://b/gone.flac", "music")


def test_an_object_is_downloaded_for_its_digest_once() -> None:
    objects = Objects(once=b"weights")
    for _ in range(3):                                # each run has sources of its own
        assert over(objects).digest("s3://b/once", "LoRA") == sha(b"weights")
    assert (objects.gets, objects.heads) == (1, 3)


def test_an_object_that_is_replaced_is_downloaded_anew() -> None:
    objects = Objects(again=b"weights")
    sources = over(objects)
    sources.digest("s3://b/again", "LoRA")
    objects.objects["b/again"] = b"replaced"
    assert sources.digest("s3://b/again", "LoRA") == sha(b"replaced")
    assert objects.gets == 2


def test_an_object_that_is_replaced_while_it_is_looked_up_is_known_by_what_came() -> None:
    objects = Objects(race=b"weights")

    class Late(Objects):
        def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
            found = super().head_object(Bucket, Key)
            self.objects["b/race"] = b"replaced"
            return found

    late = Late(race=b"weights")
    assert over(late).digest("s3://b/race", "LoRA") == sha(b"replaced")
    assert over(objects).digest("s3://b/race", "LoRA") == sha(b"weights"), "not what came in its place"


def test_an_object_is_brought_into_the_folder_and_checked(tmp_path: Path) -> None:
    objects = Objects(**{"x/ava.safetensors": b"weights"})
    got = over(objects).local("s3://b/x/ava.safetensors", sha(b"weights"), tmp_path, "LoRA")
    assert (got.name, got.read_bytes(), tmp_path in got.parents) == ("ava.safetensors", b"weights", True)
    with pytest.raises(FileChanged):
        over(objects).local("s3://b/x/ava.safetensors", "0" * 64, tmp_path / "else", "LoRA")


def test_a_bucket_that_refuses_is_told_by_its_code() -> None:
    from botocore.exceptions import ClientError

    class Closed(Objects):
        def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
            raise ClientError({"Error": {"Code": "403"}}, "HeadObject")

    with pytest.raises(StoreError, match="403"):
        over(Closed()).digest("s3://b/x", "LoRA")


@pytest.mark.slow
def test_a_real_servers_objects_are_known_taken_and_missed(s3_server: S3Server, tmp_path: Path) -> None:
    url = f"{s3_server.new_url()}/ava.safetensors"
    bucket, _, key = url.removeprefix("s3://").partition("/")
    s3_server.shared.put_object(Bucket=bucket, Key=key, Body=b"weights")
    real = Sources(lambda: s3_server.shared)
    assert [real.digest(url, "LoRA") for _ in range(2)] == [sha(b"weights")] * 2
    assert real.local(url, sha(b"weights"), tmp_path, "LoRA").read_bytes() == b"weights"
    s3_server.shared.put_object(Bucket=bucket, Key=key, Body=b"changed")
    assert real.digest(url, "LoRA") == sha(b"changed")
    with pytest.raises(FileMissing, match="LoRA"):
        real.digest(f"{url}.gone", "LoRA")
