"""The laws of every delivery, held by a folder and by a real S3 server alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from callsheet.errors import FileMissing, KeyRefused, RequestInvalid, SettingMissing, StoreDenied
from callsheet.recipe import digest
from callsheet.store.delivery import Delivery, FolderDelivery, S3Delivery
from callsheet.store.open import open_delivery
from tests.support.s3_server import BUCKET, S3Server

MIB = 1 << 20
S3 = pytest.param("s3", marks=pytest.mark.slow)


@dataclass(frozen=True)
class Case:
    delivery: Delivery
    read: Callable[[str], bytes]
    reopen: Callable[[str | None], Delivery]


@pytest.fixture(params=["folder", S3])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    if request.param == "folder":
        root = tmp_path / "out"
        yield Case(
            FolderDelivery(root), lambda key: (root / key).read_bytes(),
            lambda public: open_delivery(str(root), lambda: pytest.fail("no client is needed"), public),
        )
        return
    server: S3Server = request.getfixturevalue("s3_server")
    client, url = server.shared, server.new_url()
    prefix = url.removeprefix(f"s3://{BUCKET}/")
    yield Case(
        S3Delivery(url, client, part_bytes=6 * MIB),
        lambda key: client.get_object(Bucket=BUCKET, Key=f"{prefix}/{key}")["Body"].read(),
        lambda public: open_delivery(url, lambda: client, public),
    )


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"first cut")
    return path


def test_what_was_put_is_there(case: Case, film: Path) -> None:
    url = case.delivery.put("videos/a.mp4", film, "video/mp4")
    assert case.read("videos/a.mp4") == b"first cut"
    assert url == case.delivery.url_of("videos/a.mp4")


def test_putting_again_replaces(case: Case, film: Path) -> None:
    case.delivery.put("videos/a.mp4", film, "video/mp4")
    film.write_bytes(b"second")
    case.delivery.put("videos/a.mp4", film, "video/mp4")
    assert case.read("videos/a.mp4") == b"second"


def test_readers_see_the_old_file_or_the_new_one(case: Case, film: Path) -> None:
    film.write_bytes(b"a" * 8 * MIB)
    case.delivery.put("a.mp4", film, "video/mp4")
    done, seen = threading.Event(), set[tuple[int, bytes]]()

    def watch() -> None:
        while not done.is_set():
            data = case.read("a.mp4")
            seen.add((len(data), bytes(set(data))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        film.write_bytes(b"b" * 7 * MIB)
        case.delivery.put("a.mp4", film, "video/mp4")
    finally:
        done.set()
        watcher.join()
    assert seen <= {(8 * MIB, b"a"), (7 * MIB, b"b")}, f"a mixture was seen: {seen}"


def test_holds_is_by_digest(case: Case, film: Path) -> None:
    first, second = digest("first cut"), digest("2nd draft")
    assert case.delivery.holds("a.mp4", first) is False, "nothing is there"
    case.delivery.put("a.mp4", film, "video/mp4")
    assert case.delivery.holds("a.mp4", first) is True
    assert case.delivery.holds("a.mp4", second) is False
    film.write_bytes(b"2nd draft")                    # as long as the first
    case.delivery.put("a.mp4", film, "video/mp4")
    assert case.delivery.holds("a.mp4", first) is False
    assert case.delivery.holds("a.mp4", second) is True


def test_a_source_that_is_not_there_is_named_and_the_old_file_stays(case: Case, film: Path) -> None:
    case.delivery.put("a.mp4", film, "video/mp4")
    film.unlink()
    with pytest.raises(FileMissing, match=r"film\.mp4"):
        case.delivery.put("a.mp4", film, "video/mp4")
    assert case.read("a.mp4") == b"first cut"


@pytest.mark.parametrize("key", ["", "/a", "../a", "a//b", "a/..", ".hidden"])
def test_a_hostile_key_is_refused(case: Case, film: Path, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: case.delivery.put(key, film, "video/mp4"), lambda: case.delivery.holds(key, "0" * 64),
        lambda: case.delivery.url_of(key),
    ]
    for call in calls:
        with pytest.raises(KeyRefused):
            call()


def test_without_a_public_address_urls_are_plain(case: Case) -> None:
    url = case.delivery.url_of("videos/a.mp4")
    assert url == f"{case.delivery.url}/videos/a.mp4"
    assert url.startswith(("file:///", "s3://")) and "?" not in url and "Signature" not in url


@pytest.mark.parametrize("public", ["https://films.example.org/new", "https://films.example.org/new/"])
def test_with_a_public_address_urls_are_public_and_quoted(case: Case, public: str) -> None:
    delivery = case.reopen(public)
    assert delivery.url == case.delivery.url
    assert delivery.url_of("videos/ä 1.mp4") == "https://films.example.org/new/videos/%C3%A4%201.mp4"


@pytest.mark.parametrize("public", ["", "films.example.org", "ftp://x/", "https://", "https://u:p@x/", "https://x/?a=1"])
def test_an_address_that_is_not_public_is_refused(tmp_path: Path, public: str) -> None:
    with pytest.raises(RequestInvalid, match="public_url"):
        FolderDelivery(tmp_path, public)


def test_a_bucket_without_a_name_is_refused() -> None:
    with pytest.raises(SettingMissing, match="S3 bucket is required"):
        open_delivery("s3://", lambda: pytest.fail("the client must not be made"))


def test_a_folder_delivery_is_readable_by_others_and_leaves_no_other_file(tmp_path: Path, film: Path) -> None:
    FolderDelivery(tmp_path / "out").put("v/a.mp4", film, "video/mp4")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert files == [tmp_path / "out/v/a.mp4"]
    assert files[0].stat().st_mode & 0o777 == 0o644


@pytest.mark.slow
@pytest.mark.parametrize("size", [9, 12 * MIB], ids=["one request", "in parts"])
def test_an_s3_delivery_says_its_media_type_and_digest(s3_server: S3Server, film: Path, size: int) -> None:
    client, url = s3_server.shared, s3_server.new_url()
    film.write_bytes(b"x" * size)
    S3Delivery(url, client, part_bytes=6 * MIB).put("v/a.bin", film, "video/mp4")
    head = client.head_object(Bucket=BUCKET, Key=url.removeprefix(f"s3://{BUCKET}/") + "/v/a.bin")
    assert (head["ContentType"], head["ContentLength"]) == ("video/mp4", size)
    assert head["Metadata"]["sha256"] == digest("x" * size)


@pytest.mark.slow
def test_bad_credentials_are_told_without_a_secret(s3_server: S3Server, film: Path) -> None:
    client = s3_server.client(secret="canary-secret-5e1f")
    with pytest.raises(StoreDenied, match="check the access key") as refused:
        S3Delivery(s3_server.new_url(), client).put("a.mp4", film, "video/mp4")
    assert "canary" not in str(refused.value)
    client.close()
