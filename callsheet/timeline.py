"""The arithmetic of time: scenes to frames, frames to segments, lines to moments.

Everything is planned in whole frames of the delivery, so a 12.3 s film lasts 369 frames at 30 fps, exactly.
Scenes sum to the film; a clip carries half a transition as handle at each joined end. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from callsheet.errors import SceneTooShort
from callsheet.models import Order, Scene
from callsheet.presets import GENERATION_RATE, MAX_SEGMENT_FRAMES, TransitionKind
from callsheet.recipes import Join

LEAD_S = 0.3
"""Silence before a scene's first line, so that nobody speaks into a transition."""
GAP_S = 0.25
"""Between two lines."""
TAIL_S = 0.4
"""After a scene's last line."""


@dataclass(frozen=True)
class Spoken:
    """When a line is heard, in seconds from the start of its scene."""

    start: float
    seconds: float

    @property
    def end(self) -> float:
        return self.start + self.seconds


@dataclass(frozen=True)
class SegmentTime:
    """One raw clip and its place. Delivered frames count at the film's rate, raw ones at 24 fps."""

    index: int
    """Within its scene."""
    film_frame: int
    """The film frame that its first delivered frame is; negative handles do not occur in the first scene."""
    frames: int
    """Delivered frames, handles included."""
    raw_frames: int
    raw_start: int
    """Its first raw frame, counted within the scene's clip."""
    head: int
    """Frames of the transition window at its start; 0 inside a scene."""
    tail: int


@dataclass(frozen=True)
class SceneTime:
    """A scene on the film's time line."""

    index: int
    start: int
    """First film frame; a transition into it has its middle here."""
    frames: int
    head: int
    """Frames shared with the scene before."""
    tail: int
    """Frames shared with the scene after."""
    lines: tuple[Spoken, ...]
    segments: tuple[SegmentTime, ...]


@dataclass(frozen=True)
class Timeline:
    """The whole film."""

    fps: Fraction
    frames: int
    scenes: tuple[SceneTime, ...]
    joins: tuple[Join, ...]
    """Between all segments in order: a cut inside a scene, the scene's transition at its end."""

    @property
    def seconds(self) -> float:
        return float(self.frames / self.fps)

    def seconds_at(self, frame: int) -> float:
        return float(frame / self.fps)

    @property
    def segments(self) -> tuple[SegmentTime, ...]:
        return tuple(segment for scene in self.scenes for segment in scene.segments)


def timeline(order: Order, spoken: Sequence[Sequence[float]]) -> Timeline:
    """Lay out an order whose n-th scene's lines last `spoken[n]` seconds.

    Raises SceneTooShort when dialogue (fit: error) or transitions do not fit.
    """
    fps = order.delivered.fps
    lines = [_placed(seconds) for seconds in spoken]
    bounds = _bounds(order, lines, fps)
    joins = [_join(scene, fps) for scene in order.scenes[:-1]]
    scenes = []
    for n in range(len(order.scenes)):
        head, tail = joins[n - 1].frames if n else 0, joins[n].frames if n < len(joins) else 0
        scenes.append(_scene(n, bounds[n], bounds[n + 1] - bounds[n], head, tail, lines[n], fps))
    every = []
    for scene, join in zip(scenes, [*joins, None], strict=True):
        every += [Join(kind=TransitionKind.CUT, frames=0)] * (len(scene.segments) - 1)
        every += [join] if join else []
    return Timeline(fps=fps, frames=bounds[-1], scenes=tuple(scenes), joins=tuple(every))


def raw_frames(frames: int, fps: Fraction) -> int:
    """Frames at 24 fps that cover `frames` at `fps`: min(120, duration * 24), rounded up."""
    return min(MAX_SEGMENT_FRAMES, math.ceil(frames * GENERATION_RATE / fps))


def segment_lengths(frames: int, fps: Fraction, head: int = 0, tail: int = 0) -> tuple[int, ...]:
    """Delivered frames of each segment: full ones of at most 120 raw frames, then the remainder.

    The last is made longer at its neighbour's cost when it could not hold its transition window.
    """
    longest = math.floor(MAX_SEGMENT_FRAMES * fps / GENERATION_RATE)
    count = math.ceil(frames / longest)
    lengths = [longest] * (count - 1) + [frames - longest * (count - 1)]
    if count > 1 and lengths[-1] < tail + 1:
        lengths[-2] -= tail + 1 - lengths[-1]
        lengths[-1] = tail + 1
    if lengths[0] < head + (tail if count == 1 else 0) or min(lengths) < 1:
        raise ValueError(f"{frames} frames cannot hold transitions of {head} and {tail} frames")
    return tuple(lengths)


def _placed(seconds: Sequence[float]) -> tuple[Spoken, ...]:
    placed, at = [], LEAD_S
    for length in seconds:
        placed.append(Spoken(round(at, 3), length))
        at += length + GAP_S
    return tuple(placed)


def _bounds(order: Order, lines: Sequence[Sequence[Spoken]], fps: Fraction) -> list[int]:
    bounds, at = [0], Fraction(0)
    for n, (scene, said) in enumerate(zip(order.scenes, lines, strict=True)):
        length = Fraction(str(scene.seconds))
        needed = said[-1].end + TAIL_S if said else 0.0
        if needed > length:
            if order.fit == "error":
                raise SceneTooShort(scene=n + 1, seconds=scene.seconds, needed=round(needed, 2), reason="dialogue")
            length = Fraction(math.ceil(needed * fps), 1) / fps
        at += length
        bounds.append(max(bounds[-1] + 1, round(at * fps)))
    return bounds


def _join(scene: Scene, fps: Fraction) -> Join:
    kind = scene.transition.kind
    frames = 0 if kind is TransitionKind.CUT else round(Fraction(str(scene.transition.seconds)) * fps)
    return Join(kind=kind if frames else TransitionKind.CUT, frames=frames)


def _scene(
    index: int, start: int, frames: int, head: int, tail: int, lines: tuple[Spoken, ...], fps: Fraction
) -> SceneTime:
    first = start - head // 2
    whole = frames + head // 2 + (tail - tail // 2)
    try:
        lengths = segment_lengths(whole, fps, head, tail)
    except ValueError:
        raise SceneTooShort(
            scene=index + 1,
            seconds=round(float(frames / fps), 3),
            needed=round(float((head - head // 2 + tail // 2 + 1) / fps), 3),     # the neighbours lend the other halves
            reason="transitions",
            remedy="make the scene longer or the transition shorter",
        ) from None
    segments, at = [], 0
    for n, length in enumerate(lengths):
        segments.append(SegmentTime(
            index=n,
            film_frame=first + at,
            frames=length,
            raw_frames=raw_frames(length, fps),
            raw_start=round(at * GENERATION_RATE / fps),
            head=head if n == 0 else 0,
            tail=tail if n == len(lengths) - 1 else 0,
        ))
        at += length
    return SceneTime(index, start, frames, head, tail, lines, tuple(segments))
