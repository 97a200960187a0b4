"""callsheet's own way to a film: its stages, called with recipes, as a run calls them.

Production code does all the work; this file only writes the recipes and keeps what each stage made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

from bench.job import Job, Placed
from callsheet.cues import shifted
from callsheet.media.conform import conform
from callsheet.media.mix import mix
from callsheet.media.packets import inspect
from callsheet.media.reel import Clip, make_reel
from callsheet.media.runs import plan
from callsheet.media.splice import splice
from callsheet.models import CaptionMode, CaptionStyle, Cue, Ducking
from callsheet.presets import TransitionKind
from callsheet.recipe import Recipe, Ref, Stage, digest
from callsheet.recipes import (
    ConformRecipe,
    EncodeSettings,
    IntakeRecipe,
    Join,
    MixRecipe,
    PlacedEffect,
    PlacedVoice,
    SegmentRecipe,
    SpliceRecipe,
)
from callsheet.store.base import Outcome, Room

Timer = Callable[[str], None]
"""Called with the name of a step that has just ended."""

R = TypeVar("R", bound=Recipe)

STYLE = CaptionStyle(font_size=64)


class Bench:
    """A folder in which stages work, and the files that refs mean."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[Ref, Path] = {}
        self._rooms = 0

    def given(self, stage: Stage, name: str, path: str | Path) -> Ref:
        """A file that was there before, under a ref of its own, even where another ref means the same file."""
        ref = Ref(stage=stage, fingerprint=digest(name))
        self._files[ref] = Path(path)
        return ref

    def path_of(self, ref: Ref) -> Path:
        """The file that a ref means."""
        return self._files[ref]

    def work(self, stage: Callable[[R, Room], Outcome], recipe: R) -> Outcome:
        """Run one stage in a room of its own and keep what it made."""
        self._rooms += 1
        folder = self.folder / f"{recipe.stage}_{self._rooms}"
        folder.mkdir()
        outcome = stage(recipe, Room(folder, self.path_of, lambda ref: {}))
        for name, path in outcome.files.items():
            self._files[recipe.ref(name)] = path
        return outcome


def from_raw(job: Job, folder: Path, ended: Timer) -> Path:
    """Raw clips to film: every clip conformed, with its captions where they are burned; then spliced and mixed."""
    bench = Bench(folder)
    recipes = list(conform_recipes(job, bench))
    for recipe in recipes:
        bench.work(conform, recipe)
    ended("conform")
    return _finished(job, bench, [recipe.ref() for recipe in recipes], ended)


def from_conformed(job: Job, folder: Path, ended: Timer) -> Path:
    """Conformed clips to film: what a change of order, transition or sound costs."""
    bench = Bench(folder)
    clips = [bench.given(Stage.CONFORM, f"clip {n}", path) for n, path in enumerate(job.clips)]
    return _finished(job, bench, clips, ended)


def one_pass(job: Job, folder: Path, ended: Timer) -> Path:
    """Clips that cannot be copied, as callsheet joins them: every frame through the graph and encoded once."""
    bench, fps = Bench(folder), Fraction(job.fps)
    clips = [Clip(Path(path), f"clip {n}", inspect(Path(path), fps, f"clip {n}")) for n, path in enumerate(job.clips)]
    runs = plan([job.frames] * len(clips), joins(job), [()] * len(clips))
    reel, _ = make_reel(clips, runs, fps, settings(job), Room(folder, bench.path_of, lambda ref: {}))
    ended("encode")
    film = mixed(job, reel, bench)
    ended("mix")
    return film


def mixed(job: Job, reel: Path, bench: Bench) -> Path:
    """The film of a reel that another way made."""
    return bench.work(mix, mix_recipe(job, bench.given(Stage.SPLICE, "reel", reel), bench)).files["main"]


def _finished(job: Job, bench: Bench, clips: Sequence[Ref], ended: Timer) -> Path:
    recipe = splice_recipe(job, clips)
    bench.work(splice, recipe)
    ended("splice")
    film = bench.work(mix, mix_recipe(job, recipe.ref(), bench))
    ended("mix")
    return film.files["main"]


def conform_recipes(job: Job, bench: Bench, everywhere: bool = False) -> Iterator[ConformRecipe]:
    """One a clip. `everywhere` makes clips that can stand at any place of the film."""
    last = len(job.clips) - 1
    for n, path in enumerate(job.clips):
        start = n * job.step / job.fps
        cues = shifted(captions(job), start, start + job.frames / job.fps) if job.burned else ()
        yield ConformRecipe(
            clip=bench.given(SegmentRecipe.stage, f"clip {n}", path), label=f"clip {n}",
            width=job.width, height=job.height, fps=Fraction(job.fps), frames=job.frames,
            head=job.overlap if n or everywhere else 0, tail=job.overlap if n < last or everywhere else 0,
            encode=settings(job), cues=cues, style=STYLE if cues else None,
        )


def splice_recipe(job: Job, clips: Sequence[Ref]) -> SpliceRecipe:
    return SpliceRecipe(
        clips=tuple(clips), clip_frames=(job.frames,) * len(clips), joins=joins(job), fps=Fraction(job.fps),
        encode=settings(job),
    )


def mix_recipe(job: Job, reel: Ref, bench: Bench) -> MixRecipe:
    sounds = job.sounds

    def heard(name: str, sound: Placed) -> Ref:
        return bench.given(IntakeRecipe.stage, name, sound.path)

    return MixRecipe(
        reel=reel, seconds=job.seconds,
        voices=tuple(PlacedVoice(audio=heard(f"voice {n}", voice), speaker="anna", start=voice.start)
                     for n, voice in enumerate(sounds.voices)),
        music=heard("music", sounds.music), ducking=Ducking(base_volume=sounds.music.volume),
        ambience=heard("ambience", sounds.ambience), ambience_volume=sounds.ambience.volume,
        effects=tuple(PlacedEffect(audio=heard(f"effect {n}", effect), start=effect.start, volume=effect.volume)
                      for n, effect in enumerate(sounds.effects)),
        cues=captions(job), captions=CaptionMode.BURNED if job.burned else CaptionMode.BESIDE,
    )


def joins(job: Job) -> tuple[Join, ...]:
    kind = TransitionKind.CROSSFADE if job.overlap else TransitionKind.CUT
    return (Join(kind=kind, frames=job.overlap),) * (len(job.clips) - 1)


def captions(job: Job) -> tuple[Cue, ...]:
    return tuple(Cue(text=c.text, start=c.start, end=min(c.end, job.seconds)) for c in job.captions)


def settings(job: Job) -> EncodeSettings:
    return EncodeSettings(crf=job.crf, preset=job.preset)


def conform_all(job: Job, folder: Path, work: Path) -> tuple[Path, ...]:
    """Splice-ready clips of the job's raw ones in `folder`, each fit for any place of a film; made once for all."""
    made = tuple(folder / f"conformed_{n:02}.mp4" for n in range(len(job.clips)))
    for recipe, target in zip(conform_recipes(job, bench := Bench(work), everywhere=True), made, strict=True):
        if not target.exists():
            bench.work(conform, recipe).files["main"].replace(target)
    return made
