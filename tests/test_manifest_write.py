"""Writing back poster URLs, and results beside a manifest."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callsheet.errors import FileMissing, InputError, ManifestInvalid
from callsheet.manifest import check_writable, read_manifest, results_csv, write_back, write_results
from callsheet.manifest_table import read_table
from callsheet.production import FellBack, Production, StageRow, Status

URL = "s3://bucket/actors/0001/poster_frames/poster, 1.jpeg"

CSV = 'id,poster_frame_url,prompt,seed\n0001,old,"two\nlines",007\n\nava,,"a ""b"", c",\n'
YAML = """# who plays
- id: 0001          # the first
  prompt: "two words"
  poster_frame_url: old
  seed: 007
- prompt: >
    folded
    text
  id: 'ava'   # keeps its comment
- {prompt: é, id: leo, name: no}
"""


def cells(path: Path) -> dict[str, dict[str, str]]:
    return {row["id"]: row for row in read_table(path).frame.to_dict("records")}


def parquet(path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"id": ["0001", "ava"], "seed": pyarrow.array([7, None], pyarrow.int16()),
                           "with": [["ava"], []], "prompt": ["a", "b"]})
    pyarrow.parquet.write_table(table.replace_schema_metadata({"made": "by hand"}), path, compression="ZSTD")


def write(folder: Path, suffix: str) -> Path:
    path = folder / f"actors{suffix}"
    if suffix == ".parquet":
        parquet(path)
    elif suffix == ".json":
        first = '{"id": "0001", "seed": 7, "intensity": 0.5, "with": ["ava"]}'
        path.write_text(f'[\n {first},\n {{"id": "ava", "name": "É"}}\n]\n')
    else:
        path.write_text(CSV if suffix == ".csv" else YAML)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".json", ".yaml", ".parquet"])
def test_only_the_url_changes_and_the_file_before_is_kept(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, suffix)
    before, said = path.read_bytes(), cells(path)
    assert write_back(path, {"0001": URL}) is True
    said["0001"]["poster_frame_url"] = URL
    changed = {who: {"poster_frame_url": "", **row} for who, row in said.items()}
    assert cells(path) == changed
    assert path.with_name(f"{path.name}.bak").read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name, f"{path.name}.bak"], "nothing else is left"


@pytest.mark.parametrize("suffix", [".csv", ".json", ".yaml", ".parquet"])
def test_a_url_that_is_there_already_writes_nothing(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, suffix)
    write_back(path, {"0001": URL})
    backup, before = path.with_name(f"{path.name}.bak").read_bytes(), path.read_bytes()
    assert write_back(path, {"0001": URL}) is False
    assert (path.read_bytes(), path.with_name(f"{path.name}.bak").read_bytes()) == (before, backup)


def test_csv_keeps_columns_line_ends_delimiter_and_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffid;prompt\r\n0001;=a\r\nava;b, c\r\n".encode())
    write_back(path, {"ava": "file:///x"})
    expected = "\ufeffid;prompt;poster_frame_url\r\n0001;=a;\r\nava;b, c;file:///x\r\n"
    assert path.read_bytes().decode() == expected, "a manifest's own cells are not changed, not even formulas"


def test_yaml_keeps_every_comment_and_quote(tmp_path: Path) -> None:
    path = write(tmp_path, ".yaml")
    write_back(path, {"0001": "s3://b/1", "ava": "s3://b/2", "leo": "s3://b/3"})
    expected = YAML.replace("poster_frame_url: old", 'poster_frame_url: "s3://b/1"')
    expected = expected.replace("  id: 'ava'", "  poster_frame_url: \"s3://b/2\"\n  id: 'ava'")
    expected = expected.replace("{prompt: é, id", '{prompt: é, poster_frame_url: "s3://b/3", id')
    assert path.read_text() == expected


@pytest.mark.parametrize("text", ["- id: ava\n  poster_frame_url:\n", "- id: ava\n  poster_frame_url: ''\n  name: x\n",
                                  "- id: ava\n  poster_frame_url: |\n    old\n  name: x\n", "- {id: ava}\n",
                                  "- id: ava", "-\n    id: ava\n    with: [a, b]\n    poster_frame_url: ~"])
def test_yaml_in_any_layout_takes_the_url(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yml"
    path.write_text(text)
    write_back(path, {"ava": URL})
    assert cells(path)["ava"]["poster_frame_url"] == URL


def test_json_numbers_and_lists_keep_their_types(tmp_path: Path) -> None:
    path = write(tmp_path, ".json")
    write_back(path, {"ava": URL})
    assert json.loads(path.read_text()) == [
        {"id": "0001", "seed": 7, "intensity": 0.5, "with": ["ava"]},
        {"id": "ava", "name": "É", "poster_frame_url": URL}]
    assert "É" in path.read_text()


def test_parquet_keeps_types_compression_and_metadata(tmp_path: Path) -> None:
    import pyarrow.parquet

    path = write(tmp_path, ".parquet")
    before = pyarrow.parquet.read_table(path)
    write_back(path, {"ava": URL})
    after = pyarrow.parquet.read_table(path)
    assert after.drop_columns(["poster_frame_url"]).equals(before)
    assert after.schema.metadata == before.schema.metadata
    assert pyarrow.parquet.read_metadata(path).row_group(0).column(0).compression == "ZSTD"


def test_an_actor_without_a_row_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, ".csv")
    with pytest.raises(InputError, match="no row for leo"):
        write_back(path, {"ava": URL, "leo": URL})
    assert path.read_text() == CSV


def test_runs_that_write_back_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    ids = [f"a{n}" for n in range(12)]
    path.write_text("id,prompt\n" + "".join(f"{who},x\n" for who in ids))
    threads = [threading.Thread(target=write_back, args=(path, {who: f"s3://b/{who}"})) for who in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    urls = {who: row["poster_frame_url"] for who, row in cells(path).items()}
    assert urls == {who: f"s3://b/{who}" for who in ids}


def test_a_link_to_a_manifest_stays_a_link_and_permissions_stay(tmp_path: Path) -> None:
    real, link = write(tmp_path, ".csv"), tmp_path / "link.csv"
    real.chmod(0o640)
    link.symlink_to(real)
    write_back(link, {"ava": URL})
    assert link.is_symlink()
    assert cells(real)["ava"]["poster_frame_url"] == URL
    assert real.stat().st_mode & 0o777 == 0o640


def test_missing_and_broken_manifests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileMissing):
        write_back(tmp_path / "gone.csv", {"ava": URL})
    (tmp_path / "a.csv").write_text('id\n"ava')
    with pytest.raises(ManifestInvalid):
        write_back(tmp_path / "a.csv", {"ava": URL})


def made(**words: object) -> Production:
    return Production(**{"title": "T", "actor_id": "ava", "status": Status.MADE, **words})


def test_results_stand_beside_the_manifest_and_are_complete(tmp_path: Path) -> None:
    stage = StageRow(stage="mix", label="", fingerprint="ab" * 32, cached=True, seconds=0, made_by="")
    good = made(job_id="j1", duration=12.3, format="480x854@30", video="s3://b/final.mp4", stages=(stage,),
                posters={"ava": URL}, captions=("a.srt", "a.vtt"), made_at=datetime(2026, 1, 31, tzinfo=UTC))
    bad = made(actor_id="leo", status=Status.FAILED, error_code="lora.unreadable", error="leo: half a file")
    path = write_results(tmp_path / "actors.csv", [good, bad])
    assert path == tmp_path / "actors.results.csv"
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["id"], first["status"], first["duration"], first["video"], first["poster_frame_url"]) == (
        "ava", "made", "12.300", "s3://b/final.mp4", URL)
    assert (first["captions"], first["stages"], first["cached"], first["made_at"]) == (
        "a.srt;a.vtt", "1", "1", "2026-01-31T00:00:00+00:00")
    assert (second["id"], second["status"], second["error_code"], second["error"]) == (
        "leo", "failed", "lora.unreadable", "leo: half a file")


def test_a_result_says_what_stood_in(tmp_path: Path) -> None:
    fell = FellBack(stage="takes", label="take 0", asked="diffusers a, 1x1", made="diffusers b, 1x1", why="no memory")
    (_, row) = csv.reader(io.StringIO(results_csv([made(fallbacks=(fell,))]), newline=""))
    assert row[-2] == "takes take 0: made by diffusers b, 1x1 instead of diffusers a, 1x1, because no memory"


@pytest.mark.parametrize("lacking", [1, 2, 3])
def test_results_of_an_earlier_release_are_kept(tmp_path: Path, lacking: int) -> None:
    there = [line.rsplit(",", lacking)[0] for line in results_csv([made(actor_id="leo")]).splitlines()]
    (tmp_path / "actors.results.csv").write_text("\n".join(there) + "\n")
    path = write_results(tmp_path / "actors.csv", [made()], ["ava"])
    with path.open(newline="") as file:
        assert {row["id"]: row["fallbacks"] for row in csv.DictReader(file)} == {"leo": "", "ava": ""}


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_result_cell_is_a_formula(start: str) -> None:
    (_, row) = csv.reader(io.StringIO(results_csv([made(title=f"{start}cmd()")]), newline=""))
    assert row[1] == f"'{start}cmd()".replace("\r", "\n")


def test_a_manifest_that_was_written_back_reads_as_before(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,prompt,lora\nava,a,s3://bucket/ava\n")
    before = read_manifest(path).orders
    write_back(path, {"ava": URL})
    assert read_manifest(path).orders == before


def test_a_row_without_an_id_does_not_stop_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"prompt": "a"}, {"actor_id": "ava"}]')
    write_back(path, {"ava": URL})
    assert json.loads(path.read_text()) == [{"prompt": "a"}, {"actor_id": "ava", "poster_frame_url": URL}]


def test_results_that_would_meet_a_folder_are_refused_before_anything_is_spent(tmp_path: Path) -> None:
    path = write(tmp_path, ".csv")
    check_writable(path)
    (tmp_path / "actors.results.csv").mkdir()
    with pytest.raises(InputError, match=r"actors\.results\.csv .*folder"):
        check_writable(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to everything")
def test_results_that_may_not_be_written_are_refused_before_anything_is_spent(tmp_path: Path) -> None:
    path = write(tmp_path, ".csv")
    (tmp_path / "actors.results.csv").touch(0o444)
    with pytest.raises(InputError, match=r"actors\.results\.csv may not be written"):
        check_writable(path)


def statuses(path: Path) -> dict[str, tuple[str, str]]:
    with path.open(newline="") as file:
        return {row["id"]: (row["status"], row["error"]) for row in csv.DictReader(file)}


def test_a_run_of_some_actors_keeps_the_results_of_the_others(tmp_path: Path) -> None:
    manifest = tmp_path / "actors.csv"
    failed = {"status": Status.FAILED, "error": "=half, a\n\"file\""}
    write_results(manifest, [made(), made(actor_id="leo", **failed), made(actor_id="kai", **failed)])
    path = write_results(manifest, [made(actor_id="leo"), made(actor_id="new")], only=["leo", "new"])
    kept = ("failed", "'=half, a\n\"file\"")
    assert statuses(path) == {"ava": ("made", ""), "leo": ("made", ""), "kai": kept, "new": ("made", "")}
    assert list(statuses(path)) == ["ava", "leo", "kai", "new"]
    assert list(statuses(write_results(manifest, [made(actor_id="leo")]))) == ["leo"], "a whole run starts anew"


def test_the_first_run_of_some_actors_has_nothing_to_keep(tmp_path: Path) -> None:
    assert list(statuses(write_results(tmp_path / "actors.csv", [made()], only=["ava"]))) == ["ava"]


@pytest.mark.parametrize("data", [b"who,what\n1,2\n", b"\xff\xfe\x00", b'id\n"ava', b""])
def test_results_that_cannot_be_kept_are_refused_before_anything_is_spent(tmp_path: Path, data: bytes) -> None:
    path = write(tmp_path, ".csv")
    (tmp_path / "actors.results.csv").write_bytes(data)
    check_writable(path)
    with pytest.raises(InputError, match=r"actors\.results\.csv .*move it away"):
        check_writable(path, only=["ava"])


def test_runs_of_some_actors_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    manifest = tmp_path / "actors.csv"
    ids = [f"a{n}" for n in range(12)]
    threads = [
        threading.Thread(target=write_results, args=(manifest, [made(actor_id=who)], [who])) for who in ids
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses(tmp_path / "actors.results.csv")) == sorted(ids)
