"""The picture that stands for a film: a frame from about a third in that shows something."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from callsheet.errors import MediaError
from callsheet.media.ffmpeg import Command, local_input, reader

if TYPE_CHECKING:
    from PIL.Image import Image

MOMENTS = (1 / 3, 0.4, 0.25, 0.5, 0.6, 0.15, 0.75, 0.9, 0.0)
"""Shares of the film, in the order they are tried. The last is there in a film of one frame too."""

DARK = 24
"""A frame whose brightest hundredth is below it, of 255, counts as black (black itself is 0 to 16)."""

JPEG_QUALITY = 90


def frame_command(video: Path, seconds: float) -> Command:
    """One frame of `video`, as PPM on standard output. More threads would only start up, for a single frame."""
    return Command(
        ("-threads", "1", "-ss", f"{seconds:.6f}", "-i", local_input(video), "-map", "0:v:0", "-frames:v", "1",
         "-c:v", "ppm", "-pix_fmt", "rgb24", "-f", "image2pipe", "pipe:1"),
        what=f"take a frame of {video.name} at {seconds:.2f} s",
        timeout_s=120,
    )


def write_thumbnail(video: Path, seconds: float, path: Path) -> float:
    """Write a JPEG in the size of `video`, which lasts `seconds`; returns the moment it shows, in seconds.

    Where every frame that is tried is dark, the brightest is taken. Raises MediaError when none can be read.
    """
    best: tuple[float, float, Image] | None = None
    for share in MOMENTS:
        moment = seconds * share
        picture = _frame(video, moment)
        if picture is None:
            continue
        light = _light(picture)
        if best is None or light > best[0]:
            best = (light, moment, picture)
        if light >= DARK:
            break
    if best is None:
        raise MediaError(what=f"take a frame of {video.name}", detail="no frame could be decoded")
    best[2].save(path, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return best[1]


def _frame(video: Path, moment: float) -> Image | None:
    from PIL import Image

    with reader(frame_command(video, moment)) as pipe:
        data = pipe.read()
    return Image.open(io.BytesIO(data)).convert("RGB") if data else None


def _light(picture: Image) -> float:
    """Level that all but the brightest hundredth of the pixels stay below, 0 to 255."""
    counts = picture.convert("L").histogram()
    left = sum(counts) / 100
    for level in range(255, -1, -1):
        left -= counts[level]
        if left < 0:
            return float(level)
    return 0.0
