"""The built wheel in an environment of its own, away from the checkout: it makes a film, and `up` comes up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from callsheet.doors.local.postgres import remove_database
from callsheet.media.probe import probe
from tests.support.house import up

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "PREFECT_", "CALLSHEET_"))}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=clean, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the locked dependencies and the wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check", "-q", "install")
    run(*pip, "--no-deps", "--require-hashes", "-r", ROOT / "requirements.lock", cwd=folder)
    run(*pip, "--no-deps", wheel, cwd=folder)
    return programs


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("away")
    yield folder
    remove_database(folder / ".callsheet")
    remove_database(folder / "home")


def test_the_wheel_bundles_the_project_and_no_top_level_but_its_own(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"callsheet"}
    for wanted in ("flows/produce.py", "tasks/stage.py", "deployments/apply.py", "prefect.yaml",
                   "manifests/examples/actors.csv"):
        assert f"callsheet/_project/{wanted}" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith((".results.csv", ".bak"))]


def test_an_installed_wheel_makes_a_film(installed: Path, away: Path) -> None:
    out = run(
        installed / "callsheet", "produce", "--auto", "--duration", "1.5", "--quality", "draft", "--json", cwd=away
    )
    [made] = json.loads(out)
    assert made["status"] == "made"
    film = next((away / ".callsheet" / "delivery" / "videos").glob("*/final.mp4"))
    assert probe(film).duration == pytest.approx(1.5, abs=1 / 24)


@pytest.mark.soak
def test_up_works_from_an_installed_wheel(installed: Path, away: Path) -> None:
    bundled = next((installed.parent / "lib").glob("python3*/site-packages/callsheet/_project"))
    with up(away, bundled / "manifests" / "examples" / "actors.csv", python=installed / "python") as house:
        names = {row["name"] for row in house.post("/deployments/filter", {})}
        assert {"studio", "nightly", "after-training", "cpu", "gpu"} <= names
