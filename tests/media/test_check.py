"""The quality gate finds each planted fault at its place, and nothing in a good film."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from callsheet.errors import CallsheetError
from callsheet.likeness import Likeness, Metric, Sitting
from callsheet.media.check import Expected, Voice, check, examine
from callsheet.media.findings import Finding, Kind, by_scene, outside, stretches
from callsheet.media.legible import blocks, complaints
from callsheet.media.loudness import measure
from callsheet.media.sound import RATE, Samples
from callsheet.models import CaptionStyle, Cue
from callsheet.recipe import Ref, Stage
from callsheet.recipes import CheckRecipe, PlacedVoice, Sitter
from callsheet.store.base import Room
from tests.media import films

FPS, FRAMES, SECONDS = 25, 150, 6.0
SCENES = (0, 75)
FRAME = 1 / FPS
STARTS = (0.3, 3.2)


@dataclasses.dataclass(frozen=True)
class Studio:
    """One good film of six seconds and two scenes, and what is needed to spoil it."""

    folder: Path
    reel: Path
    sound: Samples
    voices: tuple[Voice, ...]

    @property
    def expected(self) -> Expected:
        return Expected(
            frames=FRAMES, fps=Fraction(FPS), size=films.SIZE, scenes=SCENES, voices=self.voices, lufs=films.LUFS,
            true_peak_dbtp=-1,
        )

    def film(self, name: str, reel: Path | None = None, sound: Samples | None = None) -> Path:
        return films.join(reel or self.reel, self.sound if sound is None else sound, self.folder / f"{name}.mp4")

    def pictures(self, name: str, frames: int = FRAMES, **faults: range) -> Path:
        draw = films.planted(films.moving(), **faults)
        return films.write_pictures(self.folder / f"{name} reel.mp4", draw, frames, FPS)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("check")
    lines = [films.speak(folder / f"line {n}", text) for n, text in enumerate(films.TEXTS)]
    sound = films.levelled(folder, SECONDS, list(zip(lines, STARTS, strict=True)), films.music(SECONDS, 0.01))
    voices = tuple(Voice(line, start) for line, start in zip(lines, STARTS, strict=True))
    reel = films.write_pictures(folder / "good reel.mp4", films.moving(), FRAMES, FPS)
    return Studio(folder, reel, sound, voices)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, [str(finding) for finding in findings]
    return findings[0]


def placed(finding: Finding) -> tuple[Kind, int | None, float, float]:
    return finding.kind, finding.scene, finding.start, finding.end


def near(start: float, end: float, by: float = FRAME) -> Any:
    return pytest.approx((start, end), abs=by + 1e-6)


# ---- pictures


def test_a_good_film_has_no_findings_and_its_figures_are_told(studio: Studio) -> None:
    found = examine(studio.film("good"), studio.expected)
    assert [str(finding) for finding in found.findings] == []
    figures = found.figures
    assert (figures["frames"], figures["width"], figures["height"]) == (FRAMES, *films.SIZE)
    assert figures["lufs"] == pytest.approx(films.LUFS, abs=0.5)
    assert figures["drift_ms"] == pytest.approx(0, abs=2)


def test_a_black_stretch_is_found_at_its_place(studio: Studio) -> None:
    reel = studio.pictures("black", black=range(40, 60))
    found = only(examine(studio.film("black", reel), studio.expected).findings)
    assert (found.kind, found.scene) == (Kind.BLACK, 0)
    assert (found.start, found.end) == near(40 / FPS, 60 / FPS)


def test_a_frozen_stretch_is_found_at_its_place(studio: Studio) -> None:
    reel = studio.pictures("frozen", frozen=range(90, 128))
    found = only(examine(studio.film("frozen", reel), studio.expected).findings)
    assert (found.kind, found.scene) == (Kind.FROZEN, 1)
    assert (found.start, found.end) == near(90 / FPS, 128 / FPS)


def test_what_lies_in_a_planned_transition_is_exempt_and_what_reaches_out_of_it_is_not(studio: Studio) -> None:
    film = studio.film("windows", studio.pictures("windows", black=range(65, 85), frozen=range(90, 130)))
    inside = dataclasses.replace(studio.expected, windows=((62, 88), (90, 110)))
    assert examine(film, inside).findings == [], "20 frames of black and less than a second of the frozen are left"
    half = dataclasses.replace(studio.expected, windows=((75, 88), (80, 100)))
    assert [(f.kind, round(f.start * FPS), round(f.end * FPS)) for f in examine(film, half).findings] == [
        (Kind.BLACK, 65, 75), (Kind.FROZEN, 100, 130)]


def test_a_black_stretch_over_two_scenes_is_both_scenes_matter(studio: Studio) -> None:
    reel = studio.pictures("two", black=range(60, 90))
    found = examine(studio.film("two", reel), studio.expected).findings
    assert [(f.kind, f.scene, f.start, f.end) for f in found] == [(Kind.BLACK, 0, 2.4, 3.0), (Kind.BLACK, 1, 3.0, 3.6)]


def test_a_black_picture_under_burned_captions_is_black(studio: Studio) -> None:
    black, style = films.planted(films.moving(), black=range(100, 140)), CaptionStyle(font_size=60)

    def captioned(frame: int) -> films.Picture:
        picture = black(frame)
        picture[128:142, 60 + frame // 10:260] = 235
        return picture

    reel = films.write_pictures(studio.folder / "captioned reel.mp4", captioned, FRAMES, FPS)
    cues = (Cue(text="Nobody knows where", start=3.2, end=6),)
    expected = dataclasses.replace(studio.expected, cues=cues, style=style)
    found = only(examine(studio.film("captioned", reel), expected).findings)
    assert (found.kind, found.scene) == (Kind.BLACK, 1)
    assert (found.start, found.end) == near(100 / FPS, 140 / FPS)


def lit(picture: films.Picture, top: int, left: int, side: int, luma: int = 220) -> films.Picture:
    picture[top:top + side, left:left + side] = luma
    return picture


@pytest.mark.parametrize("side", [8, 12], ids=["a moon", "a candle"])
def test_a_night_with_one_light_in_it_is_not_black(tmp_path: Path, side: int) -> None:
    night = films.write_pictures(
        tmp_path / "night.mp4", lambda n: lit(np.full((180, 320), 18, np.uint8), 60, 100 + n // 2, side), 75, FPS)
    assert examine(night, Expected(heard=False)).findings == []


def test_credits_on_black_are_not_black(tmp_path: Path) -> None:
    def rolling(frame: int) -> films.Picture:
        picture = np.full((180, 320), 16, np.uint8)
        for line in range(2):                          # strokes of letters, two pixels wide
            for stroke in range(130, 200, 7):
                picture[160 - frame + line * 16:168 - frame + line * 16, stroke:stroke + 2] = 235
        return picture

    credits = films.write_pictures(tmp_path / "credits.mp4", rolling, 75, FPS)
    assert examine(credits, Expected(heard=False)).findings == []


def test_what_an_encoder_and_a_sensor_leave_of_black_is_black(tmp_path: Path) -> None:
    grain = np.random.default_rng(0)
    black = films.write_pictures(
        tmp_path / "black.mp4", lambda _: lit(grain.integers(16, 25, (180, 320)).astype(np.uint8), 90, 90, 1, 100), 50,
        FPS)
    assert only(examine(black, Expected(heard=False)).findings).kind is Kind.BLACK


def test_a_picture_that_is_meant_to_stand_is_not_told_and_what_reaches_out_of_it_is(studio: Studio) -> None:
    film = studio.film("still", studio.pictures("still", frozen=range(20, 110)))
    meant = dataclasses.replace(studio.expected, still=((0, 75),))
    found = only(examine(film, meant).findings)
    assert (found.kind, found.scene, found.start, found.end) == (Kind.FROZEN, 1, 3.0, 4.4)
    assert "or set still, where the picture is meant to stand" in found.remedy
    assert examine(film, dataclasses.replace(studio.expected, still=((0, 75), (75, 150)))).findings == []


def test_a_scene_that_is_meant_to_stand_may_not_be_black(studio: Studio) -> None:
    film = studio.film("still black", studio.pictures("still black", black=range(20, 60)))
    found = only(examine(film, dataclasses.replace(studio.expected, still=((0, 75),))).findings)
    assert found.kind is Kind.BLACK
    assert "still" not in found.remedy


def test_a_film_that_is_too_short_is_told_once(studio: Studio) -> None:
    reel = studio.pictures("short", frames=FRAMES - 10)
    film = studio.film("short", reel, studio.sound[:round((FRAMES - 10) / FPS * RATE)])
    found = only(examine(film, studio.expected).findings)
    assert (found.kind, found.scene, found.start, found.end) == (Kind.FRAMES, None, 5.6, 6.0)
    assert "140 frames are there, not 150: it is 0.40 s too short" in found.detail


def test_sound_that_ends_too_early_is_found_from_there(studio: Studio) -> None:
    film = studio.film("early", sound=studio.sound[:round(5.7 * RATE)])
    found = only(examine(film, studio.expected).findings)
    assert found.kind is Kind.DURATION
    assert (found.start, found.end) == near(5.7, 6.0)


def test_another_size_is_found(studio: Studio) -> None:
    expected = dataclasses.replace(studio.expected, size=(640, 360))
    found = only(examine(studio.film("size"), expected).findings)
    assert (found.kind, found.detail) == (Kind.SIZE, "it is 320x180, not 640x360")


# ---- sound


def spoilt(sound: Samples, start: float, end: float, change: Callable[[Samples], Samples]) -> Samples:
    copy, a, b = sound.copy(), round(start * RATE), round(end * RATE)
    copy[a:b] = change(copy[a:b])
    return copy


def test_silence_while_somebody_speaks_is_found_at_its_place(studio: Studio) -> None:
    sound = spoilt(studio.sound, 3.6, 4.7, lambda x: x * 0)
    found = only(examine(studio.film("silent", sound=sound), studio.expected).findings)
    assert (found.kind, found.scene) == (Kind.SILENT, 1)
    assert (found.start, found.end) == near(3.6, 4.7)


def test_silence_between_speeches_is_none(studio: Studio) -> None:
    dry = films.levelled(studio.folder, SECONDS, [(v.sound, v.start) for v in studio.voices[:1]], None)
    expected = dataclasses.replace(studio.expected, voices=studio.voices[:1])
    assert examine(studio.film("dry", sound=dry), expected).findings == []


def test_a_film_of_nothing_but_silence_is_found_where_sound_was_asked_and_only_there(studio: Studio) -> None:
    film = studio.film("mute", sound=studio.sound * 0)
    assert placed(only(examine(film, studio.expected).findings)) == (Kind.SILENT, None, 0, 6)
    assert examine(film, dataclasses.replace(studio.expected, voices=(), heard=False)).findings == []
    none = films.join(studio.reel, None, studio.folder / "none.mp4")
    assert only(examine(none, studio.expected).findings).kind is Kind.SILENT


def test_clipped_sound_is_found_at_its_place_and_its_peak_is_not_told_again(studio: Studio) -> None:
    hum = np.sin(2 * np.pi * 300 * np.arange(len(studio.sound)) / RATE)[:, None]
    sound = spoilt(studio.sound, 1.0, 1.3, lambda x: np.clip(x + 3 * hum[:len(x)], -1, 1).astype(np.float32))
    film = studio.film("clipped", sound=sound)
    expected = dataclasses.replace(studio.expected, lufs=measure(film).lufs)
    found = only(examine(film, expected).findings)
    assert (found.kind, found.scene) == (Kind.CLIPPED, 0)
    assert (found.start, found.end) == near(1.0, 1.3, 0.1), "AAC rounds some of the flat tops"


def test_a_peak_above_the_ceiling_that_is_not_clipped_is_found(studio: Studio) -> None:
    sound = studio.sound.copy()
    sound[RATE * 5:RATE * 5 + 24] = 0.95 * np.hanning(24)[:, None]
    found = only(examine(studio.film("peak", sound=sound), studio.expected).findings)
    assert (found.kind, found.scene) == (Kind.TRUE_PEAK, None)


def test_sound_that_is_too_quiet_is_found(studio: Studio) -> None:
    sound = (studio.sound * 10 ** (-1.5 / 20)).astype(np.float32)
    found = only(examine(studio.film("quiet", sound=sound), studio.expected).findings)
    assert (found.kind, found.scene) == (Kind.LOUDNESS, None)
    assert "LUFS, not -20" in found.detail, found.detail


@pytest.mark.parametrize("late_ms", [120, -80])
def test_sound_that_is_late_or_early_is_found(studio: Studio, late_ms: int) -> None:
    sound = np.roll(studio.sound, round(late_ms / 1000 * RATE), axis=0)
    found = examine(studio.film(f"late{late_ms}", sound=sound), studio.expected)
    drift = only(found.findings)
    assert drift.kind is Kind.DRIFT
    assert drift.start == pytest.approx(STARTS[0], abs=0.01)
    assert found.figures["drift_ms"] == pytest.approx(late_ms, abs=2)


def test_sound_that_runs_away_is_found_from_where_it_is_noticed(studio: Studio) -> None:
    steps = np.arange(len(studio.sound)) * 1.02        # 2 % too fast: 80 ms early after 4 s
    sound = np.stack([np.interp(steps, np.arange(len(studio.sound)), one) for one in studio.sound.T], axis=1)
    found = examine(studio.film("fast", sound=sound.astype(np.float32)), studio.expected)
    drift = only(found.findings)
    assert drift.kind is Kind.DRIFT
    assert 1.5 < drift.start < 3.5, drift
    assert -130 < float(found.figures["drift_ms"] or 0) < -80, found.figures


# ---- captions


@pytest.mark.parametrize(("cues", "font_size", "words"), [
    ((Cue(text="Nobody knows where the last tram goes tonight.", start=1, end=1.5),), 48, "are too short to be read"),
    ((Cue(text="Hm.", start=1, end=1.2),), 48, "are too short to be read"),
    ((Cue(text="One.", start=1, end=2.5), Cue(text="Two.", start=2, end=3),), 48, "overlap in time"),
    ((Cue(text="Nobody knows where the tram goes", start=1, end=4),), 200, "cover more than 40 % of the picture"),
    ((Cue(text="Nobody knows where the last tram goes", start=1, end=4),), 400, "do not fit 90 % of the picture"),
], ids=["too fast", "too short", "overlap", "cover", "no fit"])
def test_captions_that_cannot_be_read_are_told(cues: tuple[Cue, ...], font_size: int, words: str) -> None:
    told = [complaint for complaint, _ in complaints(blocks(cues, CaptionStyle(font_size=font_size), *films.SIZE))]
    assert len(told) == 1, told
    assert words in told[0]


def test_a_complaint_is_one_finding_a_scene_however_many_captions_have_it(studio: Studio) -> None:
    cues = tuple(Cue(text=films.TEXTS[0], start=start, end=start + 0.5) for start in (0.2, 1.2, 4.2))
    found = examine(studio.film("captions"), dataclasses.replace(studio.expected, cues=cues)).findings
    assert [placed(finding) for finding in found] == [(Kind.CAPTIONS, 0, 0.2, 1.7), (Kind.CAPTIONS, 1, 4.2, 4.7)]
    assert "captions are too short to be read (2, first 'The harbour is quiet before the sun come')" in found[0].detail
    assert "shorten the line" in found[0].remedy


def test_ordinary_captions_are_not_found_whatever_the_shape() -> None:
    cues = [Cue(text=f"{films.TEXTS[0][:24]}\n{films.TEXTS[1][:42]}", start=4 * n, end=4 * n + 4) for n in range(3)]
    for size in ((854, 480), (480, 854), (480, 480), (1080, 1920), (128, 128)):
        assert list(complaints(blocks(cues, CaptionStyle(), *size))) == [], size


# ---- the stage


def test_the_stage_reports_each_finding_as_fact_file_and_warning(studio: Studio, tmp_path: Path) -> None:
    reel = studio.pictures("stage", black=range(100, 120))
    files = {ref("film"): studio.film("stage", reel), ref("0"): studio.voices[0].sound}
    recipe = CheckRecipe(
        film=ref("film"), frames=FRAMES, fps=Fraction(FPS), width=320, height=180, scenes=SCENES, heard=True,
        voices=(PlacedVoice(audio=ref("0"), speaker="ava", start=STARTS[0]),), loudness_lufs=films.LUFS,
        true_peak_dbtp=-1,
    )
    outcome = check(recipe, Room(tmp_path, files.__getitem__, lambda _: {}), nobody_asked)
    fact = only([Finding.model_validate(each) for each in outcome.facts["findings"]])
    assert placed(fact) == (Kind.BLACK, 1, 4.0, 4.8)
    report = json.loads(outcome.files["main"].read_text())
    assert report["findings"] == outcome.facts["findings"]
    assert {**report["measured"], "findings": report["findings"]} == outcome.facts
    assert json.loads(json.dumps(outcome.facts)) == outcome.facts
    assert outcome.warnings == (str(fact),)
    assert outcome.warnings[0].startswith("scene 2, 4.00 to 4.80 s: the picture is black: shoot this scene anew")


def test_who_is_not_the_actor_of_the_poster_is_a_finding_among_the_others(studio: Studio, tmp_path: Path) -> None:
    def compare(film: Path, fps: Fraction, sittings: Sequence[Sitting], limit: float) -> list[Likeness]:
        return [Likeness(sitting, Metric.FACE, 0.9, limit, 4) for sitting in sittings]

    files = {ref("film"): studio.film("who", studio.pictures("who", black=range(100, 120))), ref("ava"): tmp_path}
    recipe = CheckRecipe(
        film=ref("film"), frames=FRAMES, fps=Fraction(FPS), width=320, height=180, scenes=SCENES, heard=True,
        loudness_lufs=films.LUFS, true_peak_dbtp=-1, identity=0.6,
        sitters=(Sitter(scene=0, actor="Ava", poster=ref("ava"), first=0, end=75),),
    )
    outcome = check(recipe, Room(tmp_path, files.__getitem__, lambda _: {}), compare)
    found = [Finding.model_validate(each) for each in outcome.facts["findings"]]
    assert [placed(each) for each in found] == [(Kind.IDENTITY, 0, 0.0, 3.0), (Kind.BLACK, 1, 4.0, 4.8)]
    assert outcome.facts["identity_metric"] == "face: at most 0.90 of 0.60"
    assert outcome.warnings == tuple(map(str, found))
    assert json.loads(json.dumps(outcome.facts)) == outcome.facts


def nobody_asked(*_: object) -> NoReturn:
    raise AssertionError("the recipe names nobody to be compared")


def ref(name: str) -> Ref:
    return Ref(stage=Stage.MIX, fingerprint=name.encode().hex().rjust(64, "0"))


def test_a_file_is_examined_without_any_expectation(studio: Studio) -> None:
    found = examine(studio.film("any"), Expected())
    assert found.findings == []
    assert found.figures["drift"] == "not measured: no voice is long and clear enough"


def test_a_film_that_cannot_be_decoded_is_an_error_and_no_finding(studio: Studio, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    data = bytearray(studio.film("whole").read_bytes())
    middle = data.index(b"mdat") + 3000
    data[middle:middle + 4000] = bytes(4000)
    broken.write_bytes(data)
    with pytest.raises(CallsheetError):
        examine(broken, studio.expected)


# ---- the arithmetic of stretches


def test_stretches_are_runs_of_at_least_so_many() -> None:
    assert stretches([True, True, False, True, False, True, True, True], 2) == [(0, 2), (5, 8)]


def test_windows_are_cut_out_of_a_stretch() -> None:
    assert outside((10, 50), [(0, 12), (20, 30), (45, 60)]) == [(12, 20), (30, 45)]
    assert outside((10, 20), [(5, 25)]) == []


def test_a_stretch_belongs_to_each_scene_that_has_enough_of_it() -> None:
    assert list(by_scene((60, 90), (0, 75, 88), 5)) == [(0, (60, 75)), (1, (75, 88))]
    assert list(by_scene((72, 77), (0, 75), 5)) == [(0, (72, 75))], "the longest part, where none is long enough"
