"""Trimming and files."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from callsheet.speech.wav import LEAD_S, LEVEL_DBFS, TAIL_S, levelled, read_wav, trim, write_wav
from tests.speech.listening import silences

RATE = 16000


def tone(before_s: float, seconds: float, after_s: float) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    wave_ = 8000 * np.cos(2 * np.pi * 1000 * np.arange(round(seconds * RATE)) / RATE)
    parts = (np.zeros(round(before_s * RATE)), wave_, np.zeros(round(after_s * RATE)))
    return np.concatenate(parts).astype(np.int16)


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.0), (0.01, 0.5), (1.0, 0.02), (0.5, 0.5)])
def test_any_line_gets_the_same_silence_on_both_sides(before: float, after: float) -> None:
    samples, shift = trim(tone(before, 0.2, after), RATE)
    lead, tail = silences(samples / 32768, RATE)
    assert (round(lead, 4), round(tail, 4)) == (LEAD_S, TAIL_S), f"{lead} s, {tail} s"
    assert shift == pytest.approx(LEAD_S - before, abs=1 / RATE)


def test_trimming_keeps_every_audible_sample_as_it_was() -> None:
    line = tone(0.3, 0.2, 0.3)
    samples, shift = trim(line, RATE)
    start = round((0.3 + shift) * RATE)
    assert np.array_equal(samples[start:start + 3200], line[4800:8000])


def test_noise_far_below_the_voice_does_not_count_as_sound() -> None:
    line = tone(0.5, 0.2, 0.5)
    line += np.where(np.arange(len(line)) % 2, 20, -20).astype(np.int16)
    assert len(trim(line, RATE)[0]) / RATE == pytest.approx(LEAD_S + 0.2 + TAIL_S, abs=0.001)


def test_the_loudest_negative_sample_is_heard() -> None:
    samples = np.zeros(1000, np.int16)
    samples[500] = -32768
    assert len(trim(samples, RATE)[0]) == round(LEAD_S * RATE) + 1 + round(TAIL_S * RATE)


@pytest.mark.parametrize("samples", [np.zeros(0, np.int16), np.zeros(900, np.int16), np.full(900, 15, np.int16)])
def test_silence_trims_to_nothing(samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> None:
    assert trim(samples, RATE)[0].size == 0


def test_a_file_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "line.wav", tone(0.1, 0.1, 0.1), RATE)
    samples, rate = read_wav(path)
    assert rate == RATE and np.array_equal(samples, tone(0.1, 0.1, 0.1)) and list(tmp_path.iterdir()) == [path]


def test_a_stereo_file_is_not_taken_for_a_line(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "two.wav"), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(bytes(8))
    with pytest.raises(wave.Error, match="not mono"):
        read_wav(tmp_path / "two.wav")


def test_a_quiet_and_a_loud_voice_come_out_at_one_level():
    time = np.arange(8000) / 8000
    wave = np.sin(2 * np.pi * 200 * time)

    def rms(peak):
        said = levelled(np.round(wave * peak).astype(np.int16)).astype(float) / 32768
        return 20 * np.log10(np.sqrt(np.mean(said[np.abs(said) >= 0.1 * np.abs(said).max()] ** 2)))

    assert rms(1500) == pytest.approx(LEVEL_DBFS, abs=0.1)
    assert rms(30000) == pytest.approx(LEVEL_DBFS, abs=0.1)


def test_levelling_never_clips():
    click = np.zeros(4000, np.int16)
    click[::400] = 32767
    assert np.abs(levelled(click).astype(int)).max() <= 0.951 * 32768
    assert not levelled(np.zeros(10, np.int16)).any()
