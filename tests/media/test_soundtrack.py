"""Sound at its place: what is laid where, how loops meet, what is cut; piece by piece as at once."""

import numpy as np
import pytest

from callsheet.media.sound import RATE, HeldSound
from callsheet.media.soundtrack import Placed, Soundtrack, Under, edges


def even(start, end):
    return np.ones(end - start, np.float32)


def ramp(samples):
    return np.repeat(np.arange(samples, dtype=np.float32)[:, None], 2, axis=1)


def laid(sound, at, samples, volume=1.0, block=1 << 30):
    track = Soundtrack(samples, (Placed(HeldSound(sound), at, volume),), ())
    return np.concatenate([voice for voice, _ in track.blocks(block)])


def under(sound, samples, gain=even, block=1 << 30):
    track = Soundtrack(samples, (), (Under(HeldSound(sound), samples, gain),))
    return np.concatenate([rest for _, rest in track.blocks(block)])


def test_a_sound_is_laid_to_the_sample():
    assert laid(ramp(3), 4, 10, 2.0)[:, 1].tolist() == [0, 0, 0, 0, 0, 2, 4, 0, 0, 0]


def test_sounds_are_added():
    layers = (Placed(HeldSound(ramp(3)), 0), Placed(HeldSound(ramp(3)), 1))
    (voice, rest), = Soundtrack(4, layers, layers[:1]).blocks()
    assert voice[:, 0].tolist() == [0, 1, 3, 2] and rest[:, 0].tolist() == [0, 1, 2, 0]


def test_mono_is_the_same_in_both_channels():
    assert laid(ramp(4)[:, :1], 0, 4).tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]


def test_a_voice_that_began_before_the_film_is_entered_in_the_middle():
    assert laid(ramp(5), -2, 10)[:4, 0].tolist() == [2, 3, 4, 0]


@pytest.mark.parametrize("start", [-5, 10, 99])
def test_what_is_outside_the_film_is_left_out(start):
    assert not laid(ramp(5), start, 10).any()


@pytest.mark.parametrize("block", [1, 7, 1000, 44444])
def test_pieces_are_the_same_as_the_whole(block):
    rng = np.random.default_rng(6)
    samples, noise = (60 if block < 100 else 5 * RATE), rng.standard_normal((3 * RATE, 2)).astype(np.float32)
    assert np.array_equal(laid(noise, 20, samples), laid(noise, 20, samples, block=block))
    assert np.array_equal(under(noise, samples), under(noise, samples, block=block))


def test_a_gain_is_asked_for_the_film_s_own_samples():
    mixed = under(np.ones((RATE, 2), np.float32), RATE, lambda a, b: np.arange(a, b, dtype=np.float32), 999)
    assert np.array_equal(mixed[:, 0], np.arange(RATE, dtype=np.float32))


def test_short_music_is_looped_without_a_gap_or_a_bump():
    noise = np.random.default_rng(5).standard_normal((3 * RATE, 2)).astype(np.float32)
    mixed = under(noise, 10 * RATE, block=RATE)
    power = np.square(mixed).reshape(100, -1).mean(axis=1)
    assert power.min() > 0.85 and power.max() < 1.15, (power.min(), power.max())
    assert np.array_equal(mixed[:2 * RATE], noise[:2 * RATE]), "the first turn starts as the music does"


@pytest.mark.parametrize("samples", [1, 7, RATE // 10])
def test_the_shortest_sound_can_be_looped(samples):
    lowest = under(np.ones((samples, 2), np.float32), 5 * RATE).min()
    assert lowest > 0.99, lowest


def test_longer_music_is_cut_and_unchanged():
    assert np.array_equal(under(ramp(2 * RATE), RATE), ramp(RATE))


@pytest.mark.parametrize("samples", [1, 5, 100, RATE, 10 * RATE])
def test_fades_at_both_ends_fit_any_film(samples):
    gain = edges(samples)(0, samples)
    assert gain[0] == gain[-1] == 0 and np.isfinite(gain).all() and gain.max() <= 1


def test_a_fade_is_the_same_in_blocks_as_at_once():
    gain = edges(RATE)
    blocks = np.concatenate([gain(start, start + 1000) for start in range(0, RATE, 1000)])
    assert np.array_equal(blocks, gain(0, RATE))
