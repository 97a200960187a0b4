"""Facts about files, as far as they tell them."""

from pathlib import Path

import pytest

from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.probe import probe
from tests.media.studio import picture


def film(folder, name, sound_seconds=1.0, late=0.0):
    """Three seconds of pictures, and a sound."""
    reel = folder / "reel.mp4"
    if not reel.exists():
        picture(reel, 3.0)
    sound = ("-itsoffset", str(late), "-f", "lavfi", "-i", f"sine=f=440:r=48000:d={sound_seconds}")
    run(Command(("-i", local_input(reel), *sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "pcm_s16le",
                 local_input(folder / name)), "make a film"))
    return folder / name


@pytest.mark.parametrize("late", [0.0, 1.5])
def test_a_sound_that_is_shorter_than_its_pictures_has_a_length_of_its_own(tmp_path, late):
    """Matroska has no length a stream; its tag says where the sound ends."""
    facts = probe(film(tmp_path, "a.mkv", 1.0, late))
    assert facts.audio_duration == pytest.approx(1.0, abs=0.01), facts
    assert facts.duration == pytest.approx(3.0, abs=0.05), facts


def test_a_sound_whose_length_is_not_told_has_none(tmp_path):
    """The length of the whole file is that of its pictures, and says nothing about the sound."""
    path = film(tmp_path, "a.mkv")
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"SOMETHNG"))
    assert probe(path).audio_duration == 0


def test_a_sound_by_itself_is_as_long_as_its_file(tmp_path):
    run(Command(("-f", "lavfi", "-i", "sine=d=1.5", "-c:a", "flac", local_input(tmp_path / "a.mka")), "make a sound"))
    path = tmp_path / "a.mka"
    path.write_bytes(path.read_bytes().replace(b"DURATION", b"SOMETHNG"))
    assert probe(path).audio_duration == pytest.approx(1.5, abs=0.05)


def test_a_name_with_a_colon_is_no_protocol(tmp_path, monkeypatch):
    picture(tmp_path / "reel.mp4", 0.5).rename(tmp_path / "a:b.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe(Path("a:b.mp4")).frames == 15
