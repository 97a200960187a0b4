"""Sound for a video from anywhere: what is copied, what is encoded, what is refused before anything is written."""

import hashlib

import av
import numpy as np
import pytest

from callsheet.errors import FileMissing, InputError, MediaUnreadable
from callsheet.keys import STEMS
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.probe import probe
from callsheet.media.remix import Spot, Wish, remix
from callsheet.media.sound import RATE, read_audio, write_wav
from tests.media.studio import between, level, picture, tone

SECONDS = 3.0
CAPTIONS = "1\n00:00:00,500 --> 00:00:02,000\n<i>Hello</i> you\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A silent H.264 video, one with sound, and sounds."""
    folder = tmp_path_factory.mktemp("files")
    picture(folder / "silent.mp4", SECONDS)
    write_wav(folder / "voice.wav", tone(3000, 1.0, 0.2))
    write_wav(folder / "music.wav", tone(500, 2.0, 0.3))
    (folder / "captions.srt").write_text(CAPTIONS)
    write_wav(folder / "own.wav", tone(1000, 1.0, 0.2))
    convert(folder / "silent.mp4", folder / "late.mp4", "-itsoffset", "1.2", "-i", local_input(folder / "own.wav"),
            "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac")
    return folder


def convert(source, out, *arguments):
    run(Command(("-i", local_input(source), *arguments, local_input(out)), "convert"))
    return out


def frames(path):
    with av.open(str(path)) as container:
        return [hashlib.sha256(bytes(packet)).hexdigest() for packet in container.demux(video=0) if packet.size]


def test_h264_is_copied_and_the_result_says_so(files, tmp_path):
    made = remix(files / "silent.mp4", Wish(voices=(Spot(files / "voice.wav", 0.5),)), tmp_path / "out.mp4")
    assert (made.facts["video"], made.facts["own_sound"], made.facts["warnings"]) == ("copied", "none", [])
    assert frames(made.path) == frames(files / "silent.mp4")
    assert made.facts["speech_s"] == pytest.approx(1, abs=0.01) and abs(made.facts["lufs"] + 14) < 1, made.facts
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(("name", "options", "video"), [
    ("a.ts", ("-c", "copy"), "copied"), ("a.flv", ("-c", "copy"), "copied"), ("a.mkv", ("-c", "copy"), "copied"),
    ("a.avi", ("-c:v", "mpeg4"), "encoded"), ("a.mkv", ("-c:v", "mpeg2video"), "encoded"),
])
def test_any_container_will_do(files, tmp_path, name, options, video):
    source = convert(files / "silent.mp4", tmp_path / name, *options)
    made = remix(source, Wish(music=files / "music.wav"), tmp_path / "out.mp4")
    facts = probe(made.path)
    assert (made.facts["video"], facts.video_codec, facts.frames) == (video, "h264", 90), made.facts["why"]
    assert (video == "copied") == ("H.264, which" in made.facts["why"])
    assert abs(facts.duration - SECONDS) < 0.05 and abs(facts.audio_duration - facts.duration) < 0.03, facts


def test_a_mov_is_one(files, tmp_path):
    made = remix(files / "silent.mp4", Wish(music=files / "music.wav"), tmp_path / "out.MOV")
    assert made.path.read_bytes()[4:12] == b"ftypqt  " and frames(made.path) == frames(files / "silent.mp4")


def test_kept_sound_stays_where_it_was_and_music_goes_down_under_it(files, tmp_path):
    wish = Wish(keep_sound=True, music=files / "music.wav")
    made = remix(files / "late.mp4", wish, tmp_path / "out.mp4")
    sound = read_audio(made.path)[:, 0].astype(np.float64)
    own, music = level(sound, 1000, 0.005), level(sound, 500)
    onset = np.flatnonzero(own > own.max() - 6)[0] / RATE
    change = np.median(between(music, 1.4, 2.1)) - np.median(between(music, 0.4, 1.1))
    assert abs(onset - 1.2) < 1 / 30 and made.facts["own_sound"] == "kept", onset
    assert change == pytest.approx(-8, abs=0.5), f"{change:.2f} dB"


def test_sound_that_is_replaced_is_gone(files, tmp_path):
    made = remix(files / "late.mp4", Wish(music=files / "music.wav"), tmp_path / "out.mp4")
    sound = read_audio(made.path)[:, 0].astype(np.float64)
    off = np.median(between(level(sound, 1000), 1.4, 2.1)) - np.median(between(level(sound, 500), 1.4, 2.1))
    assert made.facts["own_sound"] == "replaced" and off < -40, f"{off:.0f} dB"


def test_captions_go_along_and_lie_beside(files, tmp_path):
    made = remix(files / "silent.mp4", Wish(captions=files / "captions.srt"), tmp_path / "out.mp4")
    assert probe(made.path).subtitle_codecs == ("mov_text",) and made.facts["video"] == "copied"
    assert (tmp_path / "out.srt").read_text().strip().endswith("Hello you") and (tmp_path / "out.vtt").exists()


def test_burned_captions_are_in_the_pictures(files, tmp_path):
    dark = picture(tmp_path / "dark.mp4", SECONDS, "320x180", "color")
    made = remix(dark, Wish(captions=files / "captions.srt", burn=True), tmp_path / "out.mp4")
    with av.open(str(made.path)) as container:
        light = [int(frame.to_ndarray(format="gray").max()) for frame in container.decode(video=0)]
    shown = [n for n, level in enumerate(light) if level > 120]
    assert shown == list(range(15, 60)), f"from 0.5 s to 2 s at 30 a second, not {shown[:1]} to {shown[-1:]}"
    assert probe(made.path).subtitle_codecs == () and made.facts["why"] == "captions are drawn into the pictures"


def test_captions_that_are_their_own_sidecar_are_left_alone(files, tmp_path):
    given = tmp_path / "out.srt"
    given.write_text(CAPTIONS)
    made = remix(files / "silent.mp4", Wish(captions=given), tmp_path / "out.mp4", overwrite=True)
    assert given.read_text() == CAPTIONS and set(made.facts["files"]) == {"main", "vtt"}


def test_stems_go_into_their_folder(files, tmp_path):
    wish = Wish(voices=(Spot(files / "voice.wav"),), music=files / "music.wav", stems=tmp_path / "new" / "stems")
    made = remix(files / "silent.mp4", wish, tmp_path / "out.mp4")
    assert sorted(path.stem for path in wish.stems.iterdir()) == sorted(STEMS)
    assert set(made.facts["files"]) == {"main", *STEMS}


BAD = {
    "no_such_voice": ({"voices": (Spot("gone.wav"),)}, FileMissing, "gone.wav"),
    "effect_after_the_end": ({"effects": (Spot("voice.wav", 3.0),)}, InputError, r"starts at 3 s, but the video ends"),
    "voice_after_the_end": ({"voices": (Spot("voice.wav", 9.0),)}, InputError, r"starts at 9 s, but the video ends"),
    "nothing": ({}, InputError, "nothing to mix"),
    "burn_without_captions": ({"music": "music.wav", "burn": True}, InputError, "--burn has nothing to draw"),
    "no_sound_to_keep": ({"music": "music.wav", "keep_sound": True}, InputError, "has no sound to keep"),
    "no_captions_in_it": ({"captions": "voice.wav"}, InputError, "is no caption file"),
    "words_for_a_sound": ({"music": "captions.srt"}, MediaUnreadable, r"captions\.srt cannot be read as sound"),
}


def placed(folder, value):
    if isinstance(value, tuple):
        return tuple(Spot(folder / spot.path, spot.seconds) for spot in value)
    return folder / value if isinstance(value, str) else value


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(files, tmp_path, case):
    fields, error, message = BAD[case]
    wish = Wish(**{name: placed(files, value) for name, value in fields.items()})
    with pytest.raises(error, match=message):
        remix(files / "silent.mp4", wish, tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("video", "message"), [
    ("gone.mp4", r"gone\.mp4 is not there"), ("captions.srt", "cannot be read as a clip"),
    ("voice.wav", "it has no pictures"),
])
def test_what_is_no_video_is_refused(files, tmp_path, video, message):
    with pytest.raises(InputError, match=message):
        remix(files / video, Wish(music=files / "music.wav"), tmp_path / "out.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_still_is_no_video(files, tmp_path):
    still = convert(files / "silent.mp4", tmp_path / "a.png", "-frames:v", "1")
    with pytest.raises(InputError, match="is a still picture"):
        remix(still, Wish(music=files / "music.wav"), tmp_path / "out.mp4")


def test_sound_is_not_lost_by_mistake(files, tmp_path):
    with pytest.raises(InputError, match="would lose its sound"):
        remix(files / "late.mp4", Wish(captions=files / "captions.srt"), tmp_path / "out.mp4")


@pytest.mark.parametrize("name", ["out.mkv", "out", "nowhere/out.mp4"])
def test_an_output_that_cannot_be_is_refused(files, tmp_path, name):
    with pytest.raises(InputError, match=r"is no \.mp4|there is no folder"):
        remix(files / "silent.mp4", Wish(music=files / "music.wav"), tmp_path / name)


@pytest.mark.parametrize("taken", ["out.mp4", "out.srt", "stems/voice.wav"])
def test_nothing_is_overwritten_unless_it_was_asked_for(files, tmp_path, taken):
    (tmp_path / "stems").mkdir()
    (tmp_path / taken).write_text("precious")
    wish = Wish(music=files / "music.wav", captions=files / "captions.srt", stems=tmp_path / "stems")
    with pytest.raises(InputError, match=f"{taken} exists"):
        remix(files / "silent.mp4", wish, tmp_path / "out.mp4")
    assert (tmp_path / taken).read_text() == "precious"


def test_the_video_itself_can_be_replaced(files, tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes((files / "silent.mp4").read_bytes())
    remix(film, Wish(music=files / "music.wav"), film, overwrite=True)
    assert probe(film).has_audio and frames(film) == frames(files / "silent.mp4")


def test_nothing_is_left_when_it_is_cancelled(files, tmp_path):
    def cancel(share, what):
        if what == "encoding":
            assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remix(files / "silent.mp4", Wish(music=files / "music.wav"), tmp_path / "out.mp4", progress=cancel)
    assert list(tmp_path.iterdir()) == []
