"""The laws of every store, held by a folder and by a real S3 server alike."""

from __future__ import annotations

import os
import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from callsheet.errors import (
    FileMissing,
    KeyRefused,
    NotInStore,
    RequestInvalid,
    StoreCorrupt,
    StoreDenied,
)
from callsheet.recipe import digest
from callsheet.store.base import Artifact, Store, sha256_of
from callsheet.store.local import LocalStore
from callsheet.store.open import open_store
from callsheet.store.s3 import S3Store
from tests.support.s3_server import BUCKET, S3Server

MIB = 1 << 20
S3 = pytest.param("s3", marks=pytest.mark.slow)


@dataclass(frozen=True)
class Case:
    """A store, and how bytes behind its back are changed."""

    store: Store
    tamper: Callable[[str, bytes], None]


@pytest.fixture(params=["folder", S3])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    if request.param == "folder":
        root = tmp_path / "store"

        def overwrite(key: str, data: bytes) -> None:
            (root / key).chmod(0o644)
            (root / key).write_bytes(data)

        yield Case(LocalStore(root), overwrite)
        return
    server: S3Server = request.getfixturevalue("s3_server")
    client, url = server.shared, server.new_url()
    prefix = url.removeprefix(f"s3://{BUCKET}/")

    def replace(key: str, data: bytes) -> None:
        before = client.head_object(Bucket=BUCKET, Key=f"{prefix}/{key}")
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=data, Metadata=before["Metadata"])

    yield Case(S3Store(url, client, part_bytes=6 * MIB), replace)


@pytest.fixture
def store(case: Case) -> Store:
    return case.store


def artifact(key: str, data: bytes) -> Artifact:
    return Artifact(key=key, sha256=digest(data.decode()), size=len(data))


# ---- put if absent

def test_what_was_put_is_read_back(store: Store) -> None:
    assert store.put_if_absent("posters/files/a.jpg", b"hello") is True
    assert store.read("posters/files/a.jpg") == b"hello"
    assert store.size("posters/files/a.jpg") == 5


def test_a_file_is_put_like_bytes_and_stays_where_it_was(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    source.write_bytes(b"moving pictures")
    assert store.put_if_absent("takes/clip.mp4", source) is True
    assert store.read("takes/clip.mp4") == source.read_bytes() == b"moving pictures"


def test_nothing_is_overwritten(store: Store) -> None:
    store.put_if_absent("a/1.json", b"first")
    assert store.put_if_absent("a/1.json", b"second") is False, "the second put must lose"
    assert store.put_if_absent("a/1.json", b"first") is False, "the same bytes again are not written again"
    assert store.read("a/1.json") == b"first"


def test_an_empty_file_is_a_file(store: Store) -> None:
    assert store.put_if_absent("a/empty", b"")
    assert (store.size("a/empty"), store.read("a/empty")) == (0, b"")
    assert store.put_if_absent("a/empty", b"x") is False


def test_of_16_threads_that_race_exactly_one_wins(store: Store) -> None:
    for n in range(2):
        together = threading.Barrier(16)

        def race(who: int, key: str = f"claims/{n}.json", together: threading.Barrier = together) -> bool:
            together.wait()
            return store.put_if_absent(key, f"owner {who}".encode())

        with ThreadPoolExecutor(16) as pool:
            won = [who for who, mine in enumerate(pool.map(race, range(16))) if mine]
        assert len(won) == 1, f"race {n}: {len(won)} of 16 won"
        assert store.read(f"claims/{n}.json") == f"owner {won[0]}".encode(), "the bytes are the winner's"


def test_readers_see_nothing_or_everything(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "big"
    source.write_bytes(b"x" * 24 * MIB)
    done = threading.Event()
    sizes, listings = set[int | None](), set[tuple[str, ...]]()

    def watch() -> None:
        while not done.is_set():
            sizes.add(store.size("big/file"))
            listings.add(tuple(store.names("big/")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert store.put_if_absent("big/file", source)
    finally:
        done.set()
        watcher.join()
    assert sizes <= {None, 24 * MIB}, f"half a file was seen: {sizes} bytes"
    assert listings <= {(), ("big/file",)}, f"something else was listed: {listings}"


def test_a_source_that_is_not_there_is_named_and_nothing_is_put(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"gone\.mp4"):
        store.put_if_absent("a/b", tmp_path / "gone.mp4")
    assert store.size("a/b") is None
    assert store.names("a/") == []


def test_a_file_of_several_parts_works_and_is_not_overwritten(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "film.mp4"
    source.write_bytes(os.urandom(12 * MIB + 1))
    whole = Artifact(key="mix/film.mp4", sha256=sha256_of(source), size=12 * MIB + 1)
    assert store.put_if_absent(whole.key, source) is True
    assert store.put_if_absent(whole.key, source) is False
    assert sha256_of(store.fetch(whole, tmp_path / "here")) == whole.sha256


# ---- fetch

def test_a_fetched_file_has_the_bytes_and_the_suffix(store: Store, tmp_path: Path) -> None:
    store.put_if_absent("a/b.wav", b"sound")
    for _ in range(2):
        path = store.fetch(artifact("a/b.wav", b"sound"), tmp_path)
        assert (path.read_bytes(), path.suffix) == (b"sound", ".wav")


def test_a_fetched_file_is_read_only(store: Store, tmp_path: Path) -> None:
    store.put_if_absent("a/b.wav", b"sound")
    mode = stat.S_IMODE(store.fetch(artifact("a/b.wav", b"sound"), tmp_path).stat().st_mode)
    assert mode == 0o444, f"mode {mode:o}"


def test_another_digest_than_the_bytes_have_is_detected(store: Store, tmp_path: Path) -> None:
    store.put_if_absent("a/b", b"good")
    with pytest.raises(StoreCorrupt, match="a/b"):
        store.fetch(artifact("a/b", b"evil"), tmp_path)
    assert list(tmp_path.rglob("*evil*")) == []


@pytest.mark.parametrize("changed", [b"Good", b"goo", b"", b"goods"], ids=["flipped", "cut", "emptied", "longer"])
def test_bytes_that_changed_behind_its_back_are_detected(case: Case, tmp_path: Path, changed: bytes) -> None:
    case.store.put_if_absent("a/b", b"good")
    case.tamper("a/b", changed)
    with pytest.raises(StoreCorrupt, match="a/b"):
        case.store.fetch(artifact("a/b", b"good"), tmp_path / "here")
    assert list(tmp_path.glob("here/*")) == [], "what failed its check is not left behind"


def test_what_is_missing_is_named(store: Store, tmp_path: Path) -> None:
    store.put_if_absent("a/b/c", b"1")
    for key in ("a/x", "nowhere/at/all", "a/b", "a/b/c/d"):
        assert store.size(key) is None, key
        with pytest.raises(NotInStore, match=key):
            store.read(key)
        with pytest.raises(NotInStore, match=key):
            store.fetch(artifact(key, b"1"), tmp_path)


# ---- keys and names

HOSTILE = [
    "", "/", "/etc/passwd", "a/", "a//b", "..", "../a", "a/../b", "a/..", ".", "./a", "a/./b", ".incoming/a",
    "a\x00b", "a\nb", "a\\b", "s" * 255, "é" * 128, "a/" * 460 + "a", "a\udcff",
]


@pytest.mark.parametrize("key", HOSTILE, ids=lambda key: ascii(key[:12]))
def test_a_hostile_key_is_refused_everywhere(store: Store, tmp_path: Path, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.put_if_absent(key, b""), lambda: store.read(key), lambda: store.size(key),
        lambda: store.link(key), lambda: store.fetch(Artifact(key=key, sha256="0" * 64, size=0), tmp_path),
    ]
    for call in calls:
        with pytest.raises(KeyRefused, match="use a relative key"):
            call()


@pytest.mark.parametrize("prefix", ["", "a", "/", "../", "a//", "a/../b/"])
def test_a_hostile_prefix_is_refused(store: Store, prefix: str) -> None:
    with pytest.raises(KeyRefused):
        store.names(prefix)


@pytest.mark.parametrize("key", ["s" * 254, "a b/c+d.txt", "a%2Fb", "ü/日本.json", "q?x=1&y#z", "a~b'(c)!*"], ids=ascii)
def test_an_unusual_key_is_kept_as_it_is(store: Store, key: str) -> None:
    assert store.put_if_absent(f"odd/{key}", b"1")
    assert store.names("odd/") == [f"odd/{key}"]
    assert store.read(f"odd/{key}") == b"1"


def test_names_are_the_keys_below_the_prefix_sorted(store: Store) -> None:
    for key in ("p/b", "p/a/z", "p/a-b", "p/a/y", "pp/x", "q/p/x"):
        store.put_if_absent(key, b"")
    assert store.names("p/") == ["p/a-b", "p/a/y", "p/a/z", "p/b"]
    assert store.names("p/a/") == ["p/a/y", "p/a/z"]
    assert store.names("none/") == []


@pytest.mark.slow
def test_names_are_complete_beyond_a_thousand(store: Store) -> None:
    keys = [f"log/{n:04}.json" for n in range(1100)]
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda key: store.put_if_absent(key, b"{}"), reversed(keys)))
    names = store.names("log/")
    assert names == keys, f"{len(names)} of {len(keys)} names"


# ---- links

@pytest.mark.parametrize("expires_s", [0, -1, 3601, 10**9])
def test_a_link_lasts_an_hour_at_most(store: Store, expires_s: int) -> None:
    with pytest.raises(RequestInvalid, match="expires_s"):
        store.link("a/b", expires_s)


def test_a_link_opens_the_file_without_credentials(store: Store) -> None:
    store.put_if_absent("a/b c.txt", b"for people")
    with urllib.request.urlopen(store.link("a/b c.txt")) as answer:
        assert answer.read() == b"for people"


@pytest.mark.slow
def test_a_tampered_link_is_refused(s3_server: S3Server) -> None:
    store = S3Store(s3_server.new_url(), s3_server.shared)
    store.put_if_absent("mine/a.txt", b"mine")
    store.put_if_absent("yours/a.txt", b"yours")
    link = store.link("mine/a.txt", 60)
    for forged in (link.replace("mine", "yours"), link.replace("Expires=60", "Expires=600")):
        assert forged != link
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(forged)
        refused.value.close()
        assert refused.value.code == 403


# ---- where it is, and what goes wrong

def test_a_store_opened_again_at_its_url_has_the_same_files(case: Case, request: pytest.FixtureRequest) -> None:
    case.store.put_if_absent("a/b", b"kept")
    again = open_store(case.store.url, lambda: request.getfixturevalue("s3_server").shared)
    assert (again.read("a/b"), again.url) == (b"kept", case.store.url)


@pytest.mark.slow
@pytest.mark.parametrize("known_key", [True, False], ids=["wrong secret", "unknown key"])
def test_bad_credentials_are_told_with_a_remedy_and_without_a_secret(
    s3_server: S3Server, tmp_path: Path, known_key: bool
) -> None:
    key, secret = s3_server.key if known_key else "NOBODYSKEY1234", "canary-secret-5e1f"
    client = s3_server.client(key, secret)
    store = S3Store(s3_server.new_url(), client)
    calls: list[Callable[[], object]] = [
        lambda: store.put_if_absent("a/b", b"1"), lambda: store.read("a/b"), lambda: store.size("a/b"),
        lambda: store.names("a/"), lambda: store.fetch(artifact("a/b", b"1"), tmp_path),
    ]
    for call in calls:
        with pytest.raises(StoreDenied, match="check the access key") as refused:
            call()
        shown = f"{refused.value} {refused.value.facts} {refused.value.__cause__!r}"
        assert secret not in shown and key not in shown, shown
        assert not refused.value.retryable
    client.close()
