"""Voices are found at their place under music, and what is not there is not measured."""

from __future__ import annotations

import numpy as np
import pytest

from callsheet.media.drift import Placed, drifting, places, worst
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


@pytest.mark.parametrize("music_db", [None, -12, 0, 6])
@pytest.mark.parametrize("late", [0.0, 0.03, 0.15, -0.4, 1.2])
def test_a_voice_is_found_where_it_is_whatever_plays_under_it(
    voices: list[Sound], late: float, music_db: float | None
) -> None:
    found = list(places(film(voices[0], 3 + late, music_db), voices[0], 3.0))
    assert found, "nothing was measured"
    assert [piece.late for piece in found] == pytest.approx([late] * len(found), abs=0.002)


def test_music_alone_is_no_voice(voices: list[Sound]) -> None:
    silence = np.zeros_like(voices[0])
    assert [piece for piece in places(film(voices[0], 3, 0) - film(voices[0], 3, None), voices[0], 3.0)
            if abs(piece.late) > 0.04] == []
    assert list(places(film(silence, 3, None), voices[0], 3.0)) == []


def test_of_the_same_words_said_twice_the_nearer_ones_are_meant(voices: list[Sound]) -> None:
    word = voices[0][:round(0.6 * COARSE_RATE)]
    both = film(word, 3.0, None) + film(word, 4.0, None) * np.float32(1.1)
    assert worst(places(both, word, 3.0)) == pytest.approx(0, abs=0.002)
    assert worst(places(both, word, 4.1)) == pytest.approx(-0.1, abs=0.002)


def test_a_voice_that_is_too_short_or_too_quiet_is_not_measured(voices: list[Sound]) -> None:
    assert list(places(film(voices[0], 3, None), voices[0][:round(0.25 * COARSE_RATE)], 3.0)) == []
    assert list(places(film(voices[0], 3, None), voices[0] * np.float32(0.005), 3.0)) == []


def test_a_voice_that_begins_before_the_film_is_measured_from_where_it_is_heard(voices: list[Sound]) -> None:
    begun = film(voices[0], 1, None)[COARSE_RATE * 3 // 2:]
    assert worst(places(begun, voices[0], -0.5)) == pytest.approx(0, abs=0.002)


def test_sound_is_in_time_within_40_ms() -> None:
    assert drifting([]) is None
    assert drifting([Placed(1, 2, 0.039), Placed(3, 4, 0.0)]) is None
    assert drifting([Placed(1, 2, 0.0), Placed(3, 4, -0.05), Placed(5, 6, -0.09)]) == (3, 6)
    assert drifting([Placed(1, 2, 0.03), Placed(3, 4, 0.0), Placed(5, 6, -0.03)]) == (1, 6), "it runs away"
