"""Which frames of a reel are copied and which are encoded. Pure: whole frames in, runs out; no file is touched.

A reel is a sequence of runs. A copied run is packets of one clip; an encoded run is one ffmpeg graph over frames
of neighbouring clips, mixed where they overlap. A clip is copied between the outermost of its cuts that lie
outside its transition windows; what is left at its ends is encoded with the windows. So hard cuts between equal
clips are pure copies, and clips without any cut become one pass.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from callsheet.recipes import Join

MOST_CLIPS = 6
"""In one graph: each has a decoder with frames in waiting, about 15 MB at 540x960, so that memory grows with them."""


class Method(StrEnum):
    """How a reel came to be."""

    COPY = "copy"
    """Every frame is a packet of a clip; nothing was encoded."""
    SMART = "smart"
    """Copied, but for transition windows and what could not be copied."""
    ONE_PASS = "one_pass"
    """Every frame was encoded, once."""


@dataclass(frozen=True)
class Span:
    """Frames `first` to `end` (excluded) of the clip with number `clip`, from 0."""

    clip: int
    first: int
    end: int

    @property
    def frames(self) -> int:
        return self.end - self.first


@dataclass(frozen=True)
class Copied:
    """Packets of one clip; it may be cut at both ends of the span."""

    span: Span

    @property
    def frames(self) -> int:
        return self.span.frames


@dataclass(frozen=True)
class Encoded:
    """Frames of neighbouring clips as one graph. One join fewer than spans, each no longer than both its spans."""

    spans: tuple[Span, ...]
    joins: tuple[Join, ...] = ()

    @property
    def frames(self) -> int:
        return sum(span.frames for span in self.spans) - sum(join.frames for join in self.joins)


Run: TypeAlias = Copied | Encoded


def plan(
    lengths: Sequence[int], joins: Sequence[Join], cuts: Sequence[Collection[int]], most: int = MOST_CLIPS
) -> tuple[Run, ...]:
    """The runs of a reel of exactly sum(lengths) - sum(joins) frames.

    `lengths` are frames of the clips, `joins` one fewer; the two windows of a clip fit into it. `cuts` are the
    frames before which a clip may be cut for copying, its end included; empty for one that has to be encoded.
    """
    runs: list[Run] = []
    spans: list[Span] = []                            # of the encoded run under way
    between: list[Join] = []

    def encode(first: int, end: int) -> None:
        if first < end:
            if spans:
                between.append(joins[n - 1])
            spans.append(Span(n, first, end))

    def close() -> None:
        if spans:
            runs.extend(chunked(Encoded(tuple(spans), tuple(between)), most))
        spans.clear()
        between.clear()

    for n, length in enumerate(lengths):
        head = joins[n - 1].frames if n else 0
        tail = joins[n].frames if n < len(joins) else 0
        usable = [cut for cut in cuts[n] if head <= cut <= length - tail]
        if not usable:
            encode(0, length)
            continue
        encode(0, min(usable))
        close()
        if min(usable) < max(usable):
            runs.append(Copied(Span(n, min(usable), max(usable))))
        encode(max(usable), length)
    close()
    return tuple(runs)


def chunked(run: Encoded, most: int = MOST_CLIPS) -> tuple[Encoded, ...]:
    """The same frames as graphs of at most `most` clips, parted where a clip begins or right after a window."""
    chunks: list[Encoded] = []
    spans, between = [run.spans[0]], list[Join]()
    for join, span in zip(run.joins, run.spans[1:], strict=True):
        part = span.first + join.frames
        if len(spans) < most - 1 or part == span.end:
            spans.append(span)
            between.append(join)
            continue
        if join.frames:
            spans.append(Span(span.clip, span.first, part))
            between.append(join)
        chunks.append(Encoded(tuple(spans), tuple(between)))
        spans, between = [Span(span.clip, part, span.end)], []
    return (*chunks, Encoded(tuple(spans), tuple(between)))


def copied_frames(runs: Sequence[Run]) -> int:
    return sum(run.frames for run in runs if isinstance(run, Copied))


def encoded_frames(runs: Sequence[Run]) -> int:
    return sum(run.frames for run in runs if isinstance(run, Encoded))


def method(runs: Sequence[Run]) -> Method:
    """By what the runs do."""
    if not encoded_frames(runs):
        return Method.COPY
    return Method.SMART if copied_frames(runs) else Method.ONE_PASS
