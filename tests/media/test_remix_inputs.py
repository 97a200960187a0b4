"""What a video's own sound may be like, what may be written where, and which captions can be seen."""

from pathlib import Path

import numpy as np
import pytest

from callsheet.errors import InputError, MediaUnreadable
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.probe import probe
from callsheet.media.remix import Spot, Wish, remix
from callsheet.media.sound import RATE, read_audio, write_wav
from tests.media.studio import picture, tone
from tests.media.test_sound import with_gap

SECONDS = 3.0
NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that even root cannot write")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A video with a tone from 2 s on, silent ones, and sounds."""
    folder = tmp_path_factory.mktemp("files")
    picture(folder / "silent.mp4", SECONDS)
    write_wav(folder / "voice.wav", tone(3000, 1.0, 0.2))
    write_wav(folder / "own.wav", tone(1000, SECONDS, 0.2, [(2.0, SECONDS)]))
    with_sound(folder / "silent.mp4", folder / "own.wav", folder / "sound.mp4")
    return folder


def with_sound(video, sound, out, *options):
    run(Command(("-i", local_input(video), "-i", local_input(sound), "-map", "0:v", "-map", "1:a", "-c:v", "copy",
                 *(options or ("-c:a", "aac")), local_input(out)), "add a sound"))
    return out


def srt(path, *starts):
    """A caption of half a second at each of these seconds."""
    lines = (f"{n}\n00:00:{at:06.3f} --> 00:00:{at + 0.5:06.3f}\nline {n}\n".replace(".", ",")
             for n, at in enumerate(starts, 1))
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("name", ["gap.mp4", "gap.mkv", "gap.ts"])
def test_kept_sound_with_a_gap_stays_with_its_pictures(files, tmp_path, name):
    film = with_gap(files / "sound.mp4", tmp_path / name, 0.5, 1.2)
    made = remix(film, Wish(keep_sound=True), tmp_path / "out.mp4")
    sound = np.abs(read_audio(made.path)[:, 0])
    onset = np.flatnonzero(sound > sound.max() / 4)[0] / RATE
    assert onset == pytest.approx(2.0, abs=1 / 30), f"{onset:.3f} s"


@pytest.mark.parametrize("told", [True, False], ids=["length told", "length not told"])
def test_kept_sound_may_be_shorter_than_the_pictures_in_matroska(files, tmp_path, told):
    film = with_sound(files / "silent.mp4", files / "voice.wav", tmp_path / "a.mkv", "-c:a", "libopus")
    if not told:
        film.write_bytes(film.read_bytes().replace(b"DURATION", b"SOMETHNG"))
    made = remix(film, Wish(keep_sound=True), tmp_path / "out.mp4")
    assert made.facts["own_sound"] == "kept" and made.facts["speech_s"] == pytest.approx(1, abs=0.05)


def test_a_damaged_sound_is_told_under_the_name_of_the_video(files, tmp_path):
    film = with_sound(files / "silent.mp4", files / "own.wav", tmp_path / "holiday.avi", "-c:a", "flac")
    data = bytearray(film.read_bytes())
    at = len(data) // 2
    data[at:at + 20000] = bytes(20000)
    film.write_bytes(data)
    with pytest.raises(MediaUnreadable) as refused:
        remix(film, Wish(keep_sound=True), tmp_path / "out.mp4")
    assert "holiday.avi" in str(refused.value) and "streams." not in str(refused.value), refused.value


def test_colons_in_names_are_no_protocols(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, name in (("sound.mp4", "a:b.mp4"), ("voice.wav", "c:d.wav")):
        (tmp_path / name).write_bytes((files / given).read_bytes())
    srt(tmp_path / "e:f.srt", 0.5)
    voices, captions = (Spot(Path("c:d.wav")),), Path("e:f.srt")
    wish = Wish(voices=voices, keep_sound=True, captions=captions, burn=True, stems=Path("s:t"))
    remix(Path("a:b.mp4"), wish, Path("g:h.mp4"))
    assert probe(Path("g:h.mp4")).frames == 90 and (tmp_path / "s:t" / "voice.wav").exists()


@pytest.mark.parametrize("case", ["film", "sidecar", "stem", "link"])
def test_an_input_is_never_replaced_even_where_overwriting_is_allowed(files, tmp_path, case):
    name = {"film": "out.mp4", "sidecar": "out.vtt", "stem": "voice.wav", "link": "out.mp4"}[case]
    given = tmp_path / name
    given.write_bytes((files / "voice.wav").read_bytes())
    if case == "link":
        (tmp_path / "link.wav").symlink_to(given)
    wish = Wish(voices=(Spot(tmp_path / "link.wav" if case == "link" else given),), stems=tmp_path,
                captions=srt(tmp_path / "words.srt", 0.5))
    with pytest.raises(InputError, match=rf"{name} would replace the voice"):
        remix(files / "silent.mp4", wish, tmp_path / "out.mp4", overwrite=True)
    assert given.read_bytes() == (files / "voice.wav").read_bytes()


def test_captions_are_not_replaced_by_a_film_of_their_name(files, tmp_path):
    given = srt(tmp_path / "out.mp4", 0.5)
    given.write_text("WEBVTT\n\n00:00.500 --> 00:01.000\nhi\n")
    with pytest.raises(InputError, match=r"out\.mp4 would replace the captions"):
        remix(files / "silent.mp4", Wish(captions=given), given, overwrite=True)


@pytest.mark.parametrize("burn", [True, False])
def test_captions_that_all_come_after_the_end_are_refused_before_anything_is_encoded(files, tmp_path, burn):
    done = []
    wish = Wish(captions=srt(tmp_path / "words.srt", 3.0, 5.0), burn=burn)
    with pytest.raises(InputError, match=r"words\.srt: every caption starts after the end \(3\.00 s\)"):
        remix(files / "silent.mp4", wish, tmp_path / "out.mp4", progress=lambda share, what: done.append(what))
    assert done == [] and [path.name for path in tmp_path.iterdir()] == ["words.srt"]


@pytest.mark.parametrize(("starts", "words"), [
    ((0.5, 1.5, 7.0), "1 of 3 captions starts after the end (3.00 s): not shown"),
    ((0.5, 6.0, 7.0), "2 of 3 captions start after the end (3.00 s): not shown"),
])
def test_captions_after_the_end_are_a_warning(files, tmp_path, starts, words):
    made = remix(files / "silent.mp4", Wish(captions=srt(tmp_path / "words.srt", *starts)), tmp_path / "out.mp4")
    assert words in made.facts["warnings"] and made.facts["captions"] == sum(at < SECONDS for at in starts)


@pytest.mark.parametrize(("stems", "words"), [
    ("file/stems", "file/stems/voice.wav cannot be written"), ("file", "file/voice.wav cannot be written"),
    pytest.param("/proc/callsheet/stems", "nothing can be written in /proc", marks=NEEDS_PROC),
    ("x" * 300, "cannot be written"),
    ("dangling", "dangling is no folder"),
])
def test_a_folder_that_stems_cannot_be_in_is_refused_before_any_work(files, tmp_path, monkeypatch, stems, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("precious")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at all")
    done = []
    wish = Wish(voices=(Spot(files / "voice.wav"),), stems=Path(stems))
    with pytest.raises(InputError) as refused:
        remix(files / "silent.mp4", wish, Path("out.mp4"), progress=lambda share, what: done.append(what))
    assert words in str(refused.value) and done == [] and "callsheet-" not in str(refused.value), refused.value
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]


@pytest.mark.parametrize("output", [pytest.param("/proc/out.mp4", marks=NEEDS_PROC), "x" * 300 + ".mp4"])
def test_an_output_that_cannot_be_written_is_refused_under_its_own_name(files, output):
    with pytest.raises(InputError) as refused:
        remix(files / "silent.mp4", Wish(voices=(Spot(files / "voice.wav"),)), Path(output))
    assert "/proc" in str(refused.value) or "xxx.mp4 cannot be written" in str(refused.value), refused.value
    assert "/." not in str(refused.value), "no temporary name"


def test_what_was_published_before_another_was_refused_is_taken_back(files, tmp_path):
    def meddle(share, what):
        if what == "encoding" and not (tmp_path / "out.mp4").exists():
            (tmp_path / "out.mp4").write_text("somebody else's")

    wish = Wish(voices=(Spot(files / "voice.wav"),), stems=tmp_path / "stems")
    with pytest.raises(InputError, match="exists by now"):
        remix(files / "silent.mp4", wish, tmp_path / "out.mp4", progress=meddle)
    assert list((tmp_path / "stems").iterdir()) == [] and (tmp_path / "out.mp4").read_text() == "somebody else's"
