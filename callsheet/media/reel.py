"""Planned runs become a file: encoded ones through their graphs, then all packets are copied into one track.

Nothing is taken on trust: what was encoded has to have the planned frames and the parameter sets of what is
copied, and so has the reel. Decides nothing: runs.py plans, graph.py has the commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from callsheet.errors import MediaError
from callsheet.media.ffmpeg import run
from callsheet.media.graph import Strip, run_command
from callsheet.media.packets import PacketTable, copier, inspect
from callsheet.media.runs import Encoded, Run, Span
from callsheet.recipes import EncodeSettings, Join
from callsheet.store.base import Room

REMEDY = "conform every clip of a film with the same size, rate and encode settings"


@dataclass(frozen=True)
class Clip:
    """A file that a reel is made of, called `name` in errors."""

    path: Path
    name: str
    table: PacketTable
    foreign_colour: bool = False
    """Whether its colours have to be brought to bt709 and its range where it is encoded."""


@dataclass(frozen=True)
class _Piece:
    """Frames `first` to `end` (excluded) of a clip, ready to be copied."""

    clip: Clip
    first: int
    end: int


def make_reel(
    clips: Sequence[Clip], runs: Sequence[Run], fps: Fraction, encode: EncodeSettings, room: Room,
    share: tuple[float, float] = (0.1, 0.9),
) -> tuple[Path, PacketTable]:
    """Encode and copy the runs into `reel.mp4` of the room; its index comes first.

    Encoded runs are told as progress between the two numbers of `share`. Raises MediaError when clips and
    encoded runs do not have the same parameter sets, or a run or the reel has not the planned frames.
    """
    pieces: list[_Piece] = []
    encoded = [part for part in runs if isinstance(part, Encoded)]
    done, whole = 0, sum(part.frames for part in encoded)
    for number, part in enumerate(runs):
        if isinstance(part, Encoded):
            room.progress(share[0] + (share[1] - share[0]) * done / whole, _words(part.joins, part.frames))
            pieces.append(_encode(part, number, clips, fps, encode, room))
            done += part.frames
        else:
            pieces.append(_Piece(clips[part.span.clip], part.span.first, part.span.end))
    _check_alike(pieces, runs)
    room.progress(share[1], "copying")
    reel = room.path("reel.mp4")
    table = _write(pieces, reel, fps, sum(part.frames for part in runs))
    for piece, part in zip(pieces, runs, strict=True):
        if isinstance(part, Encoded):
            piece.clip.path.unlink()
    return reel, table


def same_sets(table: PacketTable, name: str, other: PacketTable, other_name: str) -> None:
    """Raise MediaError, naming both, unless they can share a track."""
    if table.avcc != other.avcc:
        raise unfit(
            f"{name} ({table.width}x{table.height}, avcC {table.avcc[:12]}) was encoded with other settings than "
            f"{other_name} ({other.width}x{other.height}, avcC {other.avcc[:12]})"
        )


def unfit(detail: str) -> MediaError:
    return MediaError(what="splice the clips", detail=detail, remedy=REMEDY)


def _encode(
    part: Encoded, number: int, clips: Sequence[Clip], fps: Fraction, encode: EncodeSettings, room: Room
) -> _Piece:
    made, name = room.path(f"run_{number:04}.mp4"), _words(part.joins, part.frames)
    strips = [_strip(clips[span.clip], span, fps, room.path(f"strip_{n:04}.mp4")) for n, span in enumerate(part.spans)]
    first = clips[part.spans[0].clip].table
    run(run_command(strips, part.joins, fps, encode, (first.width, first.height), made))
    for n in range(len(strips)):
        room.path(f"strip_{n:04}.mp4").unlink(missing_ok=True)
    table = inspect(made, fps, name)
    if table.frames != part.frames:
        raise MediaError(what=f"encode {name}", detail=f"{table.frames} frames came out, not {part.frames}")
    return _Piece(Clip(made, name, table), 0, part.frames)


def _strip(clip: Clip, span: Span, fps: Fraction, excerpt: Path) -> Strip:
    """The span as a file to decode: the clip, or packets from its last cut before the span, so that no more than
    a GOP is decoded in vain."""
    cuts = clip.table.cuts
    start = max((cut for cut in cuts if cut <= span.first), default=0)
    if start == 0 or clip.table.obstacle:
        return Strip(clip.path, span.first, span.end, clip.foreign_colour)
    with copier(excerpt, clip.path, fps, clip.table.delay) as out:
        out.copy(clip.path, start, min(cut for cut in cuts if cut >= span.end), clip.name)
    return Strip(excerpt, span.first - start, span.end - start, clip.foreign_colour)


def _check_alike(pieces: Sequence[_Piece], runs: Sequence[Run]) -> None:
    """Copied clips first, so that a mismatch names one of them and not what was encoded to fit."""
    copied = [piece.clip for piece, part in zip(pieces, runs, strict=True) if not isinstance(part, Encoded)]
    made = [piece.clip for piece, part in zip(pieces, runs, strict=True) if isinstance(part, Encoded)]
    for clip in copied[1:]:
        same_sets(clip.table, clip.name, copied[0].table, copied[0].name)
    for clip in made:
        if copied:
            same_sets(copied[0].table, copied[0].name, clip.table, "a window encoded as the recipe says")
        else:
            same_sets(clip.table, clip.name, made[0].table, made[0].name)


def _write(pieces: Sequence[_Piece], reel: Path, fps: Fraction, frames: int) -> PacketTable:
    """Copy all pieces into one file and check its packets."""
    with copier(reel, pieces[0].clip.path, fps, max(piece.clip.table.delay for piece in pieces)) as out:
        for piece in pieces:
            out.copy(piece.clip.path, piece.first, piece.end, piece.clip.name)
    table = inspect(reel, fps, "the reel")
    if table.frames != frames or not table.even or table.avcc != pieces[0].clip.table.avcc:
        raise MediaError(
            what="write the reel",
            detail=f"{table.frames} frames for {frames}, even times {table.even}, one avcC "
                   f"{table.avcc == pieces[0].clip.table.avcc}",
        )
    return table


def _words(joins: Sequence[Join], frames: int) -> str:
    count = sum(1 for join in joins if join.frames)
    return f"{frames} frames with {count} transition{'' if count == 1 else 's'}"
