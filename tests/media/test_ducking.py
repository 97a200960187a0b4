"""The gain of a music bed, from voices and a configuration."""

import numpy as np
import pytest

from callsheet.media.ducking import envelope
from callsheet.media.sound import RATE
from callsheet.models import Ducking

DUCKING = Ducking(duck_db=-8, attack_ms=50, release_ms=300)


def decibels(spans, ducking, seconds):
    gain = envelope(spans, ducking).gain(0, round(seconds * RATE))
    return 20 * np.log10(gain.astype(np.float64))


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


def test_a_gain_is_what_its_points_say_at_every_sample():
    """Level stretches and ramps are made differently; both have to be the line between the points."""
    shape = envelope([(RATE, 2 * RATE), (round(2.1 * RATE), round(2.12 * RATE))], DUCKING)
    wanted = 10 ** (np.interp(np.arange(4 * RATE), shape.samples, shape.decibels) / 20)
    off = np.abs(shape.gain(0, 4 * RATE) - wanted).max()
    assert off < 1e-6, off


def test_an_envelope_is_the_same_in_blocks_as_at_once():
    shape = envelope([(RATE, 2 * RATE)], DUCKING)
    blocks = np.concatenate([shape.gain(a, a + 30000) for a in range(0, 150000, 30000)])
    assert np.array_equal(blocks, shape.gain(0, 150000))
