"""`callsheet splice` as a person or a program runs it: what is printed, exit codes, and refusals in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from callsheet.doors import cli
from callsheet.media.probe import probe
from tests.media.clips import foreign, make_clip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [make_clip(folder / f"{name}.mp4", 20, 30, clip=n, options=foreign()) for n, name in enumerate("ab")]


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


class CallSheet(Protocol):
    def __call__(self, *arguments: str | Path) -> Done: ...


@pytest.fixture
def callsheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CallSheet:
    """The command line, in this process, with tmp_path as the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["callsheet", "splice", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return Done(int(ended.value.code or 0), out, err)

    return run


def test_the_result_says_what_was_chosen_and_why(callsheet: CallSheet, clips: list[Path], tmp_path: Path) -> None:
    done = callsheet(*clips, "--transition", "crossfade", "--seconds", "0.2", "-o", "film.mp4")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert "film.mp4 1.133 s 160x90@30 no clip has sound" in said
    assert "one pass: 2 clips to be encoded whole" in said
    assert "34 frames in the film; 34 encoded; 1 transition" in said
    assert probe(tmp_path / "film.mp4").frames == 34


def test_programs_get_the_same_as_json(callsheet: CallSheet, clips: list[Path], tmp_path: Path) -> None:
    done = callsheet(*clips, "-o", "film.mp4", "--json")
    told = json.loads(done.stdout)
    assert (told["method"], told["frames"], told["frames_copied"], told["frames_encoded"]) == ("copy", 40, 40, 0)
    assert (told["width"], told["height"], told["fps"], told["windows"]) == (160, 90, "30", 0)
    assert told["elapsed_s"] > 0 and told["warnings"] == [] and "seconds" not in told
    assert [clip["treatment"] for clip in told["clips"]] == ["copied", "copied"]
    assert done.stderr == ""


def test_totals_add_up_and_equal_clips_have_one_row(callsheet: CallSheet, clips: list[Path], tmp_path: Path) -> None:
    done = callsheet(*clips * 3, "--size", "96x64", "-t", "crossfade", "-s", "0.1", "-o", "film.mp4")
    rows = done.stderr.splitlines()
    assert "105 frames in the film; 135 encoded: 120 conforming, 15 joining; 5 transitions" in rows, done.stderr
    assert f"  {clips[0]}, {clips[1]} (6 clips): conformed, it is 160x90" in rows, done.stderr
    assert sum("conformed, it" in row for row in rows) == 1, done.stderr


def test_size_rate_and_quality_can_be_asked_for(callsheet: CallSheet, clips: list[Path], tmp_path: Path) -> None:
    done = callsheet(*clips, "-o", "film.mp4", "--size", "96x64", "--fps", "29.97", "--quality", "draft",
                     "--json")
    told = json.loads(done.stdout)
    assert (told["width"], told["height"], told["fps"]) == (96, 64, "30000/1001")
    assert told["frames_conformed"] == told["frames"] == 40


def test_quiet_prints_the_film_alone(callsheet: CallSheet, clips: list[Path], tmp_path: Path) -> None:
    done = callsheet(clips[0], "-o", "film.mp4", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "film.mp4\n", "")


@pytest.mark.parametrize(("arguments", "words"), [
    (("a", "gone.mp4", "-o", "f.mp4"), "gone.mp4 is not there (clip 2 (gone.mp4)) → check the path"),
    (("a", "text.mp4", "-o", "f.mp4"), "clip 2 (text.mp4) cannot be read as a clip or picture"),
    (("a", "b", "-o", "f.mp4", "-t", "swirl"), "'swirl' is no transition → choose one of cut, fade, crossfade, wipe"),
    (("a", "b", "-o", "f.mp4", "-t", "fade", "-s", "1"),
     "clip 1 (a.mp4) lasts 0.667 s but needs 1.000 s for its transitions → use a longer clip, or transitions of"),
    (("a", "b", "-o", "f.mkv"), "f.mkv is no .mp4 → give --output a name that ends with .mp4"),
    (("a", "b", "-o", "there.mp4"), "there.mp4 exists → give another name, or --overwrite"),
    (("a", "b", "-o", "nowhere/f.mp4"), "there is no folder nowhere → make it, or write somewhere else"),
    (("a", "b", "-o", "f.mp4", "--size", "big"), "--size big is no size → write width x height, such as 1280x720"),
    (("a", "b", "-o", "f.mp4", "--fps", "0"), "--fps 0 is no rate → give 1 to 120, such as 29.97"),
    (("a", "b", "-o", "f.mp4", "--quality", "best"), "'best' is no quality"),
    (("-o", "f.mp4"), "CLIP"),
], ids=lambda value: value[-1] if isinstance(value, tuple) else "")
def test_what_cannot_be_done_is_refused_in_one_line_before_anything_is_written(
    callsheet: CallSheet, clips: list[Path], tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    (tmp_path / "text.mp4").write_text("no film at all")
    (tmp_path / "there.mp4").write_text("precious")
    before = sorted(path.name for path in tmp_path.iterdir())
    named = {"a": str(clips[0]), "b": str(clips[1])}
    done = callsheet(*(named.get(word, word) for word in arguments))
    assert done.returncode == 2, done.stderr
    assert words in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "there.mp4").read_text() == "precious"


def test_a_refusal_is_json_for_programs(callsheet: CallSheet, clips: list[Path], tmp_path: Path) -> None:
    done = callsheet(*clips, "-o", "film.mp4", "-t", "fade", "-s", "1", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "clip.too_short"


@pytest.mark.slow
def test_ctrl_c_ends_it_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    long = make_clip(tmp_path / "long.mp4", 900, 30, (640, 360), options=foreign("ultrafast"))
    line = [sys.executable, "-m", "callsheet.doors.cli", "splice", str(long), str(long), "-t", "fade", "-o", "film.mp4",
            "--quality", "cinematic"]
    process = subprocess.Popen(line, cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(tmp_path.glob(".callsheet-*/run_0000.mp4")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, words = process.communicate()
    assert process.returncode == 130 and "cancelled; nothing was written" in words, words
    assert [path.name for path in tmp_path.iterdir()] == ["long.mp4"]
