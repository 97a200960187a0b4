"""The example manifest, its scripts and its sounds."""

from __future__ import annotations

import runpy
from itertools import pairwise
from pathlib import Path

import pytest

from callsheet.manifest import read_manifest
from callsheet.media.probe import probe
from callsheet.models import CaptionMode, Order
from callsheet.presets import Quality

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
SOUNDS = EXAMPLES / "sounds"


@pytest.fixture(scope="module")
def orders() -> tuple[Order, ...]:
    return read_manifest(EXAMPLES / "actors.csv").orders


def test_every_example_actor_is_ready(orders: tuple[Order, ...]) -> None:
    assert [(order.cast[0].id, order.cast[0].name) for order in orders] == [
        ("0001_european_20_female", "Ava"), ("0002_european_35_female", "Marta"), ("0000_european_16_male", "Leo")]


def test_the_films_last_eight_to_12_3_seconds_and_one_exactly_that(orders: tuple[Order, ...]) -> None:
    lengths = [round(sum(scene.seconds for scene in order.scenes), 6) for order in orders]
    assert lengths == [10.0, 12.3, 10.0], lengths


def test_the_three_films_are_delivered_in_three_looks(orders: tuple[Order, ...]) -> None:
    assert [order.delivered.label for order in orders] == ["854x480@24", "480x854@30", "480x480@24"]
    assert [order.captions.mode for order in orders] == [CaptionMode.BURNED, CaptionMode.BESIDE, CaptionMode.BESIDE]
    assert {order.quality for order in orders} == {Quality.DRAFT}


def test_one_film_has_two_characters_who_both_speak(orders: tuple[Order, ...]) -> None:
    leo = orders[2]
    assert [actor.name for actor in leo.cast] == ["Leo", "Ava"]
    assert {line.speaker for scene in leo.scenes for line in scene.lines} == {actor.id for actor in leo.cast}


def test_every_film_speaks_and_its_transitions_differ(orders: tuple[Order, ...]) -> None:
    for order in orders:
        assert any(scene.lines for scene in order.scenes), order.title
        kinds = [scene.transition.kind for scene in order.scenes[:-1]]
        assert all(one != other for one, other in pairwise(kinds)), f"{order.title}: {kinds}"
    assert len({scene.transition.kind for order in orders for scene in order.scenes[:-1]}) >= 5


def test_music_ambience_and_two_effects_are_heard(orders: tuple[Order, ...]) -> None:
    assert {Path(order.sound.music.path).stem for order in orders if order.sound.music} == {"calm", "wistful", "bright"}
    assert any(order.sound.ambience for order in orders)
    effects = {Path(effect.file.path).stem for order in orders for effect in order.sound.effects}
    assert effects == {"whoosh", "chime"}
    for order in orders:
        length = sum(scene.seconds for scene in order.scenes)
        assert all(effect.start < length for effect in order.sound.effects), f"{order.title} ends before an effect"


@pytest.mark.parametrize(("name", "shortest", "longest"), [
    ("calm", 8, 12), ("wistful", 8, 12), ("bright", 8, 12), ("rain", 4, 12), ("whoosh", 0.3, 2), ("chime", 0.3, 3)])
def test_every_sound_is_whole(name: str, shortest: float, longest: float) -> None:
    facts = probe(SOUNDS / f"{name}.flac")
    assert (facts.audio_codec, facts.sample_rate, facts.channels) == ("flac", 32_000, 1)
    assert shortest <= facts.audio_duration <= longest, f"{facts.audio_duration} s"


def test_the_sounds_are_small() -> None:
    size = sum(path.stat().st_size for path in SOUNDS.iterdir())
    assert size < 1_200_000, f"{size} bytes"


def test_a_loop_has_no_seam() -> None:
    sounds = runpy.run_path(str(EXAMPLES / "make_sounds.py"))
    for name in ("calm", "wistful", "bright", "rain"):
        samples = sounds[name]()
        steps = abs(samples[1:] - samples[:-1])
        assert abs(samples[0] - samples[-1]) <= steps.max(), f"{name} jumps at its seam"
