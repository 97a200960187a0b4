"""The promise of the mix on the film as it is delivered, whatever the level of the voice and the platform.

Music, voice and effect are tones in bands of their own: each is found again in the decoded film, and the gain of
the whole is known, so every level is compared with what was asked for.
"""

import numpy as np
import pytest

from callsheet.media.loudness import measure
from callsheet.media.sound import RATE, read_audio
from callsheet.models import Ducking, Sound
from callsheet.presets import Platform
from callsheet.recipes import PlacedEffect, PlacedVoice
from tests.media.studio import EFFECT_HZ, MUSIC_HZ, VOICE_HZ, Studio, between, level, picture, ref, tone

SECONDS, ONSET, END, EFFECT_AT = 5.0, 1.3, 3.4, 4.2
MUSIC, BED, DUCK_DB, ATTACK_MS, RELEASE_MS = 0.5, 0.2, -8.0, 50.0, 300.0

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    studio = Studio(tmp_path_factory.mktemp("levels"))
    studio.add("reel", picture(studio.folder / "reel.mp4", SECONDS))
    studio.put("music", tone(MUSIC_HZ, 3, MUSIC))
    studio.put("effect", tone(EFFECT_HZ, 0.3, 0.1))
    return studio


@pytest.fixture(scope="module", params=[-32.0, -20.0, -8.0], ids=lambda rms: f"voice at {rms:g} dBFS")
def film(studio, request):
    """A film whose voice has this RMS level while it speaks, and its sound."""
    amplitude = np.sqrt(2) * 10 ** (request.param / 20)
    studio.put("voice", tone(VOICE_HZ, 3.0, amplitude, [(0, 1.0), (1.2, END - ONSET)]))
    made = studio.mix(
        seconds=SECONDS, music=ref("music"), voices=(PlacedVoice(audio=ref("voice"), speaker="anna", start=ONSET),),
        effects=(PlacedEffect(audio=ref("effect"), start=EFFECT_AT, volume=0.5),),
        ducking=Ducking(base_volume=BED, duck_db=DUCK_DB, attack_ms=ATTACK_MS, release_ms=RELEASE_MS),
    )
    sound = read_audio(made.files["main"])[:, 0].astype(np.float64)
    return made, sound, level(sound, MUSIC_HZ) - made.facts["gain_db"]


def test_bed_and_ducked_gain_are_those_of_the_config(film):
    _, _, music = film
    bed = np.median(between(music, 0.4, 1.2)) - 20 * np.log10(MUSIC)
    ducked = np.median(between(music, 1.5, 3.3)) - 20 * np.log10(MUSIC)
    wanted = 20 * np.log10(BED)
    assert abs(bed - wanted) < 0.5 and abs(ducked - (wanted + DUCK_DB)) < 0.5, (bed, ducked, wanted)


def test_attack_and_release_last_as_long_as_they_should(film):
    _, _, music = film
    bed, ducked = np.median(between(music, 0.4, 1.2)), np.median(between(music, 1.5, 3.3))
    down = np.flatnonzero(between(music, ONSET, END) < bed + 0.9 * DUCK_DB)[0] / RATE * 1000
    up = np.flatnonzero(between(music, END, SECONDS) > ducked - 0.9 * DUCK_DB)[0] / RATE * 1000
    wanted = pytest.approx((0.9 * ATTACK_MS, 0.9 * RELEASE_MS), rel=0.2)
    assert (down, up) == wanted, f"{down:.1f} ms down, {up:.1f} ms up"


def test_an_effect_is_heard_within_a_frame_of_its_moment(film):
    _, sound, _ = film
    effect = level(sound, EFFECT_HZ, 0.002)
    loud = np.median(between(effect, EFFECT_AT + 0.05, EFFECT_AT + 0.2))
    onset = np.flatnonzero(effect > loud - 6)[0] / RATE
    assert abs(onset - EFFECT_AT) < 1 / 30, f"{(onset - EFFECT_AT) * 1000:.1f} ms"


def test_the_film_is_as_loud_as_it_should_be(film):
    made, _, _ = film
    found = measure(made.files["main"])
    assert abs(found.lufs + 14) <= 1 and found.true_peak_dbtp <= -1 and made.warnings == (), found


PLATFORMS = [(Platform.EBU_R128, -23), (Platform.PODCAST, -16), (Platform.REELS, -14)]


@pytest.mark.parametrize(("platform", "lufs"), PLATFORMS)
def test_a_film_reaches_the_loudness_of_its_platform(studio, platform, lufs):
    target = Sound(platform=platform).loudness
    made = studio.mix(
        seconds=SECONDS, music=ref("music"), loudness_lufs=target.lufs, true_peak_dbtp=target.true_peak_dbtp)
    found = measure(made.files["main"])
    assert abs(found.lufs - lufs) <= 0.5 and found.true_peak_dbtp <= -1, found
