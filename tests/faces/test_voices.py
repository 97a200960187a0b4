"""When a mouth speaks, and what shape it has."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from callsheet.alignment import Alignment, Phone
from callsheet.faces.loudness import STEP_S, Sound, listen
from callsheet.faces.voices import Voice, Voices
from callsheet.recipes import PlacedVoice
from tests.support.clips import ref, room, write_voice


def voices(folder: Path, *lines: tuple[Path, float], phones: tuple[Phone, ...] = ()) -> Voices:
    """Lines of one speaker, all with the same phones."""
    known = {ref(f"voice {n}"): path for n, (path, _) in enumerate(lines)}
    aligned = None
    if phones:
        known[ref("phones")] = folder / "phones.json"
        known[ref("phones")].write_text(Alignment(words=(), phones=phones, method="aligned").model_dump_json())
        aligned = ref("phones")
    placed = [
        PlacedVoice(audio=ref(f"voice {n}"), speaker="ava", start=start, alignment=aligned)
        for n, (_, start) in enumerate(lines)
    ]
    return Voices.of(placed, room(folder / "room", known))


def phone(symbol: str, start: float, end: float) -> Phone:
    return Phone(symbol=symbol, start=start, end=end)


@pytest.fixture
def hum(tmp_path: Path) -> Path:
    return write_voice(tmp_path / "hum.wav", ((0.0, 2.0),), 2.0)


def test_phones_shape_the_mouth_however_even_the_sound_is(tmp_path: Path, hum: Path) -> None:
    phones = (phone("M", 0.2, 0.6), phone("AA", 0.6, 1.0), phone("UW", 1.0, 1.4), phone("IY", 1.4, 1.8))
    said = voices(tmp_path, (hum, 1.0), phones=phones)
    m, aa, uw, iy = (said.at(1.0 + at)["ava"].shape for at in (0.4, 0.8, 1.2, 1.6))
    assert m.opened == 0 < uw.opened < aa.opened
    assert uw.rounded > 0.9 and iy.spread > 0.8 and iy.rounded == 0


def test_nobody_speaks_in_a_pause_between_words(tmp_path: Path, hum: Path) -> None:
    phones = (phone("AA", 0.1, 0.5), phone("SIL", 0.5, 1.2), phone("AA", 1.2, 1.6))
    said = voices(tmp_path, (hum, 0.0), phones=phones)
    assert said.at(0.3)["ava"].speaking == 1 and "ava" not in said.at(0.85)


def test_a_mouth_gets_ready_before_it_speaks_and_does_not_jump(tmp_path: Path, hum: Path) -> None:
    said = voices(tmp_path, (hum, 0.0), phones=(phone("AA", 0.5, 1.5),))
    speaking = [said.at(at)["ava"].speaking if said.at(at) else 0.0 for at in np.arange(0.38, 0.56, 0.02)]
    assert speaking[0] == 0 and speaking[-1] == 1
    assert max(np.diff(speaking)) < 0.3, speaking


def test_a_stop_between_two_sounds_is_no_pause(tmp_path: Path) -> None:
    voice = write_voice(tmp_path / "apa.wav", ((0.2, 0.6), (0.68, 1.0)), 1.2)
    said = voices(tmp_path, (voice, 0.0))
    assert said.at(0.64)["ava"].speaking == 1 and said.at(0.64)["ava"].shape.opened < 0.1


def test_the_wider_of_two_lines_shows_where_one_speaker_overlaps_itself(tmp_path: Path, hum: Path) -> None:
    quiet = write_voice(tmp_path / "quiet.wav", ((0.0, 0.2),), 2.0)
    said = voices(tmp_path, (quiet, 0.0), (hum, 0.0))
    assert said.at(1.0)["ava"].shape.opened > 0.9


@pytest.mark.parametrize(("volume", "low", "high"), [(0.02, 0.5, 0.7), (0.25, 0.9, 1.05), (2.0, 1.1, 1.25)])
def test_force_follows_the_loudness_of_the_voice(tmp_path: Path, volume: float, low: float, high: float) -> None:
    force = listen(write_voice(tmp_path / "v.wav", ((0.0, 1.0),), 1.0, volume=volume)).at(0.5)[2]
    assert low < force < high, f"{force:.2f} at {volume}"


def test_a_moment_of_a_long_voice_is_found_without_going_through_all_of_it() -> None:
    values = np.random.default_rng(3).random((3, 4 * 3600 * 50))
    sound, steps = Sound(*values), np.arange(values.shape[1])
    places = [-0.7, -0.2, 0.0, 0.4, 1.0, 77.3, len(steps) - 1.5, len(steps) - 1.0, len(steps) - 0.4]
    for place in places:
        wanted = (np.interp(place, steps, values[0], left=0, right=0), np.interp(place, steps, values[1], left=0,
                  right=0), np.interp(place, steps, values[2]))
        assert sound.at((place + 0.5) * STEP_S) == pytest.approx(wanted, abs=1e-6), place
    begun = time.perf_counter()
    for n in range(2000):
        sound.at(n * 7.0)
    assert (took := time.perf_counter() - begun) < 1.0, f"{took:.1f} s for 2000 moments of 4 hours"


def test_who_speaks_in_a_long_voice_is_found_without_going_through_all_of_it() -> None:
    spoken = tuple((n * 0.5, n * 0.5 + 0.2) for n in range(28_800))
    voice = Voice("ava", 0.0, Sound(*np.zeros((3, 10))), (), spoken)
    begun = time.perf_counter()
    said = {n: voice.at(n * 3.05).speaking for n in range(1000)}
    assert (took := time.perf_counter() - begun) < 1.0, f"{took:.1f} s for 1000 moments of 4 hours"
    assert (said[0], voice.at(7.1).speaking, voice.at(7.35).speaking, voice.at(-9.0).speaking) == (1.0, 1.0, 0.0, 0.0)
