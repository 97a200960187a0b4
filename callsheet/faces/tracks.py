"""Reads a mouth track (faces/base.py)."""

from __future__ import annotations

import json
from pathlib import Path

from callsheet.errors import MediaUnreadable

Mouth = tuple[float, float, float]
"""Centre and width, in pixels of the clip."""


def mouth_tracks(path: Path) -> dict[str, list[Mouth]]:
    """Mouths by actor id, one a frame. Raises MediaUnreadable."""
    try:
        return {
            who: [(float(x), float(y), float(width)) for x, y, width in track]
            for who, track in json.loads(path.read_text(encoding="utf-8"))["mouths"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise MediaUnreadable(path=path.name, kind="a mouth track", detail=str(error)[:200]) from error


def mouth_in(track: list[Mouth], index: int) -> Mouth:
    """The mouth in a frame. Raises MediaUnreadable when the track ended before."""
    if index >= len(track):
        raise MediaUnreadable(
            path="mouths", kind="a mouth track of this clip", detail=f"it has {len(track)} frames only"
        )
    return track[index]
