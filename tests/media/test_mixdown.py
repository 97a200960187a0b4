"""The mix in files, and the stems made of it."""

import tracemalloc
import wave

import numpy as np
import pytest

from callsheet.media.limiter import master
from callsheet.media.mixdown import mix_down, write_stems
from callsheet.media.sound import RATE, HeldSound
from callsheet.media.soundtrack import Placed, Soundtrack, Under, edges

SAMPLES = round(2.37 * RATE) + 1


def noise(seed, level):
    return (np.random.default_rng(seed).uniform(-level, level, (SAMPLES, 2))).astype(np.float32)


def track(voice, rest):
    return Soundtrack(SAMPLES, (Placed(HeldSound(voice), 0),), (Placed(HeldSound(rest), 0),))


def mixed(folder, voice, rest, stems=True):
    return mix_down(track(voice, rest), folder, stems, lambda share: None)


def read(path):
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 3, RATE)
        raw = np.frombuffer(file.readframes(file.getnframes()), np.uint8).reshape(-1, 3)
    whole = np.zeros((len(raw), 4), np.uint8)
    whole[:, 1:] = raw
    return whole.view("<i4").reshape(-1, 2) / 2**31


def test_what_comes_out_is_the_sum_at_its_gain(tmp_path):
    voice, rest = noise(1, 0.2), noise(2, 0.1)
    down = mixed(tmp_path, voice, rest)
    out = np.concatenate([piece for _, piece in down.mastered(master(down.profile, 3.0, -1))])
    off = np.abs(out - (voice + rest) * 10 ** (3 / 20)).max()
    assert out.shape == (SAMPLES, 2) and off < 1e-6, off


def test_stems_add_up_to_the_full_mix_where_the_limiter_rests(tmp_path):
    down = mixed(tmp_path, noise(1, 0.2), noise(2, 0.1))
    stems, lowered_db = write_stems(down, master(down.profile, 6.0, -1), tmp_path)
    voice, rest, full = (read(stems[name]) for name in ("voice", "music_effects", "full_mix"))
    off = np.abs(voice + rest - full).max() * 2**23
    assert lowered_db == 0 and len(voice) == len(rest) == len(full) == SAMPLES
    assert off <= 2, f"{off:.1f} steps of 24 bits"
    assert np.abs(voice - noise(1, 0.2) * 10 ** (6 / 20)).max() < 2**-22, "at the master's gain"


def test_stems_are_what_the_full_mix_is_before_the_limiter(tmp_path):
    down = mixed(tmp_path, noise(1, 0.45), noise(2, 0.45))
    made = master(down.profile, 6.0, -6)
    stems, lowered_db = write_stems(down, made, tmp_path)
    both = read(stems["voice"]) + read(stems["music_effects"])
    unlimited = (noise(1, 0.45) + noise(2, 0.45)) * 10 ** (6 / 20)
    assert made.reduced_db > 3 and lowered_db == 0
    assert np.abs(both - unlimited).max() < 2**-21 and np.abs(read(stems["full_mix"])).max() < 10 ** (-6 / 20)


def test_stems_that_would_clip_are_lowered_together_and_it_is_said(tmp_path):
    down = mixed(tmp_path, noise(1, 0.9), noise(2, 0.1))
    stems, lowered_db = write_stems(down, master(down.profile, 6.0, -1), tmp_path)
    voice, rest = read(stems["voice"]), read(stems["music_effects"])
    assert lowered_db == pytest.approx(20 * np.log10(0.9) + 6, abs=0.01) and np.abs(voice).max() <= 1
    gain = 10 ** ((6 - lowered_db) / 20)
    assert np.abs(voice + rest - (noise(1, 0.9) + noise(2, 0.1)) * gain).max() < 2**-21


def test_parts_are_kept_only_for_stems(tmp_path):
    assert mixed(tmp_path, noise(1, 0.2), noise(2, 0.1), stems=False).parts is None
    assert [path.name for path in tmp_path.iterdir()] == ["mix.f32"]


def test_the_files_go_when_they_are_done_with(tmp_path):
    mixed(tmp_path, noise(1, 0.2), noise(2, 0.1)).remove()
    assert list(tmp_path.iterdir()) == []


def test_a_longer_film_takes_no_more_memory(tmp_path):
    def peak(seconds):
        film, sound = seconds * RATE, HeldSound(noise(1, 0.2))
        layers = Soundtrack(film, (Placed(sound, 0),), (Under(sound, film, edges(film)),))
        tracemalloc.start()
        mix_down(layers, tmp_path, False, lambda share: None)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest / 1e6

    short, long = peak(30), peak(120)
    assert long < short + 2 < 60, f"{short:.0f} MB for half a minute, {long:.0f} MB for two"
