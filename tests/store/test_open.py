"""From a setting to a store: what is refused, and that nothing is asked for before that."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.errors import KeyRefused, RequestInvalid, SettingMissing
from callsheet.store.local import LocalStore
from callsheet.store.open import open_store


@pytest.mark.parametrize(
    "place, error, words",
    [
        ("s3://", SettingMissing, "S3 bucket is required"),
        ("s3:///prefix", SettingMissing, "S3 bucket is required"),
        ("", SettingMissing, "a place for the store is required"),
        ("s3://KEY:canary@bucket/prefix", RequestInvalid, "credentials and endpoint are settings"),
        ("s3://bucket/a/../b", KeyRefused, "begins with a dot"),
        ("ftp://host/folder", RequestInvalid, "begin with ftp://"),
        ("file://host/folder", RequestInvalid, "begin with file://"),
    ],
)
def test_a_place_that_is_no_store_is_refused_before_credentials_are_asked(
    place: str, error: type[Exception], words: str
) -> None:
    def never() -> None:
        pytest.fail("the client must not be made")

    with pytest.raises(error, match=words) as refused:
        open_store(place, never)                      # type: ignore[arg-type]
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("place", ["{}/a b", "file://{}/a%20b", "file://localhost{}/a%20b"])
def test_a_folder_is_opened_by_path_and_by_url(tmp_path: Path, place: str) -> None:
    store = open_store(place.format(tmp_path), lambda: pytest.fail("no client is needed"))
    assert isinstance(store, LocalStore)
    assert store.root == tmp_path / "a b"
