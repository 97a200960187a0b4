"""Loudness and true peak as the standard has them."""

import numpy as np
import pytest

from callsheet.errors import MediaError
from callsheet.media.loudness import Loudness, measure, measure_command, measure_raw, parse_summary
from callsheet.media.sound import RATE, write_wav


def stereo(mono):
    return np.repeat(np.asarray(mono, np.float32)[:, None], 2, axis=1)


def wav(path, mono):
    write_wav(path, stereo(mono))
    return path


def tone(amplitude, seconds=3.0, hertz=1000.0, phase=0.0):
    t = np.arange(round(seconds * RATE)) / RATE
    return amplitude * np.sin(2 * np.pi * hertz * t + phase)


def test_a_stereo_tone_measures_as_the_standard_says(tmp_path):
    """EBU Tech 3341, case 1: 1 kHz at -23 dBFS peak in both channels is -23 LUFS."""
    found = measure(wav(tmp_path / "a.wav", tone(10 ** (-23 / 20))))
    assert found.lufs == pytest.approx(-23, abs=0.1) and found.true_peak_dbtp == pytest.approx(-23, abs=0.1), found


def test_bare_samples_measure_as_a_file_does(tmp_path):
    mono = np.random.default_rng(1).standard_normal(3 * RATE) * np.linspace(0.001, 0.2, 3 * RATE)
    stereo(mono).tofile(tmp_path / "a.f32")
    assert measure_raw(tmp_path / "a.f32") == measure(wav(tmp_path / "a.wav", mono)).lufs


@pytest.mark.parametrize("over_db", [9, 24])
def test_an_unlimited_mix_measures_right_however_loud_it_is(tmp_path, over_db):
    """ebur128's own scale ends at +10 LUFS."""
    mono = np.random.default_rng(1).standard_normal(3 * RATE) * np.linspace(0.05, 0.2, 3 * RATE)
    stereo(mono).tofile(tmp_path / "a.f32")
    stereo(mono * 10 ** (over_db / 20)).tofile(tmp_path / "b.f32")
    peak_db = 20 * np.log10(np.abs(mono).max()) + over_db
    found = measure_raw(tmp_path / "b.f32", peak_db) - measure_raw(tmp_path / "a.f32")
    assert found == pytest.approx(over_db, abs=0.1), f"{found:.2f} LU"


def test_nothing_is_not_taken_for_something_where_a_peak_stands_out(tmp_path):
    mono = np.zeros(3 * RATE)
    mono[RATE] = 0.001
    stereo(mono).tofile(tmp_path / "a.f32")
    assert measure_raw(tmp_path / "a.f32", 30.0) == -70


def test_peaks_between_samples_are_seen(tmp_path):
    """A quarter of the rate at 45 degrees: samples reach 0.707, the wave itself 1."""
    swelling = tone(0.5, hertz=RATE / 4, phase=np.pi / 4) * np.hanning(3 * RATE)
    found = measure(wav(tmp_path / "a.wav", swelling))
    assert found.true_peak_dbtp == pytest.approx(-6, abs=0.2), found


def test_silence_has_no_loudness(tmp_path):
    assert measure(wav(tmp_path / "a.wav", np.zeros(RATE))) == Loudness(None, None)


def test_a_missing_summary_is_an_error():
    with pytest.raises(MediaError, match="no summary"):
        parse_summary("size=N/A time=00:00:01", "a.wav")


def test_a_summary_without_a_peak_is_an_error():
    with pytest.raises(MediaError, match="no true peak"):
        parse_summary("Summary:\n  Integrated loudness:\n    I:         -23.0 LUFS\n", "a.wav")


def test_only_the_final_measure_looks_for_true_peaks(tmp_path):
    assert "ebur128=peak=true" in " ".join(measure_command(tmp_path / "a.mp4").arguments)
