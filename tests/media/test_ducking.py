"""The gain of a music bed, from voices and a configuration."""

import numpy as np
import pytest

from callsheet.media.ducking import HOP, closed, envelope, speech_spans
from callsheet.media.sound import RATE
from callsheet.models import Ducking

DUCKING = Ducking(duck_db=-8, attack_ms=50, release_ms=300)


def decibels(spans, ducking, seconds):
    gain = envelope(spans, ducking).gain(0, round(seconds * RATE))
    return 20 * np.log10(gain.astype(np.float64))


def voice(*parts, level=0.3, noise=0.0):
    """A gated tone: (start, end) in seconds, 6 s long."""
    t = np.arange(6 * RATE) / RATE
    gate = np.zeros_like(t)
    for start, end in parts:
        gate[round(start * RATE):round(end * RATE)] = 1
    mono = level * gate * np.sin(2 * np.pi * 300 * t) + noise * np.random.default_rng(1).standard_normal(len(t))
    return np.repeat(mono[:, None], 2, axis=1).astype(np.float32)


def test_speech_is_found_where_it_is_to_a_hop():
    (start, end), = speech_spans(voice((1.0, 2.5)))
    assert abs(start - RATE) <= HOP and abs(end - 2.5 * RATE) <= HOP, (start / RATE, end / RATE)


@pytest.mark.parametrize("level", [0.9, 0.1, 0.01])
def test_a_quiet_voice_is_found_as_a_loud_one_is(level):
    (start, end), = speech_spans(voice((1.0, 2.5), level=level))
    assert abs(start - RATE) <= HOP and abs(end - 2.5 * RATE) <= HOP, (start / RATE, end / RATE)


def test_noise_40_db_below_a_voice_is_not_speech():
    spans = closed(speech_spans(voice((1.0, 2.5), level=0.3, noise=0.3 / np.sqrt(2) * 10 ** (-42 / 20))))
    assert len(spans) == 1 and abs(spans[0][1] - 2.5 * RATE) <= HOP, spans


def test_silence_holds_no_speech():
    assert speech_spans(np.zeros((RATE, 2), np.float32)) == []


def test_a_short_pause_belongs_to_the_speech_and_a_long_one_does_not():
    short = closed(speech_spans(voice((1.0, 2.0), (2.2, 3.0))))
    long = closed(speech_spans(voice((1.0, 2.0), (3.0, 4.0))))
    assert (len(short), len(long)) == (1, 2)


def test_voices_that_overlap_are_one_stretch_of_speech():
    assert closed([(50, 90), (0, 60), (10, 20)], pause=5) == [(0, 90)]


def test_the_bed_is_unchanged_before_and_duck_db_under_speech():
    level = decibels([(RATE, 3 * RATE)], DUCKING, 5)
    assert level[:RATE].min() == 0 and level[2 * RATE] == pytest.approx(-8, abs=1e-4), level[2 * RATE]


def test_attack_starts_at_the_onset_and_lasts_attack_ms():
    level = decibels([(RATE, 3 * RATE)], DUCKING, 5)
    reached = np.flatnonzero(level < -7.999)[0] - RATE
    assert level[RATE] == 0 and reached / RATE * 1000 == pytest.approx(50, rel=0.01)


def test_release_starts_at_the_end_and_lasts_release_ms():
    level = decibels([(RATE, 3 * RATE)], DUCKING, 5)[3 * RATE:]
    back = np.flatnonzero(level > -0.001)[0] / RATE
    assert level[0] == pytest.approx(-8, abs=1e-3) and back == pytest.approx(0.3, rel=0.01), back


def test_the_ramp_is_straight_in_decibels():
    level = decibels([(RATE, 3 * RATE)], DUCKING, 5)
    steps = np.diff(level[RATE:RATE + round(0.049 * RATE)])
    assert steps.max() - steps.min() < 1e-4, "float32 gain allows no more than its own rounding"


def test_speech_shorter_than_the_attack_turns_round_on_its_way():
    level = decibels([(RATE, RATE + round(0.025 * RATE))], DUCKING, 3)
    assert level.min() == pytest.approx(-4, abs=0.01), level.min()


def test_speech_that_comes_back_during_release_goes_down_from_there():
    slow = Ducking(duck_db=-8, attack_ms=50, release_ms=1000)
    level = decibels([(RATE, 2 * RATE), (round(2.5 * RATE), 3 * RATE)], slow, 5)
    assert level[round(2.5 * RATE)] == pytest.approx(-4, abs=0.01)
    assert level[round(2.526 * RATE)] == pytest.approx(-8, abs=0.01), "half the way takes half the attack"


def test_no_ducking_leaves_the_bed_alone():
    assert np.all(envelope([(0, RATE)], Ducking(duck_db=0)).gain(0, 2 * RATE) == 1)


def test_an_envelope_is_the_same_in_blocks_as_at_once():
    shape = envelope([(RATE, 2 * RATE)], DUCKING)
    blocks = np.concatenate([shape.gain(a, a + 30000) for a in range(0, 150000, 30000)])
    assert np.array_equal(blocks, shape.gain(0, 150000))
