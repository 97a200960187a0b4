"""What is the folder store's own: file systems, killed writers, one hash a file.

What every store keeps is in tests/contracts/test_stores.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from callsheet.errors import UploadFailed
from callsheet.recipe import digest
from callsheet.store import checks
from callsheet.store.base import Artifact, sha256_of
from callsheet.store.local import LocalStore


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UploadFailed, match="check that the folder can be written to"):
        LocalStore(tmp_path / "file").put_if_absent("a/b", b"1")


def test_a_key_that_is_the_folder_of_others_is_told_and_not_taken_for_a_lost_race(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_if_absent("a/b", b"1")
    with pytest.raises(UploadFailed, match="other keys lie below"):
        store.put_if_absent("a", b"1")


def test_what_a_killed_writer_left_is_no_key_and_is_swept_after_a_day(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_if_absent("a/b", b"1")
    old, young = tmp_path / ".incoming/old", tmp_path / ".incoming/young"
    for file in (old, young):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    store.put_if_absent("a/c", b"2")
    assert store.names("a/") == ["a/b", "a/c"]
    assert (old.exists(), young.exists()) == (False, True)


def test_a_folder_store_hashes_an_unchanged_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def count(path: Path) -> str:
        hashed.append(path)
        return sha256_of(path)

    monkeypatch.setattr(checks, "sha256_of", count)
    store, text = LocalStore(tmp_path), "bytes of this very test"
    artifact = Artifact(key="a/b", sha256=digest(text), size=len(text))
    store.put_if_absent("a/b", text.encode())
    for _ in range(3):
        assert store.fetch(artifact, tmp_path) == tmp_path / "a/b"
    assert len(hashed) == 1, f"hashed {len(hashed)} times"
