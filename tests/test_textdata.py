"""Hostile YAML and JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from callsheet.errors import FileMissing, FileUnreadable, ManifestInvalid
from callsheet.textdata import json_tree, read_tree, require, yaml_tree


def test_yaml_scalars_stay_what_was_written() -> None:
    assert yaml_tree("- {id: 0001, user: NO, n: 1.50, x: ~, y: '~', z: 1:30}") == [
        {"id": "0001", "user": "NO", "n": "1.50", "x": "", "y": "~", "z": "1:30"}]


def test_json_numbers_stay_what_was_written() -> None:
    assert json_tree('{"a": [1.50, 12345678901234567890, null, true, "0001"]}') == {
        "a": ["1.50", "12345678901234567890", "", "true", "0001"]}


@pytest.mark.parametrize("text", [
    "a: &x 1", "a: *x", "a: 1\na: 2", "? [a]\n: 2", "a: !!python/object/apply:os.system [ls]", "a: !local 1",
    "[" * 52 + "]" * 52, "[" * 100_000, "a: .nan", "a: -.inf", "--- 1\n--- 2", "a: [", "a: \x07",
])
def test_yaml_that_could_mean_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ManifestInvalid):
        read_tree(tmp_path / "x.yaml", "script")


@pytest.mark.parametrize("text", [
    '{"a": 1, "a": 2}', "[NaN]", "[-Infinity]", "[" * 51 + "]" * 51, "[" * 100_000, "{", '["\\u0000"]', '["\\ud800"]',
])
def test_json_that_could_mean_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ManifestInvalid):
        read_tree(tmp_path / "x.json", "script")


def test_fifty_levels_are_read() -> None:
    text = "[" * 50 + "]" * 50
    assert yaml_tree(text) == json_tree(text)


def test_a_refusal_names_file_line_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: *a\n")
    with pytest.raises(ManifestInvalid) as refused:
        read_tree(path, "script")
    assert [str(problem) for problem in refused.value.problems] == [
        f"{path}: line 2: has an anchor or alias (& or *): write the value out"]


def test_a_file_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b'["\xff"]')
    with pytest.raises(ManifestInvalid) as refused:
        read_tree(tmp_path / "x.json", "script")
    assert "UTF-8" in str(refused.value.problems[0])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"x\.yaml is not there"):
        read_tree(tmp_path / "x.yaml", "script")


def test_a_file_that_is_not_there_is_guessed_from_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "actors.csv").write_text("id\n")
    with pytest.raises(FileMissing, match=r"actor\.csv is not there \(manifest\): did you mean actors\.csv\?"):
        require(tmp_path / "actor.csv", "manifest")
    with pytest.raises(FileMissing, match="check the path; there is no such file in"):
        require(tmp_path / "films.json", "manifest")


def test_a_folder_is_told_from_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match="it is a folder"):
        require(tmp_path, "manifest")
