"""What a decoded picture says about how it is to be shown: mirrored, transparent, with which range of values."""

from __future__ import annotations

import struct
from typing import Any

from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

_MATRIX = struct.Struct("=9i")
_JPEG_RANGE = 2


def mirrored(frame: VideoFrame) -> bool:
    """Whether its display matrix is more than a rotation. Side data that cannot be read might say so: it counts."""
    try:
        every: Any = frame.side_data                  # its stub says that they are words
        found = [data for data in every if data.type is Type.DISPLAYMATRIX]
    except ValueError:                                # of a kind that PyAV does not know
        return True
    if not found:
        return False
    a, b, _, c, d, *_ = _MATRIX.unpack(bytes(found[0])[: _MATRIX.size])
    return bool(a * d < b * c)


def transparent(frame: VideoFrame) -> bool:
    """Whether it can hide its colours: an alpha plane, or a palette, which may have one."""
    return frame.format.name == "pal8" or any(part.is_alpha for part in frame.format.components)


def full_range(frame: VideoFrame) -> bool:
    """Whether black is 0 and white 255, not 16 and 235."""
    return int(frame.color_range) == _JPEG_RANGE
