"""Files from outside are whole, readable and harmless, or refused before anything is made of them."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from callsheet.errors import MediaUnreadable
from callsheet.media.ffmpeg import Command, run
from callsheet.media.intake import intake
from callsheet.recipes import IntakeRecipe
from callsheet.store.base import Outcome, Room


def taken(path: Path, kind: str, tmp_path: Path) -> Outcome:
    room = Room(folder=tmp_path, open_ref=lambda ref: path, facts_of=lambda ref: {})
    return intake(IntakeRecipe(sha256="0" * 64, kind=kind), room, path)  # type: ignore[arg-type]


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes((8000 * np.sin(np.arange(32000) / 10)).astype("<i2").tobytes())
    return path


def made(tmp_path: Path, name: str, *arguments: str) -> Path:
    run(Command((*arguments, str(tmp_path / name)), "make a test file"))
    return tmp_path / name


def test_a_whole_sound_is_taken_as_it_is(sound: Path, tmp_path: Path) -> None:
    outcome = taken(sound, "audio", tmp_path)
    assert outcome.files["main"] == sound
    assert outcome.facts["duration"] == pytest.approx(2.0, abs=0.01)


def test_a_sound_that_is_shorter_than_it_says_is_refused(sound: Path, tmp_path: Path) -> None:
    data = sound.read_bytes()
    sound.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaUnreadable, match=r"tone\.wav cannot be read as audio"):
        taken(sound, "audio", tmp_path)


def test_a_cut_film_is_refused(tmp_path: Path) -> None:
    film = made(tmp_path, "film.mp4", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=10:d=4", "-c:v", "libx264",
                "-movflags", "+faststart")
    assert taken(film, "clip", tmp_path).facts["duration"] == pytest.approx(4.0, abs=0.11)
    film.write_bytes(film.read_bytes()[:-4000])
    with pytest.raises(MediaUnreadable, match=r"film\.mp4 cannot be read as clip"):
        taken(film, "clip", tmp_path)


def test_a_film_without_sound_is_no_sound(tmp_path: Path) -> None:
    film = made(tmp_path, "film.mp4", "-f", "lavfi", "-i", "color=s=32x32:d=1", "-c:v", "libx264")
    with pytest.raises(MediaUnreadable, match="there is no audio in it"):
        taken(film, "audio", tmp_path)


def test_a_playlist_that_calls_itself_a_sound_reads_nobody_s_file(sound: Path, tmp_path: Path) -> None:
    trap = tmp_path / "song.mp3"
    trap.write_text(f"#EXTM3U\n#EXTINF:2,\n{sound}\n")
    with pytest.raises(MediaUnreadable):
        taken(trap, "audio", tmp_path)


def test_a_picture_is_written_anew_without_what_it_carried(tmp_path: Path) -> None:
    path = tmp_path / "face.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6                                  # turned by a quarter
    exif[0x010E] = "a secret"
    Image.new("RGB", (60, 40), "teal").save(path, exif=exif)
    outcome = taken(path, "picture", tmp_path)
    with Image.open(outcome.files["main"]) as picture:
        assert (picture.format, picture.size, dict(picture.getexif())) == ("PNG", (40, 60), {})
    assert (outcome.facts["width"], outcome.facts["height"]) == (40, 60)


def test_a_picture_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (20000, 20000)).save(path)
    with pytest.raises(MediaUnreadable, match=r"bomb\.png cannot be read as picture"):
        taken(path, "picture", tmp_path)


@pytest.mark.parametrize("kind", ["audio", "picture", "clip"])
def test_rubbish_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"\x00\x01rubbish" * 99)
    with pytest.raises(MediaUnreadable, match=rf"x\.bin cannot be read as ({kind}|media)"):
        taken(path, kind, tmp_path)


def test_a_picture_in_a_language_that_would_be_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "face.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n/x {showpage} def\n%%EOF\n")
    with pytest.raises(MediaUnreadable, match="cannot identify image file"):
        taken(path, "picture", tmp_path)


def test_a_picture_whose_words_about_itself_are_broken_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "face.jpg"
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    Image.new("RGB", (60, 40)).save(path, exif=exif)
    words = struct.pack(">HHI", 0x010E, 2, 6)
    path.write_bytes(path.read_bytes().replace(words, struct.pack(">HHI", 0x0100, 2, 6)))
    with pytest.raises(MediaUnreadable, match=r"face\.jpg cannot be read as picture"):
        taken(path, "picture", tmp_path)
