"""All clips of a film as one silent reel: packets are copied, only transition windows are encoded.

Everything is planned in whole frames. The two halves of a window are copied out of their clips, mixed by
xfade, encoded like their neighbours, and put between the untouched bodies. Every clip has to be conformed
for this: key frames where its windows begin and end, the same parameter sets as all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from callsheet.errors import MediaError, OrderInvalid, SceneTooShort
from callsheet.media.encode import encode_timeout_s, tagged, ticks, timescale, x264_options
from callsheet.media.ffmpeg import Command, ffmpeg_version, local_input, run
from callsheet.media.packets import PacketTable, copier, inspect
from callsheet.media.transitions import XFADE
from callsheet.presets import TransitionKind
from callsheet.recipes import EncodeSettings, Join, SpliceRecipe
from callsheet.store.base import Outcome, Room

_REMEDY = "conform every clip of a film with the same size, rate and encode settings"


@dataclass(frozen=True)
class Piece:
    """Frames `first` to `end` (excluded) of a file, called `name` in errors."""

    path: Path
    first: int
    end: int
    name: str
    table: PacketTable


def splice(recipe: SpliceRecipe, room: Room) -> Outcome:
    """Join the clips. The reel has exactly sum(clip_frames) - sum(joins) frames, at even times from 0.

    Facts: frames, frames_encoded, frames_copied, windows, duration in seconds, avcc.
    Raises OrderInvalid and SceneTooShort for a recipe that contradicts itself, and MediaError for clips
    that are not what the recipe says.
    """
    bodies = body_ranges(recipe)
    clips = _clips(recipe, room, bodies)
    windows = {
        n: _window(recipe, n, clips[n], clips[n + 1], room)
        for n, join in enumerate(recipe.joins) if join.frames
    }
    pieces: list[Piece] = []
    for n, clip in enumerate(clips):
        pieces.append(clip)
        if n in windows:
            pieces.append(windows[n])
    reel = room.path("reel.mp4")
    frames = sum(recipe.clip_frames) - sum(join.frames for join in recipe.joins)
    _write(pieces, reel, recipe.fps, frames)
    encoded = sum(join.frames for join in recipe.joins)
    return Outcome(
        files={"main": reel},
        facts={
            "frames": frames, "frames_encoded": encoded, "frames_copied": frames - encoded,
            "windows": len(windows), "duration": float(frames / recipe.fps), "avcc": clips[0].table.avcc,
        },
        made_by=f"ffmpeg {ffmpeg_version()}",
    )


def body_ranges(recipe: SpliceRecipe) -> tuple[tuple[int, int], ...]:
    """For each clip, the frames between its transition windows: first, and end (excluded); may be empty.

    Raises OrderInvalid, SceneTooShort.
    """
    title = recipe.label or "of the reel"
    clips, joins = len(recipe.clips), recipe.joins
    if len(recipe.clip_frames) != clips or len(joins) != clips - 1:
        raise OrderInvalid(
            title=title, remedy="give one length a clip and one join between neighbours",
            detail=f"{clips} clips, but {len(recipe.clip_frames)} lengths and {len(joins)} joins",
        )
    for n, join in enumerate(joins, start=1):
        if join.kind is TransitionKind.CUT and join.frames:
            raise OrderInvalid(title=title, detail=f"join {n} is a cut but lasts {join.frames} frames",
                               remedy="give a cut no frames, or choose a transition")
    overlaps = (0, *(join.frames for join in joins), 0)
    ranges = []
    for n, frames in enumerate(recipe.clip_frames):
        head, tail = overlaps[n], overlaps[n + 1]
        if frames < 1 or head + tail > frames:
            raise SceneTooShort(
                scene=f"of clip {n + 1}", seconds=f"{float(frames / recipe.fps):.3f}", reason="transitions",
                needed=f"{float(max(1, head + tail) / recipe.fps):.3f}",
            )
        ranges.append((head, frames - tail))
    return tuple(ranges)


def window_command(
    join: Join, fps: Fraction, encode: EncodeSettings, size: tuple[int, int], tail: Path, head: Path, target: Path
) -> Command:
    """Mix `join.frames` frames of `tail` into as many of `head`, encoded like a conformed clip.

    `size` is width and height in pixels. Frame j of n is mixed (j + 1/2) / n, so that both ends differ from
    a cut and the change is symmetric.
    """
    import ffmpeg

    def on_the_clock(path: Path) -> object:           # a clock that can tell half a frame, for the offset
        clock = f"1/{timescale(fps)}"
        stream = ffmpeg.input(local_input(path))["v:0"].filter("settb", clock).filter("setpts", f"N*{ticks(fps)}")
        return stream.filter("fps", str(fps)).filter("settb", clock)

    frame = 1 / fps
    mixed = ffmpeg.filter(
        [on_the_clock(tail), on_the_clock(head)], "xfade", transition=XFADE[join.kind],
        duration=f"{float(join.frames * frame):.6f}", offset=f"{float(-frame / 2):.6f}",
    )
    if join.kind is TransitionKind.FADE:              # xfade's black is 0; in limited range it is 16
        mixed = mixed.filter("limiter", min=16, planes=1)
    options = x264_options(encode, *size, fps)
    mixed = mixed.filter("settb", f"{fps.denominator}/{fps.numerator}")
    arguments = ffmpeg.get_args(tagged(mixed).output(local_input(target), **options))
    return Command(
        tuple(arguments), what=f"make a {join.kind} of {join.frames} frames",
        timeout_s=encode_timeout_s(join.frames, *size),
    )


def _clips(recipe: SpliceRecipe, room: Room, bodies: Sequence[tuple[int, int]]) -> list[Piece]:
    """The clips with the range of their bodies, checked against the recipe and each other."""
    pieces: list[Piece] = []
    for n, (ref, frames, (first, end)) in enumerate(zip(recipe.clips, recipe.clip_frames, bodies, strict=True)):
        room.progress(0.1 * n / len(bodies), f"reading clip {n + 1} of {len(bodies)}")
        name = f"clip {n + 1}"
        path = room.fetch(ref)
        table = inspect(path, recipe.fps, name)
        if table.frames != frames:
            raise _unfit(f"{name} has {table.frames} frames, not {frames}")
        for cut in (first, end):
            if cut not in table.cuts:
                raise _unfit(f"{name} cannot be cut before its frame {cut}: no key frame of a closed GOP is there")
        if pieces:
            _same_sets(table, name, pieces[0].table, "clip 1")
        pieces.append(Piece(path, first, end, name, table))
    return pieces


def _window(recipe: SpliceRecipe, n: int, before: Piece, after: Piece, room: Room) -> Piece:
    """Encode the transition between clip n and the next."""
    join, name = recipe.joins[n], f"transition {n + 1}"
    room.progress(0.1 + 0.8 * n / len(recipe.joins), f"{name} of {len(recipe.joins)}")
    tail, head, made = (room.path(f"{part}_{n:04}.mp4") for part in ("tail", "head", "window"))
    with copier(tail, before.path, recipe.fps, before.table.delay) as half:
        half.copy(before.path, before.end, before.table.frames, before.name)
    with copier(head, after.path, recipe.fps, after.table.delay) as half:
        half.copy(after.path, 0, after.first, after.name)
    size = before.table.width, before.table.height
    run(window_command(join, recipe.fps, recipe.encode, size, tail, head, made))
    tail.unlink()
    head.unlink()
    table = inspect(made, recipe.fps, name)
    if table.frames != join.frames:
        raise MediaError(what=f"make {name}", detail=f"{table.frames} frames came out, not {join.frames}")
    _same_sets(before.table, before.name, table, "a window encoded as the recipe says")
    return Piece(made, 0, join.frames, name, table)


def _write(pieces: Sequence[Piece], reel: Path, fps: Fraction, frames: int) -> None:
    """Copy all pieces into one file and check its packets."""
    delay = max(piece.table.delay for piece in pieces)
    with copier(reel, pieces[0].path, fps, delay) as out:
        for piece in pieces:
            out.copy(piece.path, piece.first, piece.end, piece.name)
    table = inspect(reel, fps, "the reel")
    if table.frames != frames or not table.even or table.avcc != pieces[0].table.avcc:
        raise MediaError(
            what="write the reel",
            detail=f"{table.frames} frames for {frames}, even times {table.even}, one avcC "
                   f"{table.avcc == pieces[0].table.avcc}",
        )


def _same_sets(table: PacketTable, name: str, other: PacketTable, other_name: str) -> None:
    if table.avcc != other.avcc:
        raise _unfit(
            f"{name} ({table.width}x{table.height}, avcC {table.avcc[:12]}) was encoded with other settings than "
            f"{other_name} ({other.width}x{other.height}, avcC {other.avcc[:12]})"
        )


def _unfit(detail: str) -> MediaError:
    return MediaError(what="splice the clips", detail=detail, remedy=_REMEDY)
