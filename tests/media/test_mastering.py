"""The film as it is delivered: its true peaks are below the ceiling, and it says why it is not at its target."""

import numpy as np
import pytest

from callsheet.media.loudness import measure
from callsheet.media.sound import RATE
from callsheet.recipes import PlacedEffect
from tests.media.studio import Studio, picture, ref, tone

SECONDS = 1.5
N = round(SECONDS * RATE)
CEILING = -1.0


def stereo(mono):
    return np.repeat(np.asarray(mono)[:, None], 2, axis=1)


def random(rng, t):
    return rng.choice([-1.0, 1.0], (N, 2))


def in_bursts(rng, t, mono):
    """25 ms of it twice a second, over quiet noise."""
    return stereo(mono * ((t + 12000) % 24000 < 1200)) + rng.normal(0, 0.01, (N, 2))


def quarter_rate(rng, t):
    """Samples at 0.707 of a wave that reaches 1."""
    return in_bursts(rng, t, np.sin(np.pi / 2 * t + np.pi / 4))


def square(rng, t):
    return in_bursts(rng, t, np.sign(np.sin(2 * np.pi * 7919 * t / RATE + 1)))


def burst(rng, t):
    quiet = rng.normal(0, 0.003, (N, 2))
    quiet[N // 2:N // 2 + 4800] = rng.choice([-1.0, 1.0], (4800, 2))
    return quiet


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    studio = Studio(tmp_path_factory.mktemp("studio"))
    studio.add("reel", picture(studio.folder / "reel.mp4", SECONDS))
    return studio


def mixed(studio, samples, lufs):
    studio.put("sound", samples.astype(np.float32))
    sound = PlacedEffect(audio=ref("sound"), start=0, volume=1)
    return studio.mix(seconds=SECONDS, effects=(sound,), loudness_lufs=lufs, true_peak_dbtp=CEILING)


@pytest.mark.parametrize("signal", [random, quarter_rate, square, burst])
def test_no_film_is_over_its_ceiling_whatever_the_encoder_makes_of_it(studio, signal):
    made = mixed(studio, signal(np.random.default_rng(0), np.arange(N)), -5)
    found = measure(made.files["main"])
    assert found.true_peak_dbtp <= CEILING, f"{found.true_peak_dbtp} dBTP"
    assert found.true_peak_dbtp == made.facts["true_peak_dbtp"] and found.lufs == made.facts["lufs"]
    assert not [words for words in made.warnings if "true peak" in words]


def test_an_unlimited_mix_above_ebur128_s_scale_comes_to_its_target(studio):
    made = mixed(studio, tone(1000, SECONDS, 30.0), -14)
    assert made.facts["lufs"] == pytest.approx(-14, abs=0.5) and made.warnings == (), made.warnings


def test_peaks_that_leave_no_room_are_the_reason(studio):
    clicks = np.zeros((N, 2))
    clicks[RATE // 4::RATE // 4] = 1
    made = mixed(studio, clicks, -14)
    assert made.warnings == (
        f"loudness is {made.facts['lufs']:g} LUFS, not -14: its peaks leave no room below -1 dBTP, and over 6 dB of "
        "extra gain into the limiter would squash it",)


def test_sound_that_is_too_quiet_says_so_and_keeps_its_level(studio):
    made = mixed(studio, np.random.default_rng(0).normal(0, 1e-4, (N, 2)), -14)
    assert made.warnings == ("the sound is too quiet or too sparse to be measured: its loudness stays as it is",)
    assert made.facts["gain_db"] == 0


def test_sound_that_is_too_short_says_so(tmp_path):
    studio = Studio(tmp_path)
    studio.add("reel", picture(tmp_path / "reel.mp4", 0.3))
    studio.put("sound", tone(1000, 0.3, 0.2))
    made = studio.mix(seconds=0.3, effects=(PlacedEffect(audio=ref("sound"), start=0, volume=1),))
    assert made.warnings == ("the sound is shorter than 0.4 s: its loudness stays as it is",)
