"""Loudness: what is measured, what is reached, what is limited."""

import numpy as np
import pytest

from callsheet.errors import MediaError
from callsheet.media.loudness import Loudness, bring_to, level_command, measure, parse_summary
from callsheet.media.sound import RATE, read_audio, write_wav


def wav(path, mono):
    write_wav(path, np.repeat(np.asarray(mono, np.float32)[:, None], 2, axis=1))
    return path


def tone(amplitude, seconds=3.0, hertz=1000.0, phase=0.0):
    t = np.arange(round(seconds * RATE)) / RATE
    return amplitude * np.sin(2 * np.pi * hertz * t + phase)


def bursts(seconds=6.0):
    """Noise with loud peaks: needs limiting to be brought to -14 LUFS."""
    rng = np.random.default_rng(7)
    noise = 0.02 * rng.standard_normal(round(seconds * RATE))
    noise[::RATE // 2] = 0.9
    return noise


def test_a_stereo_tone_measures_as_the_standard_says(tmp_path):
    """EBU Tech 3341, case 1: 1 kHz at -23 dBFS peak in both channels is -23 LUFS."""
    found = measure(wav(tmp_path / "a.wav", tone(10 ** (-23 / 20))))
    assert found.lufs == pytest.approx(-23, abs=0.1) and found.true_peak_dbtp == pytest.approx(-23, abs=0.1), found


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


@pytest.mark.parametrize("amplitude", [0.002, 0.05, 0.9])
def test_any_level_comes_to_the_target(tmp_path, amplitude):
    source = wav(tmp_path / "a.wav", tone(amplitude))
    found = bring_to(source, tmp_path / "b.wav", -14, -1.5, 3 * RATE)
    assert found.lufs == pytest.approx(-14, abs=0.3), found


def test_peaks_are_limited_to_the_ceiling(tmp_path):
    source = wav(tmp_path / "a.wav", bursts())
    found = bring_to(source, tmp_path / "b.wav", -20, -1.5, 6 * RATE)
    assert found.true_peak_dbtp <= -1.3 and found.lufs == pytest.approx(-20, abs=0.5), found


def test_what_is_too_quiet_keeps_its_level(tmp_path):
    source = wav(tmp_path / "a.wav", tone(10 ** (-75 / 20)))
    found = bring_to(source, tmp_path / "b.wav", -14, -1.5, 3 * RATE)
    assert found.true_peak_dbtp == pytest.approx(-75, abs=0.5), found


def test_silence_stays_silent_without_an_error(tmp_path):
    source = wav(tmp_path / "a.wav", np.zeros(RATE))
    assert bring_to(source, tmp_path / "b.wav", -14, -1.5, RATE) == Loudness(None, None)


def test_limiting_neither_delays_nor_lengthens(tmp_path):
    """alimiter alone is 5 ms late."""
    mono = np.random.default_rng(3).standard_normal(RATE) * 0.1
    source = wav(tmp_path / "a.wav", mono)
    bring_to(source, tmp_path / "b.wav", -14, -1.5, RATE)
    out = read_audio(tmp_path / "b.wav")[:, 0]
    lag = np.argmax(np.correlate(out[1000:9000], mono[2000:7000], "valid")) - 1000
    assert (len(out), lag) == (RATE, 0)


def test_the_limiter_works_at_four_times_the_rate(tmp_path):
    line = " ".join(level_command(tmp_path / "a", tmp_path / "b", 3.0, -1.5, 100).arguments)
    assert "aresample=192000,alimiter=limit=0.841395" in line and "latency=1" in line, line
