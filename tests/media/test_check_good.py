"""Good films pass the quality gate: real clips, transitions, speech and music, in every mixture."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from callsheet.engines.placeholder import PlaceholderEngine
from callsheet.faces.placeholder import PlaceholderLipsync
from callsheet.media.check import Expected, Voice, examine
from callsheet.media.splice import splice
from callsheet.models import Cue
from callsheet.presets import TransitionKind
from callsheet.recipes import LipsyncRecipe, PlacedVoice, SegmentRecipe
from tests.media import clips, films
from tests.support.clips import clip_recipe
from tests.support.clips import ref as named
from tests.support.clips import room as room_with

KINDS = tuple(TransitionKind)
RATES = (24, 25, 30, 60)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("lines")
    return [
        films.speak(folder / str(n), text, voice)
        for n, (text, voice) in enumerate(zip(films.TEXTS, ("+f3", "+m3"), strict=True))
    ]


def picture(number: int, seed: int) -> films.Draw:
    """What a clip can look like: quick or slow motion, a quiet night, a still that hardly moves, a talking face."""
    return (
        films.moving(seed),
        films.moving(seed, pixels=0.4, light=0.35),
        films.moving(seed, pixels=0.12),
        films.talking(seed),
        films.moving(seed, pixels=4),
    )[number % 5]


def spliced(folder: Path, seed: int, fps: int) -> tuple[Path, Expected]:
    """Three clips as conform and splice make them, with transitions of three kinds."""
    chance = np.random.default_rng(seed)
    frames = [round(float(s) * fps) for s in chance.uniform(1.6, 2.4, 3)]
    kinds = [KINDS[(seed + n) % len(KINDS)] for n in range(2)]
    windows = [0 if kind is TransitionKind.CUT else round(float(chance.uniform(0.2, 0.7)) * fps) for kind in kinds]
    recipe = clips.splice_recipe(frames, list(zip(kinds, windows, strict=True)), fps)
    made = []
    for n, (count, head, tail) in enumerate(zip(frames, [0, *windows], [*windows, 0], strict=True)):
        folder.joinpath(str(n)).mkdir(parents=True)
        raw = films.write_pictures(folder / str(n) / "raw.mp4", picture(seed + n, seed + n), count * 24 // fps + 1, 24)
        conformed = clips.conform_clip(folder / str(n) / "conformed", raw, count, fps, films.SIZE, head, tail)
        made.append(conformed.files["main"])
    reel = splice(recipe, clips.room_in(folder / "splice", *made)).files["main"]
    starts = list(itertools.accumulate(f - w for f, w in zip(frames, windows, strict=False)))
    return reel, Expected(
        frames=sum(frames) - sum(windows), fps=Fraction(fps), size=films.SIZE,
        scenes=(0, *(start + window // 2 for start, window in zip(starts, windows, strict=True))),
        windows=tuple((start, start + window) for start, window in zip(starts, windows, strict=True)),
    )


def good(folder: Path, lines: list[Path], seed: int) -> tuple[Path, Expected]:
    """A good film; whether it has speech, music or captions, its rate and its pictures follow from the seed."""
    fps = RATES[seed % 4]
    reel, pictures = spliced(folder, seed, fps)
    assert pictures.frames is not None
    seconds = pictures.frames / fps
    voices = [(line, start) for line, start in zip(lines, (0.3, seconds / 2 + 0.2), strict=True)][:seed % 3]
    bed = films.music(seconds, 0.02 if voices else 0.2, seed) if seed % 2 or not voices else None
    heard = bool(voices) or seed % 5 != 0
    sound = films.levelled(folder, seconds, voices, bed) if heard else np.zeros((round(seconds * 48000), 2), np.float32)
    cues = (Cue(text=films.TEXTS[0], start=0.3, end=2.8),) if seed % 4 == 1 else ()
    expected = Expected(
        frames=pictures.frames, fps=pictures.fps, size=pictures.size, scenes=pictures.scenes, windows=pictures.windows,
        voices=tuple(Voice(line, start) for line, start in voices), heard=heard, lufs=films.LUFS, true_peak_dbtp=-1,
        cues=cues,
    )
    return films.join(reel, sound, folder / "film.mp4"), expected


def nothing_found(path: Path, expected: Expected) -> None:
    assert [str(finding) for finding in examine(path, expected).findings] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_good_film_passes(tmp_path: Path, lines: list[Path], seed: int) -> None:
    nothing_found(*good(tmp_path, lines, seed))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4, 54))
def test_fifty_good_films_pass(tmp_path: Path, lines: list[Path], seed: int) -> None:
    nothing_found(*good(tmp_path, lines, seed))


@pytest.mark.slow
def test_what_the_placeholder_engine_shoots_and_lets_speak_passes(tmp_path: Path, lines: list[Path]) -> None:
    engine, made = PlaceholderEngine(), []
    for n, emotion in enumerate(("neutral", "sad")):
        folder = tmp_path / str(n)
        recipe = clip_recipe(engine.id, num_frames=72, emotion=emotion, intensity=0.1, seed=n, margin=False)
        assert isinstance(recipe, SegmentRecipe)
        shot = engine.shoot(recipe, room_with(folder / "shoot"))
        made.append(shot.files["main"])
        if n == 0:
            inputs = {named(name): shot.files[name] for name in ("main", "mouths")} | {named("line"): lines[0]}
            talk = LipsyncRecipe(
                engine=PlaceholderLipsync().id, clip=named("main"), mouths=named("mouths"),
                voices=(PlacedVoice(audio=named("line"), speaker=recipe.loras[0].name, start=0.2),),
            )
            made[0] = PlaceholderLipsync().sync(talk, room_with(folder / "sync", inputs)).files["main"]
    conformed = [
        clips.conform_clip(tmp_path / f"conform {n}", path, 90, 30, films.SIZE, *ends).files["main"]
        for n, (path, ends) in enumerate(zip(made, ((0, 15), (15, 0)), strict=True))
    ]
    recipe = clips.splice_recipe([90, 90], [(TransitionKind.FADE, 15)], 30)
    reel = splice(recipe, clips.room_in(tmp_path / "splice", *conformed)).files["main"]
    sound = films.levelled(tmp_path, 165 / 30, [(lines[0], 0.2)], films.music(165 / 30, 0.01))
    nothing_found(films.join(reel, sound, tmp_path / "film.mp4"), Expected(
        frames=165, fps=Fraction(30), size=films.SIZE, scenes=(0, 82), windows=((75, 90),),
        voices=(Voice(lines[0], 0.2),), lufs=films.LUFS, true_peak_dbtp=-1,
    ))
