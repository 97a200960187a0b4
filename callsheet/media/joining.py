"""Any clips as one film, by hand: what they are decides how they are joined, and the result says so.

Clips with equal parameter sets that meet in hard cuts are copied. Where pictures are mixed, clips that our own
encoder could have made are copied around the windows. Clips that fit but were encoded elsewhere go through one
pass; what does not fit (size, rate, pixels, a still) is conformed first. choosing.py decides; this does it.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from callsheet.errors import InputError, MediaError
from callsheet.media.choosing import Choice, Wish, choose, lengths_of, target_of, windows_of
from callsheet.media.conform import conform
from callsheet.media.ffmpeg import end_programs, run
from callsheet.media.footage import Footage, look_at
from callsheet.media.joined_sound import Heard, film_command, places, write_sound
from callsheet.media.packets import PacketTable, inspect
from callsheet.media.probe import probe
from callsheet.media.publish import publish
from callsheet.media.reasons import warnings
from callsheet.media.reel import Clip, make_reel
from callsheet.media.runs import Copied, copied_frames, encoded_frames
from callsheet.media.sound import RATE
from callsheet.recipe import Ref, Stage
from callsheet.recipes import ConformRecipe, Join
from callsheet.store.base import Progress, Room, no_progress

_SIDE_BY_SIDE = 2
"""Clips that are conformed at a time: an encoder uses several cores, but not all of them all the time."""
_AAC_FRAME = 1024
_PATIENCE_S = 0.05


@dataclass(frozen=True)
class Film:
    """What was joined, and how."""

    path: Path
    facts: dict[str, Any]
    """JSON values: method, reason, frames, frames_encoded (conforming included), frames_conformed, frames_copied
    (packets of the files given), windows, duration in seconds, fps, width, height, sound, avcc, warnings, and what
    became of each clip."""


def join(
    paths: Sequence[Path], wish: Wish, output: Path, overwrite: bool = False, progress: Progress = no_progress
) -> Film:
    """Join clips to `output`, which appears when it is whole. Everything is checked before anything is written.

    Raises InputError and its kinds for what cannot be joined as asked, MediaError when ffmpeg fails.
    """
    _check_output(output, overwrite)
    footage = []
    for n, path in enumerate(paths):
        named = path.name.encode(errors="backslashreplace").decode()      # what cannot be printed is shown as numbers
        progress(0.1 * n / len(paths), f"reading {named}")
        footage.append(look_at(path.absolute(), f"clip {n + 1} ({named})"))
    size, fps = target_of(footage, wish)
    lengths = lengths_of(footage, wish, size, fps)
    joins = windows_of(wish, footage, lengths, fps)
    choice = choose(footage, lengths, joins, wish, size, fps)
    with tempfile.TemporaryDirectory(prefix=".callsheet-", dir=output.absolute().parent) as folder:
        room = Room(Path(folder), _no_refs, _no_facts, progress)
        sound, heard = _sound(footage, lengths, joins, fps, room)         # first: what is damaged is found soonest
        clips = _clips(footage, lengths, joins, choice, room)
        reel, table = make_reel(clips, choice.runs, fps, choice.encode, room, (0.5, 0.9))
        film = _with_sound(reel, sound, fps, room)
        _verify(film, table, fps, heard)
        publish(film, output, overwrite)
    return Film(output, _facts(footage, paths, lengths, joins, choice, table, heard))


def _check_output(output: Path, overwrite: bool) -> None:
    if output.suffix.lower() != ".mp4":
        raise InputError(detail=f"{output} is no .mp4", remedy="give --output a name that ends with .mp4")
    if not output.parent.is_dir():
        raise InputError(detail=f"there is no folder {output.parent}", remedy="make it, or write somewhere else")
    try:
        fits = len(output.name.encode()) <= os.pathconf(output.parent, "PC_NAME_MAX")
    except UnicodeEncodeError:
        raise InputError(detail="the name of the output is not UTF-8", remedy="give another name") from None
    if not fits:
        raise InputError(detail="the name of the output is too long", remedy="give a shorter one")
    if output.is_dir() or (output.exists() and not overwrite):
        raise InputError(detail=f"{output} exists", remedy="give another name, or --overwrite")


def _clips(
    footage: Sequence[Footage], lengths: Sequence[int], joins: Sequence[Join], choice: Choice, room: Room
) -> list[Clip]:
    """The clips as the reel is made of them; those that have to be are conformed, each once and side by side."""
    done = 0

    def conformed(n: int) -> Clip:
        nonlocal done
        recipe = ConformRecipe(
            label=footage[n].name, clip=Ref(stage=Stage.INTAKE, fingerprint="0" * 64), width=choice.size[0],
            height=choice.size[1], fps=choice.fps, frames=lengths[n], encode=choice.encode,
            head=joins[n - 1].frames if n else 0, tail=joins[n].frames if n < len(joins) else 0,
        )
        folder = room.path(f"conform_{n:04}")
        folder.mkdir()
        made = conform(recipe, Room(folder, lambda ref: footage[n].path, _no_facts)).files["main"]
        done += 1
        room.progress(0.1 + 0.4 * done / len(choice.conformed), f"conformed {done} of {len(choice.conformed)} clips")
        return Clip(made, footage[n].name, inspect(made, choice.fps, footage[n].name))

    threads: list[int] = []
    with ThreadPoolExecutor(_SIDE_BY_SIDE, initializer=lambda: threads.append(threading.get_ident())) as pool:
        waiting = {n: pool.submit(conformed, n) for n in sorted(choice.conformed)}
        try:
            made = {n: future.result() for n, future in waiting.items()}
        except BaseException:                         # nobody waits for encodes whose film will not be
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(future.done() for future in waiting.values()):
                end_programs(threads)
                time.sleep(_PATIENCE_S)
            raise
    return [made[n] if n in made else _as_it_is(clip) for n, clip in enumerate(footage)]


def _as_it_is(clip: Footage) -> Clip:
    assert clip.table is not None                     # else it would be conformed
    return Clip(clip.path, clip.name, clip.table, clip.foreign_colour)


def _sound(
    footage: Sequence[Footage], lengths: Sequence[int], joins: Sequence[Join], fps: Fraction, room: Room
) -> tuple[Path | None, float]:
    """The sound of the film and its seconds; None and 0 when no clip has any."""
    if not any(clip.channels for clip in footage):
        return None, 0.0
    room.progress(0.1, "joining the sound")
    sound = room.path("sound.mp4")
    ranges = places(lengths, [join.frames for join in joins], fps)
    write_sound([
        Heard(clip.path, clip.name, clip.channels, clip.sound_skip, first, end)
        for clip, (first, end) in zip(footage, ranges, strict=True)
    ], sound)
    return sound, ranges[-1][1] / RATE


def _with_sound(reel: Path, sound: Path | None, fps: Fraction, room: Room) -> Path:
    """The film: the reel itself when no clip has sound."""
    if sound is None:
        return reel
    room.progress(0.95, "joining pictures and sound")
    film = room.path("film.mp4")
    run(film_command(reel, sound, film, fps))
    return film


def _verify(film: Path, reel: PacketTable, fps: Fraction, heard: float) -> None:
    """What is published is what was planned: nothing is taken on trust from the muxer."""
    table, sound = inspect(film, fps, "the film"), probe(film).audio_duration
    if table != reel:
        detail = f"{table.frames} of {reel.frames} frames, even times {table.even}"
        raise MediaError(what="join pictures and sound", detail=detail)
    if abs(sound - heard) > _AAC_FRAME / RATE:
        raise MediaError(what="join pictures and sound", detail=f"the sound lasts {sound:.3f}, not {heard:.3f} s")


def _facts(
    footage: Sequence[Footage], paths: Sequence[Path], lengths: Sequence[int], joins: Sequence[Join], choice: Choice,
    table: PacketTable, heard: float,
) -> dict[str, Any]:
    given = [run for run in choice.runs if isinstance(run, Copied) and run.span.clip not in choice.conformed]
    conformed = sum(lengths[n] for n in choice.conformed)
    return {
        "method": choice.method.value, "reason": choice.reason, "frames": table.frames,
        "frames_encoded": encoded_frames(choice.runs) + conformed, "frames_conformed": conformed,
        "frames_copied": copied_frames(given), "windows": sum(1 for join in joins if join.frames),
        "duration": float(table.frames / choice.fps), "fps": str(choice.fps), "width": table.width,
        "height": table.height, "sound": heard > 0, "avcc": table.avcc,
        "warnings": warnings(footage, choice.treatments),
        "clips": [
            {"path": str(path), "frames": length, "treatment": word, "reason": why}
            for path, length, (word, why) in zip(paths, lengths, choice.treatments, strict=True)
        ],
    }


def _no_refs(ref: Ref) -> Path:
    raise AssertionError(f"{ref.stage}: clips by hand are given as paths")


def _no_facts(ref: Ref) -> dict[str, Any]:
    return {}
