"""Voices are found at their place under music, and what is not there is not measured."""

from __future__ import annotations

import numpy as np
import pytest

from callsheet.media.drift import Line, Lost, Placed, drifting, heard, missing, seek, worst
from callsheet.media.hearing import COARSE_RATE, coarse
from callsheet.media.sound import read_audio
from tests.media import films

Sound = np.ndarray


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> list[Sound]:
    folder = tmp_path_factory.mktemp("drift")
    return [coarse(read_audio(films.speak(folder / str(n), text))) for n, text in enumerate(films.TEXTS)]


def film(voice: Sound, start: float, music_db: float | None, seconds: float = 8.0) -> Sound:
    """A voice at `start`, and music so much louder or quieter than it."""
    sound = np.zeros(round(seconds * COARSE_RATE), np.float32)
    if music_db is not None:
        bed = coarse(films.music(seconds))
        loud = np.sqrt(np.square(voice).mean()) * 10 ** (music_db / 20)
        sound += (bed / np.sqrt(np.square(bed).mean()) * loud).astype(np.float32)
    at = round(start * COARSE_RATE)
    sound[at:at + len(voice)] += voice
    return sound


def found(sound: Sound, voice: Sound, start: float) -> list[Placed]:
    return list(heard([list(seek(sound, voice, start))]))


@pytest.mark.parametrize("music_db", [None, -12, 0, 6])
@pytest.mark.parametrize("late", [0.0, 0.03, 0.15, -0.4, 1.2])
def test_a_voice_is_found_where_it_is_whatever_plays_under_it(
    voices: list[Sound], late: float, music_db: float | None
) -> None:
    pieces = list(found(film(voices[0], 3 + late, music_db), voices[0], 3.0))
    assert pieces, "nothing was measured"
    assert [piece.late for piece in pieces] == pytest.approx([late] * len(pieces), abs=0.002)


def test_music_alone_is_no_voice(voices: list[Sound]) -> None:
    silence = np.zeros_like(voices[0])
    assert [piece for piece in found(film(voices[0], 3, 0) - film(voices[0], 3, None), voices[0], 3.0)
            if abs(piece.late) > 0.04] == []
    assert list(found(film(silence, 3, None), voices[0], 3.0)) == []


def test_of_the_same_words_said_twice_the_nearer_ones_are_meant(voices: list[Sound]) -> None:
    word = voices[0][:round(0.6 * COARSE_RATE)]
    both = film(word, 3.0, None) + film(word, 4.0, None) * np.float32(1.1)
    assert worst(found(both, word, 3.0)) == pytest.approx(0, abs=0.002)
    assert worst(found(both, word, 4.1)) == pytest.approx(-0.1, abs=0.002)


def test_a_voice_that_is_too_short_or_too_quiet_is_not_measured(voices: list[Sound]) -> None:
    assert list(found(film(voices[0], 3, None), voices[0][:round(0.25 * COARSE_RATE)], 3.0)) == []
    assert list(found(film(voices[0], 3, None), voices[0] * np.float32(0.005), 3.0)) == []


def test_a_line_of_which_nothing_is_found_is_missing_and_one_that_is_found_is_not(voices: list[Sound]) -> None:
    there, wrong = film(voices[0], 3, 0), film(voices[1], 3, 0)
    assert list(missing([list(seek(there, voices[0], 3.0))])) == []
    span, = missing([list(seek(wrong, voices[0], 3.0))])
    assert span == pytest.approx((3.0, 3.0 + len(voices[0]) / COARSE_RATE), abs=0.01)


@pytest.mark.parametrize("late", [2.0, -2.5])
def test_a_line_that_is_heard_elsewhere_is_missing_where_it_was_placed(voices: list[Sound], late: float) -> None:
    assert len(list(missing([list(seek(film(voices[0], 3 + late, 0), voices[0], 3.0))]))) == 1


@pytest.mark.parametrize("music_db", [6, 12])
def test_what_is_under_loud_music_is_found_and_never_missing(voices: list[Sound], music_db: float) -> None:
    for voice in (*voices, voices[0][:round(0.5 * COARSE_RATE)]):
        assert list(missing([list(seek(film(voice, 3, music_db), voice, 3.0))])) == []


def test_a_line_is_missing_when_it_is_loud_enough_and_hardly_anything_of_it_is_there() -> None:
    nothing, covered = Lost(1, 2, gain=0.1, level=0.5), Lost(1, 2, gain=0.1, level=0.1)
    assert list(missing([[nothing]], gain=1.0)) == [(1, 2)]
    assert list(missing([[nothing, Placed(2, 3, 0.0)]], gain=1.0)) == [], "a part of it is heard"
    assert list(missing([[nothing, Placed(2, 3, 0.4, gain=0.2)]], gain=1.0)) == [(1, 3)], "that is found by chance"
    assert list(missing([[Lost(1, 2, gain=0.5, level=0.5)]], gain=1.0)) == [], "something like it is there"
    assert list(missing([[covered]], gain=1.0)) == [], "what else is heard is 20 dB louder: it cannot be known"
    assert list(missing([[covered]], gain=4.0)) == [(1, 2)], "the film has voices 12 dB louder than they are"
    assert list(missing([[Lost(1, 2, gain=0.1, level=0.5), covered]])) == [(1, 2)], "whatever that gain is"
    assert list(missing([[]], gain=1.0)) == []


def test_what_is_found_by_chance_is_not_heard() -> None:
    lines: list[Line] = [[Placed(1, 2, 0.0, gain=0.9), Placed(2, 3, -1.2, gain=0.05), Lost(3, 4, 0.05, 1.0)]]
    assert list(heard(lines, gain=1.0)) == list(heard(lines)) == [lines[0][0]]


def test_how_much_louder_the_film_has_a_voice_is_measured_under_music(voices: list[Sound]) -> None:
    twice = film(voices[0] * np.float32(2), 3, 0)
    assert [piece.gain for piece in found(twice, voices[0], 3.0)] == pytest.approx([2.0] * 2, rel=0.1)


def test_a_voice_that_begins_before_the_film_is_measured_from_where_it_is_heard(voices: list[Sound]) -> None:
    begun = film(voices[0], 1, None)[COARSE_RATE * 3 // 2:]
    assert worst(found(begun, voices[0], -0.5)) == pytest.approx(0, abs=0.002)


def test_sound_is_in_time_within_40_ms() -> None:
    assert drifting([]) is None
    assert drifting([Placed(1, 2, 0.039), Placed(3, 4, 0.0)]) is None
    assert drifting([Placed(1, 2, 0.0), Placed(3, 4, -0.05), Placed(5, 6, -0.09)]) == (3, 6)
    assert drifting([Placed(1, 2, 0.03), Placed(3, 4, 0.0), Placed(5, 6, -0.03)]) == (1, 6), "it runs away"
