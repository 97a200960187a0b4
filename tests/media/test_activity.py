"""Where somebody speaks: exact in a clean recording, right in a noisy one, and nothing where nobody does."""

import numpy as np
import pytest

from callsheet.media.activity import HOP, PAUSE_SECONDS, closed, speech_spans
from callsheet.media.sound import RATE, HeldSound

SECONDS = 6


def tone(*parts, level=0.3, hertz=300, seconds=SECONDS):
    """A gated tone: (start, end) in seconds."""
    t = np.arange(seconds * RATE) / RATE
    gate = np.zeros_like(t)
    for start, end in parts:
        gate[round(start * RATE):round(end * RATE)] = 1
    return level * gate * np.sin(2 * np.pi * hertz * t)


def speech(*parts, rms_db=-20.0, seconds=SECONDS):
    """Noise in syllables of 200 ms that swell and fade by 25 dB, in a voice's band."""
    t = np.arange(seconds * RATE) / RATE
    syllables = 10 ** (-25 / 20 * np.abs(np.sin(np.pi * 2.5 * t)))
    spectrum = np.fft.rfft(np.random.default_rng(3).standard_normal(len(t)))
    hertz = np.fft.rfftfreq(len(t), 1 / RATE)
    spectrum[(hertz < 150) | (hertz > 4000)] = 0
    mono = np.fft.irfft(spectrum, len(t)) * syllables * (tone(*parts, level=1, seconds=seconds) != 0)
    heard = mono[mono != 0]
    return mono * 10 ** (rms_db / 20) / np.sqrt(np.square(heard).mean())


def noise(rms_db, kind="white", seconds=SECONDS):
    """Steady background: white, or pink as rooms are."""
    spectrum = np.fft.rfft(np.random.default_rng(8).standard_normal(seconds * RATE))
    if kind == "pink":
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 20 * seconds))
    mono = np.fft.irfft(spectrum, seconds * RATE)
    return mono * 10 ** (rms_db / 20) / np.sqrt(np.square(mono).mean())


def spans(mono):
    """In seconds."""
    found = speech_spans(HeldSound(np.asarray(mono, np.float32)[:, None]))
    return [(start / RATE, end / RATE) for start, end in found]


@pytest.mark.parametrize("level", [0.9, 0.1, 0.003])
@pytest.mark.parametrize(("start", "end"), [(1.0, 2.5), (1.00123, 2.49871)])
def test_a_clean_voice_is_found_to_the_sample(level, start, end):
    (a, b), = spans(tone((start, end), level=level, hertz=1000))
    off = max(abs(a - start), abs(b - end)) * RATE
    assert off <= 2, f"{off:.1f} samples, of a tone that starts at 0"


@pytest.mark.parametrize("rms_db", [-60, -50, -32, -20, -8])
def test_a_voice_of_any_level_is_found(rms_db):
    found = spans(speech((1, 2.5), (4, 5), rms_db=rms_db))
    assert len(found) == 2 and np.abs(np.ravel(found) - (1, 2.5, 4, 5)).max() < 0.02, found


def test_a_clipped_voice_is_found():
    found = spans(np.clip(speech((1, 2.5), rms_db=-3), -0.5, 0.5))
    assert len(found) == 1 and np.abs(np.ravel(found) - (1, 2.5)).max() < 0.02, found


@pytest.mark.parametrize("kind", ["white", "pink"])
@pytest.mark.parametrize("below", [20, 30, 40])
@pytest.mark.parametrize("rms_db", [-32, -14])
def test_a_steady_noise_under_a_voice_is_not_speech(kind, below, rms_db):
    """Speech that starts and ends 20 dB below its own level is lost in noise for the first 70 ms."""
    found = spans(speech((1, 2.5), (4, 5), rms_db=rms_db) + noise(rms_db - below, kind))
    off = np.abs(np.ravel(found) - (1, 2.5, 4, 5)).max() if len(found) == 2 else None
    assert off is not None and off < (0.1 if below == 20 else 0.05), found


def test_noise_that_was_cut_out_of_the_pauses_is_found_with_the_voice():
    """A noise gate leaves digital silence: what noise is left is under speech alone."""
    mono = (speech((1, 2.5), rms_db=-20) + noise(-50)) * (tone((1, 2.5)) != 0)
    (a, b), = spans(mono)
    assert abs(a - 1) < 0.02 and abs(b - 2.5) < 0.02, (a, b)


@pytest.mark.parametrize("kind", ["white", "pink"])
@pytest.mark.parametrize("rms_db", [-80, -65, -50])
def test_an_empty_room_holds_no_speech(kind, rms_db):
    assert spans(noise(rms_db, kind)) == []


@pytest.mark.parametrize("samples", [0, 1, HOP - 1, RATE])
def test_silence_holds_no_speech(samples):
    assert spans(np.zeros(samples)) == []


def test_a_voice_without_any_pause_is_speech_throughout():
    assert spans(tone((0, SECONDS), level=0.3)) == [(pytest.approx(0, abs=1e-3), pytest.approx(SECONDS, abs=1e-3))]


@pytest.mark.parametrize("samples", [1, 7, HOP + 1, RATE // 10])
def test_the_shortest_sound_is_heard(samples):
    found = spans(np.full(samples, 0.5))
    assert found == [(0, samples / RATE)], found


def test_a_quiet_end_of_a_sentence_belongs_to_it():
    """20 dB below the rest is still a voice where there is no noise."""
    (_, end), = spans(speech((1, 2), rms_db=-20) + speech((2, 3), rms_db=-40))
    assert end == pytest.approx(3, abs=0.1)


def test_a_short_pause_belongs_to_the_speech_and_a_long_one_does_not():
    short = spans(tone((1.0, 2.0), (2.0 + PAUSE_SECONDS - 0.05, 3.0)))
    long = spans(tone((1.0, 2.0), (2.0 + PAUSE_SECONDS + 0.05, 3.0)))
    assert (len(short), len(long)) == (1, 2)


@pytest.mark.parametrize("seed", range(4))
def test_louder_or_quieter_the_same_speech_is_found(seed):
    """What is speech depends on the recording, not on its level."""
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.uniform(0.8, 1.6, 3))
    parts = [(start, start + rng.uniform(0.2, 0.4)) for start in starts]
    mono = speech(*parts, rms_db=-20) + noise(-52)
    loud, quiet = spans(mono * 2), spans(mono * 0.1)
    assert len(loud) == len(quiet) == 3 and np.abs(np.subtract(loud, quiet)).max() < 0.011, (loud, quiet)


def test_voices_that_overlap_are_one_stretch_of_speech():
    assert closed([(50, 90), (0, 60), (10, 20)], pause=5) == [(0, 90)]


def test_speech_is_the_same_however_long_the_recording_is():
    """It is read in pieces of ten seconds: an end at a seam is no end."""
    long = np.concatenate([tone((0.5, 5.5), level=0.3), tone((0.0, 4.0)), np.zeros(RATE)])
    (a, b), (c, d) = spans(long)
    assert np.abs(np.subtract((a, b, c, d), (0.5, 5.5, 6.0, 10.0))).max() < 0.001, (a, b, c, d)
