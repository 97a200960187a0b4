"""What a batch leaves: the results manifest first, then its page, under names that every store takes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from callsheet.errors import InputError
from callsheet.production import Production, Status
from tasks.results import contact_sheet
from tasks.run import running
from tests.support.prefect_server import unconfigured

WAITS = Production(title="Ava", actor_id="ava", status=Status.WAITING, error="training has not finished")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    unconfigured(monkeypatch)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))


def text_at(url: str) -> str:
    return Path(unquote(urlsplit(url).path)).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["actors", ".hidden", "naïve list", "a\\b", "x" * 240])
def test_a_manifest_of_any_name_has_its_contact_sheet(name: str) -> None:
    with running("test"):
        url = contact_sheet(name, [WAITS])
    assert "training has not finished" in text_at(url)


def test_the_sheet_of_some_actors_leaves_that_of_the_whole_batch_alone() -> None:
    with running("test"):
        whole = contact_sheet("actors", [WAITS])
        part = contact_sheet("actors", [WAITS.model_copy(update={"error": "half"})], ["ava"])
    assert "training has not finished" in text_at(whole)
    assert "half" in text_at(part)
    assert part.endswith("/contact_sheets/actors-only.html"), part


MANIFEST = "id,prompt,status\nava,a street,training\nleo,a hill,training\n"


@pytest.mark.slow
def test_results_are_there_even_if_the_contact_sheet_cannot_be_delivered(
    prefect_here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.batch import batch

    (tmp_path / "naïve list.csv").write_text(MANIFEST)
    (tmp_path / "file").touch()
    monkeypatch.setenv("CALLSHEET_DELIVERY", str(tmp_path / "file"))
    with pytest.raises(Exception, match="file"):
        batch(str(tmp_path / "naïve list.csv"))
    results = (tmp_path / "naïve list.results.csv").read_text()
    assert "ava" in results and "leo" in results


@pytest.mark.slow
def test_a_batch_of_one_actor_keeps_the_results_of_the_others(prefect_here: str, tmp_path: Path) -> None:
    from flows.batch import batch

    (tmp_path / ".hidden.csv").write_text(MANIFEST)
    batch(str(tmp_path / ".hidden.csv"))
    assert [p.actor_id for p in batch(str(tmp_path / ".hidden.csv"), only=["leo"])] == ["leo"]
    results = (tmp_path / ".hidden.results.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in results] == ["id", "ava", "leo"]


@pytest.mark.slow
def test_a_batch_of_somebody_unknown_is_refused_with_who_there_is(prefect_here: str, tmp_path: Path) -> None:
    from flows.batch import batch

    (tmp_path / "actors.csv").write_text(MANIFEST)
    with pytest.raises(InputError, match="has no actor kai: choose of ava, leo"):
        batch(str(tmp_path / "actors.csv"), only=["kai"])
