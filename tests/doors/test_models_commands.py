"""`callsheet models`: the list, and fetching from a hub on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callsheet.doors import models_commands
from callsheet.errors import InputError
from callsheet.settings import Settings
from callsheet.weights import CATALOGUE, Weights
from callsheet.weights_hub import Hub
from tests.support.weights_server import REPO, WeightsServer, serving

TINY = Weights(name="tiny", what="for tests", licence="MIT", folder="diffusers/tiny", gb=0.001, repo=REPO,
               files=("*.json", "unet/*"))
OTHER = TINY.model_copy(update={"name": "other", "folder": "checkpoints", "files": ("config.json",)})


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    for row in Settings.load().table():
        for name in (row.name, *row.also):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CALLSHEET_VOLUME", raising=False)
    monkeypatch.setattr("callsheet.runpod.volume.PLACES", ())
    monkeypatch.setattr("callsheet.runpod.volume.find.__defaults__", ((),))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightsServer]:
    with serving() as state:
        state.files = {"config.json": b"{}", "unet/model.safetensors": b"x" * 5000}
        monkeypatch.setattr(models_commands, "hub_of", lambda settings: Hub(settings.hf_token, state.hub))
        monkeypatch.setattr(models_commands, "CATALOGUE", (TINY, OTHER))
        monkeypatch.setattr("callsheet.weights.CATALOGUE", (TINY, OTHER))
        yield state


def run(*arguments: str) -> str:
    done = CliRunner().invoke(models_commands.app, list(arguments))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_the_list_says_licence_size_and_folder_of_each_and_asks_nobody() -> None:
    rows = json.loads(run("list", "--json"))
    assert [row["name"] for row in rows] == [one.name for one in CATALOGUE]
    shown = run("list")
    for one in CATALOGUE:
        assert one.name in shown
        assert one.folder in shown
    assert "GB in all" in shown
    assert "accept its licence on the hub's page first" in shown


def test_nothing_is_fetched_unless_it_is_named(server: WeightsServer) -> None:
    with pytest.raises(InputError, match="name what to fetch, or --all"):
        run("download")
    with pytest.raises(InputError, match="names and --all say two things"):
        run("download", "tiny", "--all")
    with pytest.raises(InputError, match="no weights 'tinny': choose of tiny, other"):
        run("download", "tinny")
    assert server.seen == []


def test_what_is_named_is_fetched_into_the_home(server: WeightsServer, home: Path) -> None:
    assert "1 files fetched" in run("download", "other")
    assert (home / "home/models/checkpoints/config.json").read_bytes() == b"{}"
    assert not (home / "home/models/diffusers").exists()


def test_all_is_fetched_once(server: WeightsServer, home: Path) -> None:
    assert "3 files fetched, 0 were there already" in run("download", "--all", "--folder", "models")
    assert "0 files fetched, 3 were there already" in run("download", "--all", "--folder", "models")
    rows = json.loads(run("list", "--json", "--folder", "models"))
    assert [row["here"] for row in rows] == ["yes", "yes"]


def test_on_a_machine_with_a_volume_models_go_there(
    server: WeightsServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLSHEET_VOLUME", str(home / "volume"))
    run("download", "other")
    assert (home / "volume/models/checkpoints/config.json").is_file()


def test_the_token_comes_from_the_settings(server: WeightsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.gated = True
    monkeypatch.setenv("HF_TOKEN", "secret-token")
    assert "secret-token" not in run("download", "other")


def test_quiet_says_nothing(server: WeightsServer) -> None:
    assert run("download", "other", "--quiet") == ""
