"""`callsheet doctor` where RunPod is configured: image, endpoint, volume, cards and the way back to Prefect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from callsheet.doors import checks_runpod as checks
from callsheet.doors import doctor
from callsheet.doors.finding import ADDRESSES, Check, Finding, Level, Site
from callsheet.settings import Settings
from tests.doors.loopback import Answer, answering

KEY = "canary-4f1d9e"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for row in Settings.load().table():
        for name in (row.name, *row.also):
            monkeypatch.delenv(name, raising=False)


def site(address: str = "http://127.0.0.1:9", **settings: str) -> Site:
    return Site(Settings.load({"RUNPOD_API_KEY": KEY, **settings}), None, {}, dict.fromkeys(ADDRESSES, address))


def looked(name: str, at: Site) -> Finding:
    (check,) = (one for one in checks.CHECKS if one.name == name)
    (finding,) = doctor.examine(at, [check])
    return finding


def endpoint(most: int) -> dict[str, Any]:
    return {"id": "ep1", "name": "studio", "workers": {"min": 0, "max": most}}


def with_answers(name: str, *bodies: Any, **settings: str) -> Finding:
    with answering(*(Answer(200, json.dumps(body)) for body in bodies)) as server:
        return looked(name, site(server.url, **settings))


def worker(status: str) -> dict[str, Any]:
    return {"id": "w", "status": status, "isStale": False, "gpuCount": 1}


@pytest.mark.parametrize(("workers", "level", "words"), [
    ([], Level.OK, "none now"),
    ([worker("RUNNING"), worker("IDLE")], Level.OK, "1 idle, 1 running"),
    ([worker("UNHEALTHY"), worker("RUNNING")], Level.WARNING, "1 running, 1 unhealthy"),
    ([worker("THROTTLED")], Level.WARNING, "1 throttled"),
])
def test_an_endpoint_is_told_with_its_workers(workers: list[Any], level: Level, words: str) -> None:
    found = with_answers("runpod endpoint", endpoint(3), {"workers": workers, "summary": {}}, RUNPOD_ENDPOINT_ID="ep1")
    assert (found.level, found.found) == (level, f"studio has 3 workers at most; {words}")


@pytest.mark.parametrize(("place", "level"), [("endpoint", Level.PROBLEM), ("pool", Level.WARNING)])
def test_an_endpoint_that_sleeps_is_told_how_to_wake_it(place: str, level: Level) -> None:
    found = with_answers("runpod endpoint", endpoint(0), RUNPOD_ENDPOINT_ID="ep1", CALLSHEET_GPU=place)
    assert found.level is level
    assert "sleeps" in found.found
    assert found.remedy.startswith("run callsheet runpod up --yes")


def test_an_endpoint_that_is_not_there_is_told() -> None:
    with answering(Answer(404, "{}")) as server:
        found = looked("runpod endpoint", site(server.url, RUNPOD_ENDPOINT_ID="ep1", CALLSHEET_GPU="endpoint"))
    assert (found.level, found.found) == (Level.PROBLEM, "there is no endpoint ep1 in the account")


def test_no_endpoint_is_no_matter_where_none_is_used() -> None:
    assert looked("runpod endpoint", site(CALLSHEET_GPU="pool")).level is Level.OK
    assert looked("runpod endpoint", site(CALLSHEET_GPU="endpoint")).level is Level.PROBLEM


def volumes(size: int = 200) -> dict[str, Any]:
    return {"networkVolumes": [{"id": "vol", "name": "personaforge-studio-vol", "size": size, "dataCenter": "EU-RO-1"}]}


@pytest.mark.parametrize(("body", "setting", "level", "words"), [
    (volumes(), "vol", Level.OK, "personaforge-studio-vol, 200 GB in EU-RO-1"),
    (volumes(50), "vol", Level.WARNING, "all models need 200 GB"),
    (volumes(), "", Level.WARNING, "pods do not mount it"),
    (volumes(), "gone", Level.PROBLEM, "there is no volume gone in the account"),
    ({"networkVolumes": []}, "", Level.OK, "there is none, so each pod starts without models"),
])
def test_the_volume_is_told(body: Any, setting: str, level: Level, words: str) -> None:
    found = with_answers("runpod volume", body, CALLSHEET_RUNPOD_VOLUME=setting)
    assert found.level is level
    assert words in found.found


@pytest.mark.parametrize(("level_of_a40", "level"), [("LOW", Level.OK), ("NONE", Level.WARNING)])
def test_cards_that_are_free_now_are_told(level_of_a40: str, level: Level) -> None:
    offer = {"id": "NVIDIA A40", "name": "A40", "pool": "AMPERE_48", "availability": level_of_a40}
    found = with_answers("runpod cards", {"gpus": [offer]})
    assert found.level is level
    assert f"A40 {level_of_a40.lower()}, L40S none" in found.found


def test_the_image_and_where_results_go_are_told() -> None:
    assert looked("runpod image", site()).level is Level.PROBLEM, "the pool cannot work without an image"
    assert looked("runpod image", site(CALLSHEET_GPU="here")).level is Level.WARNING
    local = looked("runpod image", site(CALLSHEET_RUNPOD_IMAGE="studio/callsheet:1"))
    assert (local.level, "a pod cannot reach a folder of this machine" in local.found) == (Level.PROBLEM, True)
    whole = looked("runpod image", site(CALLSHEET_RUNPOD_IMAGE="studio/callsheet:1", CALLSHEET_STORE="s3://studio/x"))
    assert (whole.level, whole.found) == (
        Level.OK, "machines run studio/callsheet:1 and put results into s3://studio/x")


@pytest.mark.parametrize(("address", "level"), [
    ("https://prefect.studio.example/api", Level.OK), ("http://127.0.0.1:4200/api", Level.PROBLEM),
])
def test_an_address_that_no_pod_reaches_is_told(address: str, level: Level) -> None:
    assert looked("runpod and prefect", site(CALLSHEET_PREFECT_PUBLIC_URL=address)).level is level


def test_without_an_answer_it_is_a_warning_and_no_key_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callsheet.runpod.http.FIRST_PAUSE_S", 0.001)
    for name in ("runpod endpoint", "runpod volume", "runpod cards"):
        with answering(Answer(401, "", echo=True)) as server:
            found = looked(name, site(server.url, RUNPOD_ENDPOINT_ID="ep1"))
        assert found.level is Level.WARNING
        assert KEY not in found.found + found.remedy


def test_these_are_asked_only_with_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def examine(at: Site, made: tuple[Check, ...]) -> list[Finding]:
        asked.extend(check.name for check in made)
        return []

    monkeypatch.setattr(doctor, "examine", examine)
    doctor.preflight()
    assert not [name for name in asked if name.startswith("runpod ")]
    monkeypatch.setenv("RUNPOD_API_KEY", KEY)
    doctor.preflight()
    assert [name for name in asked if name.startswith("runpod ")] == [check.name for check in checks.CHECKS]
