"""Voices in the sound of real mixes: those that are heard are never missed, those that are not are told."""

from __future__ import annotations

import numpy as np
import pytest

from callsheet.media.check import Expected, Voice, examine
from callsheet.media.findings import Kind, Measured
from callsheet.media.sound import RATE, Samples, read_audio
from callsheet.models import Ducking
from callsheet.recipes import PlacedEffect, PlacedVoice
from tests.media import films
from tests.media.studio import SECONDS, Studio, picture, ref
from tests.support.world import EXAMPLES

TEXTS = {"long": films.TEXTS[0], "short": "Hello there.", "other": films.TEXTS[1]}
START = 3.0
BLAST = 2.0
BEDS = ("chords", "calm", "rain", "crowd")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    studio = Studio(tmp_path_factory.mktemp("studio"))
    studio.add("reel", picture(studio.folder / "reel.mp4"))
    for name, text in TEXTS.items():
        studio.add(name, films.speak(studio.folder / name, text, "+m3" if name == "other" else "+f3"))
    talk = [read_audio(studio.files[ref(name)])[:RATE] for name in ("other", "short")]
    crowd = [np.roll(np.tile(talk[n % 2], (9, 1)), n * 9111, axis=0)[:7 * RATE] for n in range(5)]
    beds = {"chords": films.music(SECONDS), "crowd": np.sum(crowd, axis=0)}
    beds |= {name: read_audio(EXAMPLES / "sounds" / f"{name}.flac") for name in ("calm", "rain")}
    for name, bed in beds.items():
        studio.put(name, (bed * 0.5 / loud(bed)).astype(np.float32))
    studio.put("blast", np.random.default_rng(0).normal(0, BLAST, (4 * RATE, 2)).astype(np.float32))
    return studio


def loud(samples: Samples) -> float:
    """RMS of what is heard."""
    heard = samples[np.abs(samples).max(axis=1) > 0.003]
    return float(np.sqrt(np.square(heard).mean()))


def heard(
    studio: Studio, wanted: str, said: dict[str, float], bed: str = "", over_db: float = -12.0, effect_db: float = 0.0
) -> Measured:
    """What is found in a film that says `said` (line -> when), where `wanted` should be heard at START."""
    voice = loud(read_audio(studio.files[ref(wanted)]))
    volume = voice * 10 ** (over_db / 20) / loud(read_audio(studio.files[ref(bed)])) if bed else 0.0
    blast = (PlacedEffect(audio=ref("blast"), start=START - 1, volume=voice * 10 ** (effect_db / 20) / BLAST),)
    made = studio.mix(
        voices=tuple(PlacedVoice(audio=ref(name), speaker="ava", start=at) for name, at in said.items()),
        music=ref(bed) if bed else None, ducking=Ducking(base_volume=volume, duck_db=0),
        effects=blast if effect_db else (),
    )
    return examine(made.files["main"], Expected(
        voices=(Voice(studio.files[ref(wanted)], START),), gain_db=float(made.facts["gain_db"])))


def drifts(found: Measured) -> list[tuple[float, float, str]]:
    return [(each.start, each.end, each.detail) for each in found.findings if each.kind is Kind.DRIFT]


@pytest.mark.parametrize(("bed", "over_db"), [
    ("chords", 6), ("rain", 6), ("crowd", 6), pytest.param("calm", 6, marks=pytest.mark.slow),
    *(pytest.param(bed, 12, marks=pytest.mark.slow) for bed in BEDS)])
@pytest.mark.parametrize("line", ["long", "short"])
def test_a_line_under_loud_music_is_heard(studio: Studio, line: str, bed: str, over_db: float) -> None:
    assert drifts(heard(studio, line, {line: START}, bed, over_db)) == []


@pytest.mark.parametrize(("bed", "said"), [
    ("chords", {}), ("rain", {}), ("chords", {"other": START}), ("calm", {"long": START + 2}), ("crowd", {"long": 0.5}),
], ids=["missing", "missing in rain", "wrong", "late", "early in a crowd"])
def test_a_line_that_is_not_where_it_was_placed_is_told_at_its_place(
    studio: Studio, bed: str, said: dict[str, float]
) -> None:
    found = heard(studio, "long", said, bed)
    (start, end, detail), = drifts(found)
    assert (start, end) == pytest.approx((START, START + 2.6), abs=0.3)
    assert detail == "a line is not heard where it was placed"
    assert found.figures["drift"] == "not found: no voice is heard where it was placed"
    assert found.figures["drift_ms"] is None


def test_without_music_it_is_silence_and_told_once(studio: Studio) -> None:
    found = heard(studio, "long", {"short": 0.2})
    assert [each.kind for each in found.findings] == [Kind.SILENT]
    assert found.figures["drift"] == "not found: no voice is heard where it was placed"


def test_what_a_louder_effect_covers_cannot_be_known_and_is_not_told(studio: Studio) -> None:
    covered = heard(studio, "short", {"short": START}, effect_db=30)
    assert drifts(covered) == []
    assert covered.figures["drift"] == "not measured: what else is heard covers the voices"
