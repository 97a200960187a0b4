"""A home that cannot be used is told by its name and by the variable that sets it; `remove` empties it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from callsheet.doors.local import postgres
from callsheet.doors.local.home import usable
from callsheet.doors.local.postgres import data_folder, database, remove_database
from callsheet.doors.local.process import Child
from callsheet.doors.local.remove import main
from callsheet.doors.local.server import prefect_server
from callsheet.errors import ServerError

NOWHERE = "postgresql+asyncpg://me:pw@127.0.0.1:1/db"


@pytest.fixture
def impossible(tmp_path: Path) -> Path:
    """A folder that nobody can make, not even root: its parent is a file."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "home"


@pytest.mark.parametrize("one_shot", [True, False])
def test_a_server_in_an_impossible_home_names_it(one_shot: bool, impossible: Path) -> None:
    with pytest.raises(ServerError) as caught, prefect_server(impossible, NOWHERE, one_shot=one_shot):
        pytest.fail("it started")
    assert f"{impossible}" in str(caught.value)
    assert "Not a directory" in str(caught.value)
    assert "set CALLSHEET_HOME to another" in str(caught.value)


def test_a_database_in_an_impossible_folder_names_it(impossible: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "ROOT_BASE", impossible / "base")       # for root; others' lies in the home
    with pytest.raises(ServerError) as caught, database(impossible):
        pytest.fail("it started")
    assert str(impossible) in str(caught.value)
    assert "CALLSHEET_HOME" in str(caught.value)


def test_a_lock_that_may_not_be_opened_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "ROOT_BASE", tmp_path)
    base = data_folder(tmp_path / "home")
    real = Path.open

    def refusing(self: Path, *arguments: str) -> object:
        if self.name == "start.lock":
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *arguments)

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(ServerError) as caught, database(tmp_path / "home"):
        pytest.fail("it started")
    assert f"{base}/start.lock: Permission denied" in str(caught.value)
    assert f"make {base} a folder that this user may write to" in str(caught.value)


def test_a_log_that_cannot_be_written_names_its_folder(impossible: Path) -> None:
    with pytest.raises(ServerError, match=r"the cpu did not start .*Not a directory.*CALLSHEET_HOME"):
        Child("cpu", ["true"], {}, impossible / "logs" / "cpu.log")


def test_what_is_wrong_elsewhere_is_not_laid_at_the_homes_door(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), usable(tmp_path / "home", "it"):
        (tmp_path / "other" / "file").read_text()
    with pytest.raises(ProcessLookupError), usable(tmp_path / "home", "it"):
        os.kill(999_999_999, 0)


@pytest.mark.slow
def test_remove_takes_the_database_along_wherever_it_lies(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with database(home):
        assert data_folder(home).exists()
        done = subprocess.run([sys.executable, "-m", "callsheet.doors.local.remove", str(home)],
                              cwd=Path(__file__).parents[2], capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "it is in use" in done.stderr
    assert main([str(home)]) == 0
    assert not data_folder(home).exists()


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert main([str(tmp_path / "never")]) == 0
    remove_database(tmp_path / "never")


def test_make_clean_removes_the_database_as_well() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    recipe = makefile.split("\nclean:")[1]
    assert recipe.index("callsheet.doors.local.remove .callsheet") < recipe.index("rm -rf")
