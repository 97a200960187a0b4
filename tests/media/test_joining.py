"""The laws of joining any clips: the way that encodes least, right pictures at right times, sound in its place."""

from __future__ import annotations

import errno
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from callsheet.errors import ClipTooShort, FileMissing, InputError, MediaUnreadable
from callsheet.media.choosing import Wish
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.joining import Film, join
from callsheet.media.packets import inspect
from callsheet.media.probe import probe
from callsheet.media.sound import RATE
from callsheet.presets import Quality, TransitionKind
from callsheet.recipes import EncodeSettings
from tests.media.clips import (
    conform_clip,
    decode,
    decode_strictly,
    foreign,
    hashes,
    luma,
    make_clip,
    packet_times,
    read_code,
    with_tone,
)
from tests.media.seen import units_in

BROADCAST = Fraction(30000, 1001)
CROSSFADE = (TransitionKind.CROSSFADE,)


def film_of(folder: Path, *clips: Path, **wish: object) -> Film:
    return join(clips, Wish(**wish), folder / "film.mp4")                 # type: ignore[arg-type]


def ours(folder: Path, number: int, frames: int = 30, preset: str = "slow", head: int = 0, tail: int = 0) -> Path:
    raw = make_clip(folder / f"raw{number}.mp4", frames, 30, clip=number)
    encode = EncodeSettings(crf=20, preset=preset)
    return conform_clip(folder / f"ours{number}", raw, frames, 30, head=head, tail=tail, encode=encode).files["main"]


def strangers(folder: Path, *frames: int, options: tuple[str, ...] = foreign("veryfast", "-g", "6")) -> list[Path]:
    return [make_clip(folder / f"s{n}.mp4", count, 30, clip=n, options=options) for n, count in enumerate(frames)]


def codes(film: Film) -> list[tuple[int, int]]:
    return [read_code(luma(planes)) for planes in decode(film.path)]


def test_equal_strangers_that_meet_in_cuts_are_copied_bit_by_bit(tmp_path: Path) -> None:
    clips = strangers(tmp_path, 20, 13, 17)
    film = film_of(tmp_path, *clips)
    assert (film.facts["method"], film.facts["frames_encoded"], film.facts["frames_copied"]) == ("copy", 0, 50)
    assert hashes(film.path) == [digest for clip in clips for digest in hashes(clip)]
    assert packet_times(film.path)[0][0] == 0
    decode_strictly(film.path)


def test_a_copied_film_has_no_parameter_sets_but_those_of_its_header(tmp_path: Path) -> None:
    film = film_of(tmp_path, *strangers(tmp_path, 20, 13))
    assert not units_in(film.path) & {7, 8}, "parameter sets among the pictures"
    assert film.path.read_bytes().count(b"avcC") == 1


def test_strangers_with_parameter_sets_among_their_pictures_are_not_copied(tmp_path: Path) -> None:
    clips = strangers(tmp_path, 12, 12, options=foreign("veryfast", "-bsf:v", "dump_extra=freq=keyframe"))
    assert units_in(clips[0]) & {7, 8}, "the test clip is not what it should be"
    film = film_of(tmp_path, *clips)
    assert film.facts["method"] == "one_pass"
    assert "parameter sets among its pictures" in film.facts["reason"]
    assert not units_in(film.path) & {7, 8}


def test_strangers_of_different_settings_that_meet_in_cuts_are_encoded_once(tmp_path: Path) -> None:
    first, = strangers(tmp_path, 12)
    second = make_clip(tmp_path / "other.mp4", 9, 30, clip=1, options=foreign("ultrafast"))
    film = film_of(tmp_path, first, second)
    assert (film.facts["method"], film.facts["frames_encoded"]) == ("one_pass", 21)
    assert codes(film) == [*((0, n) for n in range(12)), *((1, n) for n in range(9))]


def test_one_pass_encodes_each_frame_once_and_fewer_than_conforming_first(tmp_path: Path) -> None:
    film = film_of(tmp_path, *strangers(tmp_path, 20, 24, 20), transitions=CROSSFADE, seconds=(0.2,))
    assert (film.facts["method"], film.facts["frames"], film.facts["frames_encoded"]) == ("one_pass", 52, 52)
    assert "takes 52 frames, conforming first would take 76" in film.facts["reason"]
    seen = codes(film)
    assert seen[:14] == [(0, n) for n in range(14)]
    assert seen[20:32] == [(1, n) for n in range(6, 18)]
    assert seen[38:] == [(2, n) for n in range(6, 20)]


def test_a_clip_may_follow_itself(tmp_path: Path) -> None:
    clip, = strangers(tmp_path, 12)
    film = film_of(tmp_path, clip, clip, clip, transitions=CROSSFADE, seconds=(0.1,))
    assert codes(film)[:9] + codes(film)[12:18] == [*((0, n) for n in range(9)), *((0, n) for n in range(3, 9))]


def test_a_pass_over_many_clips_is_joined_of_several_graphs(tmp_path: Path) -> None:
    clips = strangers(tmp_path, *[8] * 8)
    film = film_of(tmp_path, *clips, *clips[:5], transitions=CROSSFADE, seconds=(0.1,))
    assert (film.facts["method"], film.facts["frames"]) == ("one_pass", 13 * 8 - 12 * 3)
    assert inspect(film.path, Fraction(30), "the film").even
    decode_strictly(film.path)
    seen = codes(film)
    assert [seen[5 * n + 3 : 5 * n + 5] for n in range(13)] == [[(n % 8, 3), (n % 8, 4)] for n in range(13)]


@pytest.mark.parametrize("preset", ["ultrafast", "medium", "slow", "veryslow"])
def test_clips_of_any_of_our_presets_are_recognised_and_copied(tmp_path: Path, preset: str) -> None:
    clips = [ours(tmp_path, 0, 30, preset, tail=6), ours(tmp_path, 1, 30, preset, head=6)]
    film = film_of(tmp_path, *clips, transitions=CROSSFADE, seconds=(0.2,), quality=Quality.STANDARD)
    assert (film.facts["method"], film.facts["frames_encoded"], film.facts["frames_copied"]) == ("smart", 6, 48)
    assert f"preset {preset}" in film.facts["reason"]
    got = hashes(film.path)
    assert got[:24] == hashes(clips[0])[:24] and got[30:] == hashes(clips[1])[6:]


def test_without_a_key_frame_at_its_window_a_clip_is_encoded_up_to_the_nearest(tmp_path: Path) -> None:
    clips = [ours(tmp_path, 0, 30, tail=10), ours(tmp_path, 1, 30, head=12)]
    film = film_of(tmp_path, *clips, transitions=CROSSFADE, seconds=(0.2,))
    assert (film.facts["method"], film.facts["frames_encoded"], film.facts["frames_copied"]) == ("smart", 16, 38)
    got = hashes(film.path)
    assert got[:20] == hashes(clips[0])[:20] and got[36:] == hashes(clips[1])[12:]
    assert codes(film)[20:24] == [(0, n) for n in range(20, 24)]


def test_clips_of_ours_and_a_stranger_are_joined_with_ours_copied(tmp_path: Path) -> None:
    stranger, = strangers(tmp_path, 15)
    film = film_of(tmp_path, ours(tmp_path, 3, 20), stranger, ours(tmp_path, 4, 20))
    assert (film.facts["method"], film.facts["frames_encoded"], film.facts["frames_copied"]) == ("smart", 15, 40)
    assert [clip["treatment"] for clip in film.facts["clips"]] == ["copied", "encoded", "copied"]


@pytest.mark.slow
def test_what_does_not_fit_is_conformed_and_the_rest_passes_untouched(tmp_path: Path) -> None:
    first = ours(tmp_path, 0, 30, "medium", tail=6)
    raw = ("-c:v", "ffv1", "-pix_fmt", "yuv422p10le")
    Image.new("RGB", (90, 160), (200, 30, 30)).save(tmp_path / "still.png")
    odd = [
        make_clip(tmp_path / "size.mp4", 30, 30, (320, 180), clip=1),
        make_clip(tmp_path / "rate.mp4", 24, 24, clip=2),
        make_clip(tmp_path / "depth.mkv", 30, 30, clip=3, options=raw),
        make_clip(tmp_path / "shape.mp4", 30, 30, (80, 90), clip=4, filters="setsar=2"),
        tmp_path / "still.png",
    ]
    film = film_of(tmp_path, first, *odd, transitions=CROSSFADE, seconds=(0.2,), still_seconds=1.0)
    facts = film.facts
    assert [clip["treatment"] for clip in facts["clips"]] == ["copied", *["conformed"] * 5]
    assert [clip["reason"] for clip in facts["clips"][1:]] == [
        "is 320x180", "has 24 frames a second", "is yuv422p10le", "has pixels that are not square",
        "is a still picture",
    ]
    assert (facts["frames"], facts["frames_conformed"], facts["frames_encoded"]) == (150, 150, 180)
    assert hashes(film.path)[:24] == hashes(first)[:24]
    assert [code for code, _ in codes(film)[12:120:24]] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("rates", "fps"), [
    ((24, 30), 30), ((25, 24), 25), ((30, BROADCAST), 30), ((BROADCAST,), BROADCAST),
])
def test_the_rate_is_the_highest_of_the_clips(tmp_path: Path, rates: tuple[Fraction, ...], fps: Fraction) -> None:
    clips = [make_clip(tmp_path / f"{n}.mp4", 6, rate, options=foreign()) for n, rate in enumerate(rates)]
    assert Fraction(film_of(tmp_path, *clips).facts["fps"]) == fps


def test_the_size_is_the_first_clip_s_upright_and_with_square_pixels(tmp_path: Path) -> None:
    narrow = make_clip(tmp_path / "a.mp4", 4, 30, (80, 90), filters="setsar=2", options=foreign())
    other = make_clip(tmp_path / "b.mp4", 4, 30, (320, 180), options=foreign())
    facts = film_of(tmp_path, narrow, other).facts
    assert (facts["width"], facts["height"]) == (160, 90)


def test_equal_clips_whose_pixels_are_not_square_are_still_copied(tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / f"{n}.mp4", 5, 30, (80, 90), n, foreign(), "setsar=2") for n in range(2)]
    film = film_of(tmp_path, *clips)
    assert film.facts["method"] == "copy"
    with av.open(str(film.path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == 2


def test_frames_that_an_edit_list_hides_are_not_shown(tmp_path: Path) -> None:
    whole, = strangers(tmp_path, 40)
    cut = with_tone(whole, tmp_path / "cut.mp4", 440, ("-ss", "0.5"))     # between key frames
    film = film_of(tmp_path, cut, whole)
    assert film.facts["clips"][0]["treatment"] == "conformed", film.facts
    assert codes(film)[0] == (0, 15), "the film begins with a hidden frame"


def test_a_matrix_that_is_not_bt709_is_converted_in_the_pass(tmp_path: Path) -> None:
    clips = []
    for n, matrix in enumerate(("smpte170m", "bt709")):
        tags = f"setparams=range=tv:color_primaries={matrix}:color_trc={matrix}:colorspace={matrix}"
        red = f"format=gbrp,lutrgb=r=200:g=30:b=30,scale=out_color_matrix={matrix}:out_range=tv"
        filters = f"{red},format=yuv420p,{tags}"
        clips.append(make_clip(tmp_path / f"{n}.mp4", 4, 30, clip=n, options=foreign(), filters=filters))
    film = film_of(tmp_path, *clips)
    assert film.facts["method"] == "one_pass"
    before, after = (int(luma(planes)[45, 80]) for planes in (decode(film.path)[1], decode(film.path)[6]))
    assert before == pytest.approx(after, abs=2), f"one red has luma {before}, the other {after}"


def heard(film: Path) -> np.ndarray:                                      # type: ignore[type-arg]
    with av.open(str(film)) as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(blocks, axis=1)


def level(sound: np.ndarray, at: float, hertz: int) -> float:             # type: ignore[type-arg]
    """Amplitude of a tone around a moment, in the left channel."""
    first = round(at * RATE) - 1200
    wave = np.exp(-2j * np.pi * hertz * np.arange(2400) / RATE)
    return float(abs(sound[0, first : first + 2400] @ wave) * 2 / 2400)


def test_each_clip_s_sound_is_at_its_place_and_cross_faded_with_the_pictures(tmp_path: Path) -> None:
    a, b = strangers(tmp_path, 60, 60)
    clips = with_tone(a, tmp_path / "a.mp4", 440), with_tone(b, tmp_path / "b.mp4", 1000)
    film = film_of(tmp_path, *clips, transitions=CROSSFADE, seconds=(0.4,))
    sound = heard(film.path)
    facts = probe(film.path)
    assert (facts.audio_codec, facts.sample_rate, facts.channels) == ("aac", RATE, 2)
    assert facts.audio_duration == pytest.approx(108 / 30, abs=1024 / RATE)
    for at, low, high in ((1.0, 0.125, 0), (1.8, 0.0884, 0.0884), (2.6, 0, 0.125)):
        found = level(sound, at, 440), level(sound, at, 1000)
        assert found == pytest.approx((low, high), abs=0.01), f"at {at} s: {found}"


def test_a_clip_without_sound_is_silent_between_two_that_have_one(tmp_path: Path) -> None:
    a, b, c = strangers(tmp_path, 30, 30, 30)
    film = film_of(tmp_path, with_tone(a, tmp_path / "a.mp4", 440), b, with_tone(c, tmp_path / "c.mp4", 440))
    sound = heard(film.path)
    found = [level(sound, at, 440) for at in (0.5, 1.5, 2.5)]
    assert found == pytest.approx([0.125, 0, 0.125], abs=0.005), found


def test_a_film_of_silent_clips_has_no_sound_track(tmp_path: Path) -> None:
    film = film_of(tmp_path, *strangers(tmp_path, 6, 6))
    assert not probe(film.path).has_audio and film.facts["sound"] is False


def apart(clip: Path, target: Path, picture_s: float, sound_s: float) -> Path:
    """The clip with its picture and its sound each begun so much later."""
    run(Command(
        ("-itsoffset", str(picture_s), "-i", local_input(clip), "-itsoffset", str(sound_s), "-i", local_input(clip),
         "-map", "0:v", "-map", "1:a", "-c", "copy", local_input(target)), what="move sound and picture apart",
    ))
    return target


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_sound_and_picture_stay_together_whichever_begins_later(tmp_path: Path, kind: str) -> None:
    a, b = strangers(tmp_path, 60, 60)
    tones = with_tone(a, tmp_path / "a.mp4", 440), with_tone(b, tmp_path / "b.mp4", 1000)
    late_sound = apart(tones[0], tmp_path / f"late.{kind}", 0.0, 1.0)
    late_picture = apart(tones[1], tmp_path / f"early.{kind}", 1.5, 0.0)  # its sound is over 0.5 s after it begins
    film = film_of(tmp_path, late_sound, late_picture)
    assert film.facts["frames"] == 120
    sound = heard(film.path)
    found = [level(sound, at, 440) for at in (0.5, 1.5)] + [level(sound, at, 1000) for at in (2.25, 3.0)]
    assert found == pytest.approx([0, 0.125, 0.125, 0], abs=0.01), found


def test_the_film_appears_whole_and_nothing_else_does(tmp_path: Path) -> None:
    clips = strangers(tmp_path, 8, 8)
    before = {path.name for path in tmp_path.iterdir()}
    film_of(tmp_path, *clips, transitions=CROSSFADE, seconds=(0.1,))
    assert {path.name for path in tmp_path.iterdir()} - before == {"film.mp4"}


def test_a_film_that_exists_is_replaced_only_when_told(tmp_path: Path) -> None:
    clips = strangers(tmp_path, 8, 8)
    (tmp_path / "film.mp4").write_text("precious")
    with pytest.raises(InputError, match=r"film\.mp4 exists: give another name, or --overwrite"):
        film_of(tmp_path, *clips)
    assert (tmp_path / "film.mp4").read_text() == "precious"
    join(clips, Wish(), tmp_path / "film.mp4", overwrite=True)
    assert probe(tmp_path / "film.mp4").frames == 16


def test_where_links_are_not_to_be_had_the_film_appears_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    clips = strangers(tmp_path, 8)
    monkeypatch.setattr(os, "link", refuse)
    assert probe(film_of(tmp_path, *clips).path).frames == 8


def test_a_clip_too_short_for_its_transitions_is_named_with_what_would_fit(tmp_path: Path) -> None:
    with pytest.raises(ClipTooShort, match=(
        r"clip 2 \(s1\.mp4\) lasts 0\.300 s but needs 0\.400 s for its transitions: .*--seconds 0\.150"
    )):
        film_of(tmp_path, *strangers(tmp_path, 20, 9, 20), transitions=CROSSFADE, seconds=(0.2,))
    assert not (tmp_path / "film.mp4").exists()


def test_the_seconds_that_an_error_advises_do_fit(tmp_path: Path) -> None:
    clips = strangers(tmp_path, 20, 9, 20)
    with pytest.raises(ClipTooShort) as refused:
        film_of(tmp_path, *clips, transitions=CROSSFADE, seconds=(0.2,))
    film_of(tmp_path, *clips, transitions=CROSSFADE, seconds=(float(refused.value.facts["most"]),))


def test_a_file_that_was_cut_off_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    whole, = strangers(tmp_path, 60)
    raw = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(MediaUnreadable, match=r"clip 2 \(cut\.mp4\) cannot be read"):
        film_of(tmp_path, whole, tmp_path / "cut.mp4")


def test_a_cut_off_file_whose_index_comes_first_is_refused_too(tmp_path: Path) -> None:
    whole, = strangers(tmp_path, 60, options=foreign("veryfast", "-movflags", "+faststart"))
    raw = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(raw[: len(raw) * 2 // 3])
    with pytest.raises(MediaUnreadable, match=r"clip 1 \(cut\.mp4\) cannot be read .*ends after \d+ of 60 frames"):
        film_of(tmp_path, tmp_path / "cut.mp4")


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    clip, = strangers(tmp_path, 8)
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaUnreadable, match=r"clip 1 \(list\.mp4\) cannot be read"):
        film_of(tmp_path, tmp_path / "list.mp4")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"gone\.mp4 is not there \(clip 1 \(gone\.mp4\)\): check the path"):
        film_of(tmp_path, tmp_path / "gone.mp4")


@pytest.mark.parametrize(("wish", "words"), [
    ({"transitions": CROSSFADE * 3}, "3 times --transition for 2 joints between 3 clips: give --transition once"),
    ({"transitions": CROSSFADE, "seconds": (0.1, 0.2, 0.3)}, "3 times --seconds for 2 joints"),
    ({"seconds": (0.5,)}, "a cut has no length"),
    ({"transitions": CROSSFADE, "seconds": (0.01,)}, r"0\.01 s are less than half a frame at 30"),
    ({"transitions": CROSSFADE, "seconds": (float("nan"),)}, "a transition cannot last nan s"),
    ({"transitions": CROSSFADE, "seconds": (-1.0,)}, "a transition cannot last -1 s"),
    ({"size": (161, 90)}, "a film cannot be 161x90"),
    ({"still_seconds": float("nan")}, "a picture cannot be shown for nan s"),
])
def test_a_wish_that_cannot_be_is_told_what_to_give(tmp_path: Path, wish: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        film_of(tmp_path, *strangers(tmp_path, 8, 8, 8), **wish)
    assert not (tmp_path / "film.mp4").exists()


def test_one_transition_a_joint_can_be_given(tmp_path: Path) -> None:
    clips = strangers(tmp_path, 12, 12, 12)
    kinds = (TransitionKind.CUT, TransitionKind.ZOOM)
    film = film_of(tmp_path, *clips, transitions=kinds, seconds=(0.5, 0.1))
    assert (film.facts["frames"], film.facts["windows"]) == (33, 1)
