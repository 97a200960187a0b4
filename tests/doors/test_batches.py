"""`run` and `plan` over a manifest: what is looked at before a server starts."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from callsheet.doors import batches
from callsheet.doors.preview import show
from callsheet.engines.base import Ability
from callsheet.engines.choose import ENGINES
from callsheet.errors import InputError, ManifestInvalid, SettingInvalid
from callsheet.manifest import read_manifest

LORA = Path(__file__).resolve().parents[2] / "manifests" / "examples" / "loras" / "0001_european_20_female.safetensors"
ROWS = "id,prompt,engine,fit,seconds,dialogue\nava,a street,,,2,\nleo,a hill,{engine},{fit},1,{said}\n"


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))


def write(folder: Path, engine: str = "", fit: str = "", said: str = "", more: str = "") -> Path:
    path = folder / "actors.csv"
    path.write_text(ROWS.format(engine=engine, fit=fit, said=said) + more)
    for who in ("ava", "leo", "kai"):
        shutil.copy(LORA, folder / f"{who}.safetensors")
    return path


def start(manifest: Path, only: list[str]) -> None:
    batches.produce_all(manifest, None, [], False, only, Console(file=io.StringIO()), False)


@pytest.mark.parametrize("door", [start, batches.plan_all])
def test_unknown_engines_are_told_in_one_list_before_a_server_starts(
    door: Callable[[Path, list[str]], object], tmp_path: Path
) -> None:
    manifest = write(tmp_path, engine="placehodler", more="kai,a hall,midday,,2,\n")
    with pytest.raises(ManifestInvalid) as refused:
        door(manifest, [])
    assert [(p.file, p.where, p.value) for p in refused.value.problems] == [
        (str(manifest), "row 3, column engine", "placehodler"), (str(manifest), "row 4, column engine", "midday")]
    problem = refused.value.problems[0]
    assert problem.message == "cannot make pictures (there is no such engine)"
    assert problem.remedy == f"choose one of {', '.join(('auto', *ENGINES))}"
    assert not (tmp_path / "home").exists(), "nothing was started"


@pytest.mark.parametrize(("column", "word", "says"), [
    ("sampler_name", "eular", "no sampler 'eular'"), ("scheduler_name", "kerras", "no scheduler 'kerras'"),
    ("model", "flux9", "flux9"), ("clip_model", "wan9", "wan9"),
])
def test_a_model_or_sampler_that_the_engine_does_not_have_is_told_before_a_server_starts(
    column: str, word: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callsheet.engines.diffusers.engine.DiffusersEngine.able", lambda self: Ability(True))
    manifest = write(tmp_path)
    manifest.write_text(f"id,prompt,seconds,engine,{column}\nava,a street,2,diffusers,{word}\n")
    with pytest.raises(ManifestInvalid) as refused:
        start(manifest, [])
    problem = refused.value.problems[0]
    assert problem.where == "row 2, its models and sampler" and says in problem.message and problem.remedy
    assert not (tmp_path / "home").exists(), "nothing was started"


def test_a_word_in_the_setting_that_is_no_engine_is_told_as_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLSHEET_ENGINE", "difusers")
    with pytest.raises(SettingInvalid, match=r"CALLSHEET_ENGINE cannot be 'difusers'.*diffusers, comfyui"):
        start(write(tmp_path), [])


def test_the_engine_of_a_row_that_is_not_taken_stops_nobody(tmp_path: Path) -> None:
    plans, _ = batches.plan_all(write(tmp_path, engine="midday"), ["ava"])
    assert [plan.actor_id for plan in plans] == ["ava"]


def test_a_speech_engine_that_cannot_work_is_told_for_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callsheet.speech.espeak.Espeak.able", lambda self: "its library is missing")
    monkeypatch.delenv("ELEVENLABS_API_KEY", raising=False)
    with pytest.raises(ManifestInvalid) as refused:
        batches.plan_all(write(tmp_path), [])
    assert [(p.where, p.value, p.message) for p in refused.value.problems] == [
        (f"row {n}, its speech", "auto", "cannot make speech (its library is missing)") for n in (2, 3)]


def test_an_unknown_actor_is_told_who_there_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no actor kai: choose of ava, leo"):
        batches.plan_all(write(tmp_path), ["kai"])


def test_a_line_that_is_not_spoken_yet_stops_no_plan(tmp_path: Path) -> None:
    plans, _ = batches.plan_all(write(tmp_path, fit="error", said="one two three four five six seven"), [])
    ava, leo = plans
    assert (ava.exact, ava.troubles, leo.exact, leo.troubles) == (True, (), False, ())
    assert leo.seconds > 3, "the scene of one second is shown as long as the line is estimated"


def test_a_film_that_cannot_be_planned_is_shown_with_its_reason_and_the_others_are_planned(tmp_path: Path) -> None:
    manifest = write(tmp_path)
    book = read_manifest(manifest)
    (tmp_path / "leo.safetensors").unlink()
    made = batches.planned_each(book.taken(()))
    ava, leo = (plan for _, plan in made)
    assert ava.stages and not ava.troubles
    (why,) = leo.troubles
    assert why.startswith(f"{tmp_path / 'leo.safetensors'} is not there"), why
    out = io.StringIO()
    show(Console(file=out, width=400), [ava, leo], [])
    assert f"cannot be planned  {why}" in out.getvalue()
    assert json.loads(json.dumps(leo.as_json()))["troubles"] == [why]


def test_a_film_that_cannot_be_planned_has_no_bar(tmp_path: Path) -> None:
    book = read_manifest(write(tmp_path))
    (tmp_path / "leo.safetensors").unlink()
    assert list(batches.totals(book.taken(()))) == ["ava"]
