"""A video from anywhere gets a sound of its own, by hand: no order, no store.

The pictures are copied where they can be; voices, music, ambience and effects are mixed as a film's are; captions
go along or are drawn in. Everything is checked before anything is written, and what is written appears when it is
whole. Covers the wish, its checks and what comes out; the door is doors/mix.py.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callsheet.errors import InputError, MediaUnreadable
from callsheet.keys import STEMS
from callsheet.media.caption_files import read_captions
from callsheet.media.ffmpeg import Command, local_input, run
from callsheet.media.mix import mix
from callsheet.media.publish import publish
from callsheet.media.rewrap import Rewrapped, Source, open_video, rewrap
from callsheet.models import CaptionMode, Cue, Ducking
from callsheet.presets import DEFAULT_PLATFORM, LOUDNESS, LoudnessTarget
from callsheet.recipe import Ref, Stage, digest
from callsheet.recipes import MixRecipe, PlacedEffect, PlacedVoice
from callsheet.store.base import Progress, Room, no_progress
from callsheet.textdata import require

SUFFIXES = (".mp4", ".m4v", ".mov")
OWN_SOUND = "the video's own sound"


@dataclass(frozen=True)
class Spot:
    """A sound file at a moment of the film."""

    path: Path
    seconds: float = 0.0
    volume: float = 1.0


@dataclass(frozen=True)
class Wish:
    """What is to be heard, seen and written."""

    voices: tuple[Spot, ...] = ()
    music: Path | None = None
    ambience: Path | None = None
    effects: tuple[Spot, ...] = ()
    ambience_volume: float = 0.1
    ducking: Ducking = field(default_factory=Ducking)
    loudness: LoudnessTarget = LOUDNESS[DEFAULT_PLATFORM]
    keep_sound: bool = False
    """The video's own sound stays, as one of the voices."""
    captions: Path | None = None
    burn: bool = False
    stems: Path | None = None
    """Folder for the stems."""

    @property
    def sounds(self) -> tuple[tuple[str, Path], ...]:
        """Every sound file, and what it is."""
        single = (("music", self.music), ("ambience", self.ambience))
        return (
            *(("voice", spot.path) for spot in self.voices), *((what, path) for what, path in single if path),
            *(("effect", spot.path) for spot in self.effects),
        )


@dataclass(frozen=True)
class Remixed:
    """What was written, and what is known about it."""

    path: Path
    facts: dict[str, Any]
    """JSON values: see `_facts`."""


def remix(
    video: Path, wish: Wish, output: Path, overwrite: bool = False, progress: Progress = no_progress
) -> Remixed:
    """Write `output`, captions beside it and stems, as wished.

    Raises InputError and its kinds for what cannot be done as asked, MediaError when ffmpeg fails.
    """
    targets = _targets(wish, output)
    _check(video, wish, output, targets, overwrite)
    cues = read_captions(wish.captions) if wish.captions else ()
    with tempfile.TemporaryDirectory(prefix=f".{output.stem[:60]}-", dir=output.parent.absolute()) as name:
        folder = Path(name)
        source = open_video(video, folder)
        _check_against(source, wish, video)
        cues, late = _shown(cues, float(source.footage.seconds), wish)
        own = () if not wish.keep_sound else (PlacedVoice(
            audio=_ref(source.path), speaker=OWN_SOUND, start=source.sound_offset or 0.0),)
        reel = rewrap(source, cues if wish.burn else (), folder, lambda share, what: progress(0.4 * share, what))
        recipe = _recipe(wish, own, cues, reel)
        paths = {_ref(path): path for path in (reel.path, source.path, *(path for _, path in wish.sounds))}
        with _named(source, video):
            made = mix(recipe, Room(folder, paths.__getitem__, lambda _: {},
                                    lambda share, what: progress(0.4 + 0.6 * share, what)))
        files = {**made.files, "main": _in_container(made.files["main"], output)}
        written = {kind: target for kind, target in targets.items() if kind in files}
        _publish([(files[kind], target) for kind, target in written.items()], overwrite)
    warnings = (*late, *reel.warnings, *made.warnings)
    return Remixed(output, _facts(wish, source, reel, made.facts, written, warnings))


def _targets(wish: Wish, output: Path) -> dict[str, Path]:
    """Where each artifact goes; the film comes last. The captions that were given stay where they are."""
    beside = {kind: output.with_suffix(f".{kind}") for kind in ("srt", "vtt") if wish.captions}
    beside = {kind: target for kind, target in beside.items() if wish.captions and not _same(target, wish.captions)}
    stems = {name: wish.stems / f"{name}.wav" for name in STEMS} if wish.stems else {}
    return {**beside, **stems, "main": output}


def _check(video: Path, wish: Wish, output: Path, targets: Mapping[str, Path], overwrite: bool) -> None:
    """What can be told without opening a file."""
    if output.suffix.lower() not in SUFFIXES:
        raise InputError(detail=f"{output} is no {', '.join(SUFFIXES)}", remedy="give --output another ending")
    if not output.parent.is_dir():
        raise InputError(detail=f"there is no folder {output.parent}", remedy="make it, or write somewhere else")
    for target in targets.values():
        _check_target(target, wish, overwrite)
    for folder in (output.parent, *((wish.stems,) if wish.stems else ())):
        _check_writable(folder)
    require(video, "video")
    for what, path in wish.sounds:
        require(path, what)
    if wish.burn and wish.captions is None:
        raise InputError(detail="--burn has nothing to draw", remedy="name a file with --captions")
    if not wish.sounds and not wish.captions and not wish.keep_sound:
        raise InputError(detail="there is nothing to mix", remedy="name a voice, music, ambience, effect or captions")


def _check_target(target: Path, wish: Wish, overwrite: bool) -> None:
    """It can be written, and nothing is lost by it that somebody wants to keep."""
    try:
        target.lstat()
    except FileNotFoundError:
        return
    except OSError as error:                           # a name too long, a file where a folder should be
        raise InputError(detail=f"{target} cannot be written ({error.strerror})", remedy="give another name") from error
    for what, path in (*wish.sounds, *((("captions", wish.captions),) if wish.captions else ())):
        if _same(target, path):
            raise InputError(detail=f"{target} would replace the {what} {path}", remedy="write somewhere else")
    if target.is_dir() or not overwrite:
        raise InputError(detail=f"{target} exists", remedy="give another name, or --overwrite")


def _check_writable(folder: Path) -> None:
    """Files can be made in it, or, where it is not there yet, in the nearest folder above it: tried, not guessed."""
    there = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    if not there.is_dir():
        raise InputError(detail=f"{there} is no folder", remedy="write somewhere else")
    try:
        with tempfile.TemporaryDirectory(prefix=".callsheet-", dir=there):
            pass
    except OSError as error:
        why = error.strerror or "not possible"
        raise InputError(detail=f"nothing can be written in {there} ({why})", remedy="write somewhere else") from error


def _check_against(source: Source, wish: Wish, video: Path) -> None:
    """What depends on the video."""
    if wish.keep_sound and source.sound_offset is None:
        raise InputError(detail=f"{video} has no sound to keep", remedy="leave --keep-sound out")
    if not wish.sounds and not wish.keep_sound and source.sound_offset is not None:
        raise InputError(detail="the film would lose its sound", remedy="add --keep-sound, or name another sound")
    seconds = float(source.footage.seconds)
    for what, spots in (("voice", wish.voices), ("effect", wish.effects)):
        for spot in spots:
            if spot.seconds >= seconds:
                raise InputError(
                    detail=f"{what} {spot.path} starts at {spot.seconds:g} s, but the video ends at {seconds:.2f} s",
                    remedy="let it start earlier",
                )


def _shown(cues: tuple[Cue, ...], seconds: float, wish: Wish) -> tuple[tuple[Cue, ...], tuple[str, ...]]:
    """The captions that are seen in a video so long, and a warning of those that are not."""
    inside = tuple(cue for cue in cues if cue.start < seconds)
    late, end = len(cues) - len(inside), f"after the end ({seconds:.2f} s)"
    if cues and not inside:
        detail = f"{wish.captions}: every caption starts {end}"
        raise InputError(detail=detail, remedy="check that they belong to this video")
    starts = "starts" if late == 1 else "start"
    return inside, ((f"{late} of {len(cues)} captions {starts} {end}: not shown",) if late else ())


@contextlib.contextmanager
def _named(source: Source, video: Path) -> Iterator[None]:
    """What is wrong with a copy of the video's streams is wrong with the video: nobody else knows the copy."""
    try:
        yield
    except MediaUnreadable as error:
        if error.facts["path"] != source.path.name:
            raise
        detail = str(error.facts["detail"]).replace(str(source.path), str(video))
        raise MediaUnreadable(path=video.name, kind=OWN_SOUND, detail=detail) from error


def _publish(files: Sequence[tuple[Path, Path]], overwrite: bool) -> None:
    """All of them, or, unless something was to be replaced, none."""
    with contextlib.ExitStack() as undo:
        for file, target in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            publish(file, target, overwrite)
            if not overwrite:
                undo.callback(target.unlink, missing_ok=True)
        undo.pop_all()


def _recipe(wish: Wish, own: tuple[PlacedVoice, ...], cues: tuple[Cue, ...], reel: Rewrapped) -> MixRecipe:
    mode = CaptionMode.OFF if not cues else CaptionMode.BURNED if wish.burn else CaptionMode.BESIDE
    return MixRecipe(
        reel=_ref(reel.path), seconds=reel.seconds,
        voices=(*own, *(PlacedVoice(audio=_ref(s.path), speaker=s.path.name, start=s.seconds) for s in wish.voices)),
        music=_ref(wish.music) if wish.music else None, ambience=_ref(wish.ambience) if wish.ambience else None,
        effects=tuple(PlacedEffect(audio=_ref(s.path), start=s.seconds, volume=s.volume) for s in wish.effects),
        ambience_volume=wish.ambience_volume, ducking=wish.ducking, loudness_lufs=wish.loudness.lufs,
        true_peak_dbtp=wish.loudness.true_peak_dbtp, cues=cues, captions=mode, language="und",
        stems=wish.stems is not None,
    )


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _ref(path: Path) -> Ref:
    return Ref(stage=Stage.INTAKE, fingerprint=digest(str(path.absolute())))


def _in_container(film: Path, output: Path) -> Path:
    """The film as it is, or, for a .mov, its streams copied into one."""
    if output.suffix.lower() != ".mov":
        return film
    out = film.with_suffix(".mov")
    run(Command(("-i", local_input(film), "-map", "0", "-c", "copy", "-movflags", "+faststart",
                 "-f", "mov", local_input(out)), what="write a .mov"))
    return out


def _facts(
    wish: Wish, source: Source, reel: Rewrapped, mixed: Mapping[str, Any], written: Mapping[str, Path],
    warnings: tuple[str, ...],
) -> dict[str, Any]:
    """The film, how its pictures came about, what its sound reached, and what a person should know."""
    ducked = wish.music is not None and mixed["speech_s"] > 0
    return {
        "output": str(written["main"]), "files": {kind: str(path) for kind, path in written.items()},
        "duration": mixed["duration"], "frames": mixed["frames"],
        "width": mixed["width"], "height": mixed["height"],
        "video": "copied" if reel.copied else "encoded", "why": reel.why,
        "own_sound": "none" if source.sound_offset is None else "kept" if wish.keep_sound else "replaced",
        "target_lufs": wish.loudness.lufs, "target_true_peak_dbtp": wish.loudness.true_peak_dbtp,
        "lufs": mixed["lufs"], "true_peak_dbtp": mixed["true_peak_dbtp"], "limited_db": mixed["limited_db"],
        "speech_s": mixed["speech_s"], "ducked_db": wish.ducking.duck_db if ducked else 0.0,
        "captions": mixed["cues"], "burned": wish.burn, "warnings": list(warnings),
    }
