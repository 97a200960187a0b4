"""How clips from anywhere are to be joined: size, rate, windows, what is copied, what is encoded, and why.

Pure but for one thing: to know which clips our encoder could have made, it may encode a black frame (recognise.py).
The choice with the fewest encoded frames is taken. One pass over clips that fit never encodes more than conforming
them first would: that encodes every frame of theirs too, and then the windows again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import TypeVar

from callsheet.errors import ClipTooShort, InputError
from callsheet.media.footage import Footage, rate_word
from callsheet.media.reasons import copied_reason, reason
from callsheet.media.recognise import own_sets
from callsheet.media.runs import Copied, Encoded, Method, Run, encoded_frames, method, plan
from callsheet.presets import ENCODE, Quality, TransitionKind
from callsheet.recipes import EncodeSettings, Join


@dataclass(frozen=True)
class Wish:
    """What a person asked for. Sizes in pixels, seconds, frames a second."""

    transitions: tuple[TransitionKind, ...] = ()
    """Between neighbours: none for hard cuts, one for all, or one a joint."""
    seconds: tuple[float, ...] = ()
    """Of each transition: none for half a second, one for all, or one a joint."""
    size: tuple[int, int] | None = None
    """None for the first clip's own, upright and with square pixels."""
    fps: Fraction | None = None
    """None for the highest of the clips."""
    quality: Quality = Quality.STANDARD
    still_seconds: float = 5.0
    """How long a picture is shown."""


DEFAULT_SECONDS = 0.5
MOST_SECONDS = 3600
"""Of a transition or a picture."""

PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo",
)
"""From the fastest to the best."""

DEFAULT_RATE = Fraction(30)
"""Where all clips are stills."""


@dataclass(frozen=True)
class Choice:
    """The runs, and what has to be done first."""

    runs: tuple[Run, ...]
    encode: EncodeSettings
    """Of everything that is encoded."""
    size: tuple[int, int]
    fps: Fraction
    method: Method
    reason: str
    conformed: frozenset[int] = frozenset()
    """Clips to conform first."""
    treatments: tuple[tuple[str, str], ...] = field(default=())
    """For each clip copied, encoded or conformed, and why."""


def target_of(footage: Sequence[Footage], wish: Wish) -> tuple[tuple[int, int], Fraction]:
    """Size and rate of the film. Raises InputError for a size that no film can have."""
    size = wish.size or (footage[0].size if _alike(footage, wish) else footage[0].shown)
    if any(side < 16 or side > 7680 or side % 2 for side in size):
        raise InputError(detail=f"a film cannot be {size[0]}x{size[1]}",
                         remedy="give --size even numbers from 16 to 7680, such as 1920x1080")
    return size, wish.fps or max((clip.rate for clip in footage if not clip.still), default=DEFAULT_RATE)


def lengths_of(
    footage: Sequence[Footage], wish: Wish, size: tuple[int, int], fps: Fraction
) -> list[int]:
    """Frames of each clip at that rate; at least one. Raises InputError."""
    if not 0 < wish.still_seconds <= MOST_SECONDS:    # refuses what is no number, too
        raise InputError(detail=f"a picture cannot be shown for {wish.still_seconds:g} s",
                         remedy="give --still-seconds such as 5")
    return [
        max(1, round(Fraction(wish.still_seconds) * fps)) if clip.still
        else clip.frames if clip.table is not None and clip.rate == fps
        else max(1, round(clip.seconds * fps))
        for clip in footage
    ]


def windows_of(wish: Wish, footage: Sequence[Footage], lengths: Sequence[int], fps: Fraction) -> list[Join]:
    """The joins in whole frames, checked against the clips. Raises InputError, ClipTooShort."""
    joints = len(lengths) - 1
    kinds = _each(wish.transitions, TransitionKind.CUT, joints, "--transition")
    if wish.seconds and all(kind is TransitionKind.CUT for kind in kinds):
        raise InputError(detail="--seconds is given, but a cut has no length", remedy="give a --transition as well")
    joins = [
        Join(kind=kind, frames=0 if kind is TransitionKind.CUT else _window(seconds, fps))
        for kind, seconds in zip(kinds, _each(wish.seconds, DEFAULT_SECONDS, joints, "--seconds"), strict=True)
    ]
    for clip, length, (head, tail) in zip(footage, lengths, _around(joins), strict=True):
        if head + tail > length:
            most = math.floor(length / (bool(head) + bool(tail)) / fps * 1000) / 1000
            raise ClipTooShort(
                clip=clip.name, seconds=f"{float(length / fps):.3f}", needed=f"{float((head + tail) / fps):.3f}",
                most=f"{most:.3f}",
            )
    return joins


def choose(
    footage: Sequence[Footage], lengths: Sequence[int], joins: Sequence[Join], wish: Wish, size: tuple[int, int],
    fps: Fraction,
) -> Choice:
    """The way that encodes the fewest frames. Raises MediaError when a black frame cannot be encoded."""
    profile = ENCODE[wish.quality]
    asked = EncodeSettings(crf=profile.crf, preset=profile.preset)
    if not any(join.frames for join in joins) and _alike(footage, wish) and {clip.rate for clip in footage} == {fps}:
        runs = plan(lengths, joins, [clip.table.cuts if clip.table else () for clip in footage])
        return Choice(
            runs, asked, size, fps, Method.COPY, copied_reason(len(footage)),
            treatments=tuple(("copied", "") for _ in footage),
        )
    misfits = [clip.misfit(size, fps) for clip in footage]
    conformed = frozenset(n for n, why in enumerate(misfits) if why)
    ways = [
        _way(footage, lengths, joins, conformed, encode, own_sets(encode, *size, fps))
        for encode in _candidates(footage, conformed, asked, size, fps)
    ]
    way = _best(ways, sum(lengths[n] for n in conformed))
    why = reason(misfits, way.foreign, way.encode.preset, asked.preset, encoded_frames(way.runs),
                 _conforming_first(way, lengths, joins))
    return Choice(way.runs, way.encode, size, fps, _method(way.runs, conformed), why, conformed,
                  _treatments(way.runs, misfits, way.foreign))


def _best(ways: Sequence[_Way], conforming: int) -> _Way:
    """The one that encodes the fewest frames, and of equals the first: what was asked for.

    A preset faster than that makes worse pictures: it has to save half of the frames.
    """
    asked = ways[0]
    least, most = PRESETS.index(asked.encode.preset), conforming + encoded_frames(asked.runs)
    return min(
        (way for way in ways if PRESETS.index(way.encode.preset) >= least
         or 2 * (conforming + encoded_frames(way.runs)) <= most),
        key=lambda way: encoded_frames(way.runs),
    )


def _method(runs: Sequence[Run], conformed: Collection[int]) -> Method:
    """By what becomes of the clips as they were given: conforming encodes, too."""
    if not conformed:
        return method(runs)
    again = any(span.clip in conformed for run in runs if isinstance(run, Encoded) for span in run.spans)
    given = any(run.span.clip not in conformed for run in runs if isinstance(run, Copied))
    return Method.SMART if again or given else Method.ONE_PASS


@dataclass(frozen=True)
class _Way:
    """How the clips would be joined with these settings."""

    encode: EncodeSettings
    runs: tuple[Run, ...]
    foreign: tuple[str, ...]
    """For each clip that fits why it cannot be copied; empty for the others."""
    cuts: tuple[Collection[int], ...]


def _way(
    footage: Sequence[Footage], lengths: Sequence[int], joins: Sequence[Join], conformed: frozenset[int],
    encode: EncodeSettings, own: str,
) -> _Way:
    foreign = tuple("" if n in conformed else _foreign(clip, own) for n, clip in enumerate(footage))
    cuts = tuple(
        {head, length - tail} if n in conformed else () if foreign[n] or clip.table is None else clip.table.cuts
        for n, (clip, length, (head, tail)) in enumerate(zip(footage, lengths, _around(joins), strict=True))
    )
    return _Way(encode, plan(lengths, joins, cuts), foreign, cuts)


def _alike(footage: Sequence[Footage], wish: Wish) -> bool:
    """Whether all packets could share one track as they are, whatever their pictures look like."""
    first = footage[0]
    return wish.size in (None, first.size) and all(
        clip.table is not None and clip.table.avcc != "" and clip.rotation % 360 == 0
        and not clip.mirrored and clip.table.avcc == (first.table.avcc if first.table else "")
        and (clip.pixels, clip.matrix, clip.full_range) == (first.pixels, first.matrix, first.full_range)
        for clip in footage
    )


def _candidates(
    footage: Sequence[Footage], conformed: frozenset[int], asked: EncodeSettings, size: tuple[int, int], fps: Fraction
) -> list[EncodeSettings]:
    """The settings asked for, and those of other presets when a clip may have been made with one."""
    sets = {clip.table.avcc for n, clip in enumerate(footage) if n not in conformed and clip.table}
    if sets <= {"", own_sets(asked, *size, fps)}:
        return [asked]
    presets = dict.fromkeys((asked.preset, *(profile.preset for profile in ENCODE.values())))
    return [EncodeSettings(crf=asked.crf, preset=preset) for preset in presets]


def _foreign(clip: Footage, own: str) -> str:
    """Why a clip that fits cannot be copied."""
    assert clip.table is not None
    return (
        clip.table.obstacle
        or ("has colours of full range" if clip.full_range else "")
        or ("" if clip.table.avcc == own else "was encoded elsewhere, or with other settings")
    )


def _treatments(runs: Sequence[Run], misfits: Sequence[str], foreign: Sequence[str]) -> tuple[tuple[str, str], ...]:
    copied = {run.span.clip for run in runs if isinstance(run, Copied)}
    return tuple(
        ("conformed", why) if why
        else ("copied", "") if n in copied
        else ("encoded", foreign[n] or "lies in transitions altogether, or has no key frame outside them")
        for n, why in enumerate(misfits)
    )


def _conforming_first(way: _Way, lengths: Sequence[int], joins: Sequence[Join]) -> int:
    """Frames that would be encoded if what cannot be copied were conformed too, with cuts at its windows."""
    made = [
        {head, length - tail} if why else cut
        for why, cut, length, (head, tail) in zip(way.foreign, way.cuts, lengths, _around(joins), strict=True)
    ]
    conforming = sum(length for why, length in zip(way.foreign, lengths, strict=True) if why)
    return conforming + encoded_frames(plan(lengths, joins, made))


T = TypeVar("T")


def _each(given: Sequence[T], default: T, joints: int, option: str) -> list[T]:
    """One value a joint. Raises InputError."""
    if given and joints == 0:
        raise InputError(detail=f"{option} is given, but one clip has no joint", remedy="name another clip")
    if len(given) in (0, 1):
        return [given[0] if given else default] * joints
    if len(given) != joints:
        raise InputError(detail=f"{len(given)} times {option} for {joints} joints between {joints + 1} clips",
                         remedy=f"give {option} once for all joints, or {joints} times")
    return list(given)


def _window(seconds: float, fps: Fraction) -> int:
    """The whole number of frames next to so many seconds. Raises InputError."""
    if not 0 < seconds <= MOST_SECONDS:               # refuses what is no number, too
        raise InputError(detail=f"a transition cannot last {seconds:g} s", remedy="give --seconds such as 0.5")
    frames = round(Fraction(seconds) * fps)
    if not frames:
        raise InputError(detail=f"{seconds:g} s are less than half a frame at {rate_word(fps)} frames a second",
                         remedy=f"give --seconds {float(1 / fps):.3f} or more, or --transition cut")
    return frames


def _around(joins: Sequence[Join]) -> list[tuple[int, int]]:
    """Frames of the windows at the head and the tail of each clip."""
    return list(pairwise((0, *(join.frames for join in joins), 0)))
