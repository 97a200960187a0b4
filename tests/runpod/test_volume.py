"""The folders of a rented machine: models, personas and caches on the network volume, wherever it is mounted."""

from __future__ import annotations

from pathlib import Path

from callsheet.runpod.volume import VARIABLE, find, worker_environment


def test_a_volume_has_models_personas_and_caches(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    volume = find({}, places=[tmp_path / "nowhere", tmp_path / "disk"])
    assert volume is not None
    assert (volume.models, volume.personas, volume.cache) == tuple(
        tmp_path / "disk" / name for name in ("models", "personas", "cache"))


def test_the_volume_that_is_named_goes_before_the_usual_places(tmp_path: Path) -> None:
    for name in ("mine", "usual"):
        (tmp_path / name).mkdir()
    volume = find({VARIABLE: str(tmp_path / "mine")}, places=[tmp_path / "usual"])
    assert volume is not None and volume.models == tmp_path / "mine" / "models"


def test_without_a_volume_nothing_is_said(tmp_path: Path) -> None:
    assert find({}, places=[tmp_path / "nowhere"]) is None


def test_caches_of_libraries_lie_on_the_volume(tmp_path: Path) -> None:
    found = worker_environment({VARIABLE: str(tmp_path), "PATH": "/bin"})
    assert found["PATH"] == "/bin"
    caches = [value for name, value in found.items() if name.startswith(("HF_", "TORCH", "XDG_")) and name != "PATH"]
    assert caches and all(value.startswith(str(tmp_path / "cache")) for value in caches), found


def test_the_providers_keys_are_not_passed_on_and_work_stays_on_this_machine(tmp_path: Path) -> None:
    found = worker_environment({"RUNPOD_API_KEY": "secret", "RUNPOD_POD_ID": "p", VARIABLE: str(tmp_path)})
    assert "secret" not in found.values()
    assert found["CALLSHEET_GPU"] == "here"
