"""Sound at its place: what is laid where, how loops meet, what is cut."""

import numpy as np
import pytest

from callsheet.media.sound import RATE
from callsheet.media.soundtrack import edges, lay, lay_through


def even(start, end):
    return np.ones(end - start, np.float32)


def ramp(samples):
    return np.repeat(np.arange(samples, dtype=np.float32)[:, None], 2, axis=1)


def test_a_sound_is_laid_to_the_sample_and_added():
    bus = np.ones((10, 2), np.float32)
    lay(bus, ramp(3), 4, 2.0)
    assert bus[:, 1].tolist() == [1, 1, 1, 1, 1, 3, 5, 1, 1, 1]


def test_a_voice_that_began_before_the_film_is_entered_in_the_middle():
    bus, sound = np.zeros((10, 2), np.float32), ramp(5)
    lay(bus, sound, -2)
    assert bus[:4, 0].tolist() == [2, 3, 4, 0]


@pytest.mark.parametrize("start", [-5, 10, 99])
def test_what_is_outside_the_film_is_left_out(start):
    bus = np.zeros((10, 2), np.float32)
    lay(bus, ramp(5), start)
    assert not bus.any()


def test_a_gain_is_asked_for_the_film_s_own_samples():
    bus = np.zeros((40 * RATE, 2), np.float32)
    lay(bus, np.ones((35 * RATE, 2), np.float32), RATE, lambda a, b: np.arange(a, b, dtype=np.float32))
    assert np.array_equal(bus[RATE:36 * RATE, 0], np.arange(RATE, 36 * RATE, dtype=np.float32)), "across blocks too"


def test_short_music_is_looped_without_a_gap_or_a_bump():
    rng = np.random.default_rng(5)
    bus = np.zeros((10 * RATE, 2), np.float32)
    lay_through(bus, rng.standard_normal((3 * RATE, 2)).astype(np.float32), even)
    power = np.square(bus).reshape(100, -1).mean(axis=1)
    assert power.min() > 0.85 and power.max() < 1.15, (power.min(), power.max())


@pytest.mark.parametrize("samples", [1, 7, RATE // 10])
def test_the_shortest_sound_can_be_looped(samples):
    bus = np.zeros((5 * RATE, 2), np.float32)
    lay_through(bus, np.ones((samples, 2), np.float32), even)
    assert bus.min() > 0.99, bus.min()


def test_longer_music_is_cut_and_unchanged():
    bus = np.zeros((RATE, 2), np.float32)
    lay_through(bus, ramp(2 * RATE), even)
    assert np.array_equal(bus, ramp(RATE))


@pytest.mark.parametrize("samples", [1, 5, 100, RATE, 10 * RATE])
def test_fades_at_both_ends_fit_any_film(samples):
    gain = edges(samples)(0, samples)
    assert gain[0] == gain[-1] == 0 and np.isfinite(gain).all() and gain.max() <= 1
