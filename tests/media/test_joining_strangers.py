"""What strangers' clips carry beside their pictures is neither lost nor trusted: range, mirrors, edit lists, names."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from callsheet.errors import InputError, MediaUnreadable
from callsheet.media.choosing import Wish, choose
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.footage import look_at
from callsheet.media.joined_sound import Heard, joined
from callsheet.media.joining import Film, join
from callsheet.media.runs import Method
from callsheet.presets import Quality, TransitionKind
from callsheet.recipes import EncodeSettings, Join
from tests.media.clips import LIGHT, conform_clip, decode, foreign, hashes, luma, make_clip, read_code, with_tone

RAW = ("-c:v", "ffv1", "-pix_fmt", "yuv420p")
CROSSFADE = (TransitionKind.CROSSFADE,)


def film_of(folder: Path, *clips: Path, **wish: object) -> Film:
    return join(clips, Wish(**wish), folder / "film.mp4")                 # type: ignore[arg-type]


def stranger(folder: Path, number: int = 0, frames: int = 12, fps: Fraction | int = 30) -> Path:
    options = foreign("veryfast", "-g", "6")
    return make_clip(folder / f"s{number}.mp4", frames, fps, clip=number, options=options)


def ffmpeg(*arguments: str) -> None:
    run(Command(arguments, what="make a test clip"))


def test_a_clip_of_full_range_has_its_own_brightness_beside_others(tmp_path: Path) -> None:
    full = make_clip(tmp_path / "full.mkv", 6, 30, options=(*RAW, "-color_range", "pc"),
                     filters="scale=in_range=pc:out_range=pc,format=yuv420p,setparams=range=pc:colorspace=bt709")
    assert (look_at(full, "it").pixel_format, look_at(full, "it").full_range) == ("yuv420p", True)
    film = film_of(tmp_path, full, stranger(tmp_path, 1, 6))
    assert film.facts["method"] == "one_pass"
    light = luma(decode(film.path)[1])[15:30, 4:8].mean()                 # the first bar of frame 1
    assert light == pytest.approx(16 + LIGHT * 219 / 255, abs=2), f"{LIGHT} of full range became {light}"


@pytest.mark.parametrize("change", [{"full_range": True}, {"matrix": 5}, {"mirrored": True}], ids=str)
def test_clips_whose_containers_show_them_differently_share_no_track(tmp_path: Path, change: dict[str, object]) -> None:
    clip = look_at(stranger(tmp_path), "it")

    def method(*clips: object) -> Method:
        cut = Join(kind=TransitionKind.CUT, frames=0)
        return choose(clips, [12, 12], [cut], Wish(), (160, 90), Fraction(30)).method      # type: ignore[arg-type]

    assert method(clip, clip) is Method.COPY
    assert method(clip, replace(clip, **change)) is not Method.COPY                       # type: ignore[arg-type]


@pytest.mark.parametrize("fps", [12, 30])
@pytest.mark.parametrize("end", ["head", "tail"])
def test_a_clip_that_its_edit_list_trims_keeps_its_rate(tmp_path: Path, end: str, fps: int) -> None:
    whole, cut = make_clip(tmp_path / "whole.mp4", fps, fps, options=foreign()), tmp_path / "cut.mp4"
    if end == "head":
        ffmpeg("-ss", "0.5", "-i", local_input(whole), "-c", "copy", local_input(cut))
    else:
        raw = bytearray(whole.read_bytes())
        at = raw.index(b"elst") + 12                                      # after type, version and count
        raw[at : at + 4] = (int.from_bytes(raw[at : at + 4]) // 2).to_bytes(4)
        cut.write_bytes(raw)
    found = look_at(cut, "it")
    assert found.misfit((160, 90), Fraction(fps)) == "has frames that its edit list hides"
    assert (found.rate, float(found.seconds)) == (fps, pytest.approx(0.5, abs=0.01)), f"{found.frames} frames"


def test_a_colon_in_a_relative_path_names_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (stranger(tmp_path, 1)).rename("12:30.mp4")
    film = join([Path("12:30.mp4"), Path("12:30.mp4")], Wish(), Path("1:2.mp4"))
    assert (film.path, film.facts["clips"][0]["path"]) == (Path("1:2.mp4"), "12:30.mp4")
    assert len(decode(Path("1:2.mp4").absolute())) == 24


def test_high_dynamic_range_is_not_flattened_without_a_word(tmp_path: Path) -> None:
    tags = "setparams=color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc"
    bright = make_clip(tmp_path / "hlg.mkv", 4, 30, options=("-c:v", "ffv1", "-pix_fmt", "yuv420p10le"), filters=tags)
    film = film_of(tmp_path, stranger(tmp_path, 1, 4), bright)
    assert film.facts["warnings"] == [
        "clip 2 (hlg.mkv) is of high dynamic range (HLG): its colours are flattened, not tone-mapped"]


def test_a_mirrored_clip_is_shown_mirrored(tmp_path: Path) -> None:
    ffmpeg("-display_vflip:v:0", "-i", local_input(stranger(tmp_path)), "-c", "copy", local_input(tmp_path / "v.mp4"))
    film = film_of(tmp_path, tmp_path / "v.mp4", tmp_path / "v.mp4")
    assert {(clip["treatment"], clip["reason"]) for clip in film.facts["clips"]} == {("conformed", "is mirrored")}
    assert [read_code(luma(planes)[::-1])[1] for planes in decode(film.path)[:12]] == list(range(12))


def test_a_mirrored_clip_does_not_pass_through_conform(tmp_path: Path) -> None:
    made = conform_clip(tmp_path / "a", stranger(tmp_path), 12).files["main"]
    ffmpeg("-display_vflip:v:0", "-i", local_input(made), "-c", "copy", local_input(tmp_path / "v.mp4"))
    again = conform_clip(tmp_path / "b", tmp_path / "v.mp4", 12)
    assert again.facts["passed_through"] is False
    assert read_code(luma(decode(again.files["main"])[3])[::-1])[1] == 3


def test_hidden_colours_of_a_palette_stay_hidden(tmp_path: Path) -> None:
    picture = Image.new("P", (160, 90), 0)
    picture.putpalette([255, 255, 255] * 256)
    picture.save(tmp_path / "clear.png", transparency=bytes([0]))
    film = film_of(tmp_path, tmp_path / "clear.png", still_seconds=0.1)
    assert luma(decode(film.path)[0]).max() <= 18, "white shows that is transparent"


def ours(folder: Path, number: int, preset: str, frames: int = 30, **windows: int) -> Path:
    raw = make_clip(folder / f"raw{number}.mp4", frames, 30, clip=number)
    encode = EncodeSettings(crf=20, preset=preset)
    return conform_clip(folder / f"ours{number}", raw, frames, 30, encode=encode, **windows).files["main"]  # type: ignore[arg-type]


def test_a_faster_preset_than_asked_for_has_to_save_half_the_frames(tmp_path: Path) -> None:
    quick, other = ours(tmp_path, 0, "ultrafast", tail=6), make_clip(tmp_path / "o.mp4", 60, 30, options=foreign())
    film = film_of(tmp_path, quick, other, transitions=CROSSFADE, seconds=(0.2,), quality=Quality.STANDARD)
    assert (film.facts["frames_encoded"], film.facts["frames_copied"]) == (84, 0), film.facts["reason"]


def test_a_faster_preset_that_saves_half_the_frames_is_named(tmp_path: Path) -> None:
    clips = [ours(tmp_path, 0, "ultrafast", tail=6), ours(tmp_path, 1, "ultrafast", head=6)]
    film = film_of(tmp_path, *clips, transitions=CROSSFADE, seconds=(0.2,), quality=Quality.STANDARD)
    assert film.facts["reason"] == "encoded with preset ultrafast, not medium, so that 2 clips can be copied"


def test_six_channels_are_mixed_to_two_within_full_scale(tmp_path: Path) -> None:
    picture = stranger(tmp_path, 0, 30)
    every = "sine=300:d=1:r=48000,volume=7.9,pan=5.1|" + "|".join(f"c{n}=c0" for n in range(6))
    ffmpeg("-i", local_input(picture), "-f", "lavfi", "-i", every, "-map", "0:v", "-map", "1:a", "-c:v", "copy",
           "-c:a", "pcm_f32le", local_input(tmp_path / "six.mov"))
    sound = np.concatenate(list(joined([Heard(tmp_path / "six.mov", "it", 6, 0.0, 0, 48_000)])))
    assert 0.9 < np.abs(sound).max() <= 1.0, f"a peak of {np.abs(sound).max():.3f}"


@pytest.mark.parametrize(("fps", "words"), [(240, "240"), (Fraction(1, 2), "0.5")])
def test_even_frames_at_a_rate_that_no_film_has_are_not_called_uneven(
    tmp_path: Path, fps: Fraction | int, words: str
) -> None:
    found = look_at(stranger(tmp_path, 0, 4, fps), "it")
    assert found.misfit((160, 90), Fraction(30)) == f"has {words} frames a second, which no film can have"
    assert found.seconds == 4 / Fraction(fps)


def test_why_h264_in_matroska_is_encoded_is_told(tmp_path: Path) -> None:
    ffmpeg("-i", local_input(stranger(tmp_path)), "-c", "copy", local_input(tmp_path / "a.mkv"))
    film = film_of(tmp_path, tmp_path / "a.mkv")
    assert film.facts["reason"] == (
        "clip 1 to be encoded whole (is H.264 in another container: packets are copied from MP4 only)")


def test_the_formats_that_are_read_are_named(tmp_path: Path) -> None:
    ffmpeg("-i", local_input(stranger(tmp_path)), "-c", "copy", local_input(tmp_path / "a.avi"))
    with pytest.raises(MediaUnreadable, match="its format is not one of mp4, mov, mkv, webm, png, jpg, webp"):
        film_of(tmp_path, tmp_path / "a.avi")


def test_a_cover_is_no_moving_picture(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "cover.jpg")
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-i", local_input(tmp_path / "cover.jpg"), "-map", "0", "-map", "1",
           "-c:v", "mjpeg", "-disposition:v", "attached_pic", local_input(tmp_path / "song.mp3"))
    with pytest.raises(MediaUnreadable, match="it has no moving picture, only a cover"):
        film_of(tmp_path, tmp_path / "song.mp3")


def test_what_is_encoded_once_is_called_one_pass_though_it_was_conformed(tmp_path: Path) -> None:
    film = film_of(tmp_path, stranger(tmp_path), stranger(tmp_path, 1), size=(96, 64))
    assert (film.facts["method"], film.facts["frames_encoded"], film.facts["frames"]) == ("one_pass", 24, 24)


def test_a_picture_of_too_many_pixels_is_told_its_size(tmp_path: Path) -> None:
    Image.new("1", (8000, 8000)).save(tmp_path / "huge.png")
    with pytest.raises(MediaUnreadable, match="8000x8000 is more than 59 million pixels"):
        film_of(tmp_path, tmp_path / "huge.png")


def test_the_sound_is_joined_before_a_picture_is_encoded(tmp_path: Path) -> None:
    told: list[str] = []
    clip = with_tone(stranger(tmp_path), tmp_path / "tone.mp4", 440)
    join([clip, clip], Wish(size=(96, 64)), tmp_path / "film.mp4", progress=lambda _, what: told.append(what))
    assert told.index("joining the sound") < told.index("conformed 1 of 2 clips"), told


def test_a_name_that_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    strange = tmp_path / os.fsdecode(b"\xff.mp4")
    stranger(tmp_path).rename(strange)
    with pytest.raises(InputError, match=r"the name of clip 1 \(\\udcff\.mp4\) is not UTF-8: rename it"):
        film_of(tmp_path, strange)
    with pytest.raises(InputError, match="the name of the output is not UTF-8"):
        join([stranger(tmp_path)], Wish(), strange, overwrite=True)


def test_the_longest_name_is_written_and_a_longer_one_refused(tmp_path: Path) -> None:
    clip = stranger(tmp_path)
    assert hashes(join([clip], Wish(), tmp_path / f"{'n' * 251}.mp4").path) == hashes(clip)
    with pytest.raises(InputError, match="the name of the output is too long: give a shorter one"):
        join([clip], Wish(), tmp_path / f"{'n' * 252}.mp4")


def test_one_clip_alone_is_not_told_of_cuts(tmp_path: Path) -> None:
    assert film_of(tmp_path, stranger(tmp_path)).facts["reason"] == "it is one clip, and fits as it is"


def encoders() -> list[psutil.Process]:
    return [one for one in psutil.Process().children()
            if one.status() != psutil.STATUS_ZOMBIE and "conformed.mp4" in " ".join(one.cmdline())]


def test_an_interrupt_ends_all_encodes_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    clip = stranger(tmp_path, 0, 300)

    def interrupt() -> None:
        while not encoders():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)     # what runs in the background ignores it
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            film_of(tmp_path, clip, clip, clip, size=(1920, 1080), quality=Quality.CINEMATIC)
    finally:
        signal.signal(signal.SIGINT, before)
    assert encoders() == [] and [path.name for path in tmp_path.iterdir()] == ["s0.mp4"]
