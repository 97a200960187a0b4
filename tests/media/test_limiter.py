"""A gain and a limiter: what is reached, what is limited, and that it was known beforehand."""

import numpy as np
import pytest

from callsheet.media.limiter import WINDOW, Profiler, master, master_for
from callsheet.media.loudness import measure
from callsheet.media.sound import RATE, write_wav

CEILING = -1.5


def stereo(mono):
    return np.repeat(np.asarray(mono, np.float32)[:, None], 2, axis=1)


def tone(amplitude, seconds=3.0, hertz=1000.0, phase=0.0):
    t = np.arange(round(seconds * RATE)) / RATE
    return stereo(amplitude * np.sin(2 * np.pi * hertz * t + phase))


def bursts(seconds=6.0):
    """Quiet noise with loud bursts of 3 ms: needs limiting to be brought to any loudness."""
    rng = np.random.default_rng(7)
    mono = 0.02 * rng.standard_normal(round(seconds * RATE))
    for at in range(RATE // 4, len(mono) - 200, RATE // 2):
        mono[at:at + 144] = 0.9 * np.sin(2 * np.pi * 1500 * np.arange(144) / RATE)
    return stereo(mono)


def profile_of(samples, block=WINDOW * 250):
    profiler = Profiler()
    for start in range(0, len(samples), block):
        profiler.add(samples[start:start + block])
    return profiler.profile()


def brought_to(samples, target, ceiling=CEILING):
    """What comes out, and the loudness that was foretold; the sound's own is measured by ffmpeg."""
    def measured(sound, folder):
        write_wav(folder / "a.wav", sound)
        return measure(folder / "a.wav")

    def work(folder):
        profile = profile_of(samples)
        made, expected = master_for(profile, measured(samples, folder).lufs, target, ceiling)
        out = np.concatenate([made.apply(samples[a:a + 9600], a) for a in range(0, len(samples), 9600)])
        return out, expected, measured(out, folder), made

    return work


@pytest.mark.parametrize("amplitude", [0.002, 0.05, 0.9])
def test_any_level_comes_to_the_target(tmp_path, amplitude):
    _, expected, found, _ = brought_to(tone(amplitude), -14)(tmp_path)
    assert found.lufs == pytest.approx(-14, abs=0.15) and expected == pytest.approx(-14, abs=0.1), found


def test_peaks_are_limited_to_the_ceiling_and_the_target_is_reached(tmp_path):
    """6 dB of limiting, far more than a film wants, are foretold to 0.6 LU: noise and bursts weigh differently."""
    _, expected, found, made = brought_to(bursts(), -20)(tmp_path)
    assert made.reduced_db > 3, "there is something to limit"
    assert found.true_peak_dbtp <= CEILING + 0.05 and found.lufs == pytest.approx(-20, abs=0.6), found
    assert expected == pytest.approx(-20, abs=0.1), (expected, found)


def test_peaks_between_samples_are_limited_too(tmp_path):
    """Samples stay at -3 dBFS, the wave between them reaches 0."""
    samples = tone(1.0, hertz=RATE / 4, phase=np.pi / 4) * np.hanning(3 * RATE)[:, None].astype(np.float32)
    write_wav(tmp_path / "a.wav", master(profile_of(samples), 0, CEILING).apply(samples, 0))
    found = measure(tmp_path / "a.wav").true_peak_dbtp
    assert found == pytest.approx(CEILING, abs=0.1), found


@pytest.mark.parametrize("seed", range(3))
def test_no_peak_passes_the_ceiling_whatever_comes(tmp_path, seed):
    rng = np.random.default_rng(seed)
    loud = np.exp(rng.normal(0, 1.5, 80)).repeat(600)[:, None]
    spectrum = np.fft.rfft(rng.standard_normal((48000, 2)), axis=0)
    spectrum[16000:] = 0                               # as far up as an encoder goes
    samples = (np.fft.irfft(spectrum, axis=0) * 0.2 * loud).astype(np.float32)
    made = master(profile_of(samples), 6.0, CEILING)
    write_wav(tmp_path / "a.wav", made.apply(samples, 0))
    found = measure(tmp_path / "a.wav").true_peak_dbtp
    assert CEILING - 1 < found <= CEILING + 0.1, f"{found} dBTP, held down by {made.reduced_db:.1f} dB"


def test_what_has_room_is_only_made_louder():
    samples = tone(0.1)
    made = master(profile_of(samples), 6.0, CEILING)
    assert made.reduced_db == 0 and np.array_equal(made.apply(samples, 0), samples * np.float32(10 ** (6 / 20)))


def test_the_limiter_lets_go_within_a_tenth_of_a_second():
    samples = tone(0.1, seconds=2)
    samples[RATE:RATE + 480] = tone(0.9, seconds=0.01)
    edges = master(profile_of(samples), 0, -6).edges
    held = np.flatnonzero(edges < 1) * WINDOW / RATE
    assert held[0] > 0.98 and held[-1] < 1.12, (held[0], held[-1])


def test_the_gain_never_jumps():
    """1 dB in 2 ms at most: faster changes would be heard as clicks."""
    steps = np.diff(20 * np.log10(master(profile_of(bursts()), 12, CEILING).edges))
    assert np.abs(steps).max() <= 1.01, f"{np.abs(steps).max():.2f} dB"


def test_nothing_is_delayed_or_lengthened():
    samples = bursts()
    out = master(profile_of(samples), 6, CEILING).apply(samples, 0)
    lag = np.argmax(np.correlate(out[1000:9000, 0], samples[2000:7000, 0], "valid")) - 1000
    assert (len(out), lag) == (len(samples), 0)


def test_pieces_are_mastered_as_the_whole_is():
    samples = bursts(1.013)
    made = master(profile_of(samples), 12, CEILING)
    pieces = np.concatenate([made.apply(samples[a:a + 960], a) for a in range(0, len(samples), 960)])
    assert np.array_equal(pieces, made.apply(samples, 0))


@pytest.mark.parametrize("samples", [0, 1, 95, 96, 97, 48000])
def test_a_profile_is_the_same_however_the_sound_comes(samples):
    noise = np.random.default_rng(2).standard_normal((samples, 2)).astype(np.float32)
    small, large = profile_of(noise, WINDOW), profile_of(noise, WINDOW * 1000)
    assert len(small.peaks) == -(-samples // WINDOW)
    assert np.allclose(small.peaks, large.peaks, rtol=1e-5) and np.allclose(small.energies, large.energies, rtol=1e-5)


def test_a_peak_in_the_very_last_sample_is_seen():
    samples = np.zeros((WINDOW * 3, 2), np.float32)
    samples[-1] = 0.8
    assert profile_of(samples).peaks.max() == pytest.approx(0.8, abs=1e-3)


def test_silence_is_known_as_silence():
    assert profile_of(np.zeros((1000, 2), np.float32)).silent and profile_of(np.zeros((0, 2), np.float32)).silent


def test_sound_that_leaves_no_room_is_not_squashed_for_a_figure(tmp_path):
    clicks = np.zeros((4 * RATE, 2), np.float32)
    clicks[RATE // 4::RATE // 2] = 1
    _, expected, found, made = brought_to(clicks, -14)(tmp_path)
    assert expected < -17 and found.true_peak_dbtp <= CEILING + 0.1, (expected, found)
    assert made.gain_db <= -14 - measure_of(clicks, tmp_path) + 6.01


def measure_of(samples, folder):
    write_wav(folder / "b.wav", samples)
    return measure(folder / "b.wav").lufs
