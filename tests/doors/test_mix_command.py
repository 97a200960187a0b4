"""`callsheet mix`: what its options mean, what it prints, how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from callsheet.doors.mix import effect_at, voice_at
from callsheet.errors import InputError
from callsheet.media.sound import write_wav
from tests.media.studio import picture, tone


@pytest.mark.parametrize(("text", "path", "seconds", "volume"), [
    ("door.wav@4", "door.wav", 4.0, 1.0),
    ("door.wav@4.25:0.5", "door.wav", 4.25, 0.5),
    ("a@b:c@1.wav@.5:2", "a@b:c@1.wav", 0.5, 2.0),
    ("C:/x@2/door.wav@0", "C:/x@2/door.wav", 0.0, 1.0),
])
def test_a_path_may_hold_an_at_and_a_colon(text: str, path: str, seconds: float, volume: float) -> None:
    spot = effect_at(text)
    assert (str(spot.path), spot.seconds, spot.volume) == (path, seconds, volume)


@pytest.mark.parametrize("text", ["door.wav", "door.wav@", "door.wav@x", "door.wav@4:", "@4", "door.wav@-1", "d@4:9"])
def test_an_effect_without_a_place_or_with_a_wrong_one_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--sfx"):
        effect_at(text)


def test_a_voice_needs_no_moment_and_takes_no_volume() -> None:
    assert (voice_at("anna.wav").seconds, voice_at("anna.wav@1.5").seconds) == (0.0, 1.5)
    with pytest.raises(InputError, match="--voice"):
        voice_at("anna.wav@1.5:2")


def test_a_moment_before_the_film_is_refused_as_such() -> None:
    for refused in (voice_at, effect_at):
        with pytest.raises(InputError, match=r"anna\.wav@-2 is before the film: seconds start at 0"):
            refused("anna.wav@-2")


def test_nan_is_no_moment() -> None:
    for refused in (voice_at, effect_at):
        with pytest.raises(InputError, match=r"anna\.wav@nan: that is no number"):
            refused("anna.wav@nan")


def test_an_effect_whose_file_has_a_moment_in_its_name_is_told_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "x@2").write_bytes(b"x")
    with pytest.raises(InputError, match=r"x@2 is a file: write .*x@2@SECONDS"):
        effect_at(f"{tmp_path}/x@2")
    assert effect_at(f"{tmp_path}/x@2@3").path == tmp_path / "x@2"
    (tmp_path / "x").write_bytes(b"x")
    assert effect_at(f"{tmp_path}/x@2").path == tmp_path / "x", "the effect that is there is meant"


def test_a_file_that_is_called_so_is_meant(tmp_path: Path) -> None:
    (tmp_path / "take@3").write_bytes(b"x")
    assert voice_at(f"{tmp_path}/take@3").path == tmp_path / "take@3"


def callsheet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "callsheet.doors.cli", "mix", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120,
                          env={"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": "/usr/bin:/bin"})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    picture(folder / "film.mp4", 2.0)
    write_wav(folder / "voice.wav", tone(3000, 1.0, 0.2))
    write_wav(folder / "music.wav", tone(500, 1.0, 0.3))
    return folder


@pytest.mark.slow
def test_the_result_as_json_is_all_that_standard_output_holds(files: Path) -> None:
    done = callsheet(files, "film.mp4", "--voice", "voice.wav@0.5", "--music", "music.wav", "--duck-db", "-12",
                     "--platform", "podcast", "-o", "json.mp4", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and (files / "json.mp4").stat().st_size > 1000, done.stderr
    assert (told["output"], told["video"], told["ducked_db"], told["target_lufs"]) == ("json.mp4", "copied", -12, -16)
    assert abs(told["lufs"] + 16) <= 1 and told["speech_s"] == pytest.approx(1, abs=0.01) and told["seconds"] > 0


@pytest.mark.slow
def test_people_are_told_what_was_chosen_and_why(files: Path) -> None:
    done = callsheet(files, "film.mp4", "--voice", "voice.wav@1.5", "--music", "music.wav", "-o", "people.mp4")
    for words in ("people.mp4", "copied: they are H.264", "LUFS", "wanted -14 LUFS, youtube", "speech: 0.5 s",
                  "music -8 dB under it", "! voice 1 (voice.wav) is cut off 0.50 s before its end"):
        assert words in done.stderr, (words, done.stderr)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "words"), [
    (("gone.mp4", "--music", "music.wav", "-o", "x.mp4"), "gone.mp4 is not there (video)"),
    (("film.mp4", "--music", "music.wav", "-o", "x.mkv"), "x.mkv is no .mp4"),
    (("film.mp4", "--music", "music.wav", "-o", "film.mp4"), "film.mp4 exists"),
    (("film.mp4", "--sfx", "voice.wav@5", "-o", "x.mp4"), "starts at 5 s, but the video ends at 2.00 s"),
    (("film.mp4", "--music", "music.wav", "--lufs", "3", "-o", "x.mp4"), "--lufs"),
    (("film.mp4", "--music", "music.wav", "--duck-db", "nan", "-o", "x.mp4"), "--duck-db"),
])
def test_bad_input_is_one_line_a_remedy_and_exit_code_2(files: Path, arguments: tuple[str, ...], words: str) -> None:
    done = callsheet(files, *arguments)
    assert done.returncode == 2 and words in done.stderr and "→" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (files / "x.mp4").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_nothing_behind(files: Path, tmp_path: Path, number: int, code: int) -> None:
    picture(tmp_path / "long.mp4", 300, "32x32", "color")
    line = [sys.executable, "-m", "callsheet.doors.cli", "mix", "long.mp4", "--music", str(files / "music.wav"),
            "-o", "f.mp4"]
    process = subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(tmp_path.glob(".f-*/film.mp4")):
        time.sleep(0.02)
    process.send_signal(number)
    _, words = process.communicate()
    assert process.returncode == code and "cancelled; nothing was written" in words, words
    assert [path.name for path in tmp_path.iterdir()] == ["long.mp4"]
