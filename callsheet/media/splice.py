"""All clips of a film as one silent reel: packets are copied, only transition windows are encoded.

The stage is strict: its clips have to be what the recipe says, conformed with key frames where their windows
begin and end, and the same parameter sets as all others. Clips from elsewhere are joined by joining.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from callsheet.errors import OrderInvalid, SceneTooShort
from callsheet.media.ffmpeg import ffmpeg_version
from callsheet.media.packets import inspect
from callsheet.media.reel import Clip, make_reel, same_sets, unfit
from callsheet.media.runs import Method, Run, copied_frames, encoded_frames, method, plan
from callsheet.presets import TransitionKind
from callsheet.recipes import SpliceRecipe
from callsheet.store.base import Outcome, Room


def splice(recipe: SpliceRecipe, room: Room) -> Outcome:
    """Join the clips. The reel has exactly sum(clip_frames) - sum(joins) frames, at even times from 0.

    Facts: method, reason, frames, frames_encoded, frames_copied, windows, duration in seconds, avcc.
    Raises OrderInvalid and SceneTooShort for a recipe that contradicts itself, and MediaError for clips
    that are not what the recipe says.
    """
    bodies = body_ranges(recipe)
    clips = _clips(recipe, room, bodies)
    runs = plan(recipe.clip_frames, recipe.joins, [clip.table.cuts for clip in clips])
    reel, table = make_reel(clips, runs, recipe.fps, recipe.encode, room)
    return Outcome(
        files={"main": reel},
        facts={
            "method": method(runs).value, "reason": _reason(runs), "frames": table.frames,
            "frames_encoded": encoded_frames(runs), "frames_copied": copied_frames(runs),
            "windows": sum(1 for join in recipe.joins if join.frames),
            "duration": float(table.frames / recipe.fps), "avcc": table.avcc,
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


def _clips(recipe: SpliceRecipe, room: Room, bodies: Sequence[tuple[int, int]]) -> list[Clip]:
    """The clips, checked against the recipe and each other."""
    clips: list[Clip] = []
    for n, (ref, frames, body) in enumerate(zip(recipe.clips, recipe.clip_frames, bodies, strict=True)):
        room.progress(0.1 * n / len(bodies), f"reading clip {n + 1} of {len(bodies)}")
        name = f"clip {n + 1}"
        path = room.fetch(ref)
        table = inspect(path, recipe.fps, name)
        if table.frames != frames:
            raise unfit(f"{name} has {table.frames} frames, not {frames}")
        for cut in body:
            if cut not in table.cuts:
                raise unfit(f"{name} cannot be cut before its frame {cut}: no key frame of a closed GOP is there")
        if clips:
            same_sets(table, name, clips[0].table, "clip 1")
        clips.append(Clip(path, name, table))
    return clips


def _reason(runs: Sequence[Run]) -> str:
    return {
        Method.COPY: "all clips have the same parameter sets and meet in hard cuts",
        Method.SMART: "all clips have the same parameter sets, with key frames at their transitions",
        Method.ONE_PASS: "no clip has a frame outside its transitions",
    }[method(runs)]
