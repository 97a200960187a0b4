"""Raw frames in and out for lip-sync: a clip, or a still repeated, as YUV 4:2:0 planes.

Covers reading strangers' files safely and encoding like the placeholder engine does. Knows nothing of mouths.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from callsheet.errors import MediaError, MediaUnreadable
from callsheet.faces.mouth import Planes
from callsheet.media.ffmpeg import HOSTILE_VIDEO, MAX_PIXELS, Command, local_input, reader

_STILL_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
_LONGEST_SIDE = 1920


@dataclass(frozen=True)
class Picture:
    """Size in pixels (even) and frames a second."""

    width: int
    height: int
    fps: Fraction
    pixel_aspect: str = "1/1"
    """Width of a pixel to its height."""

    @property
    def frame_bytes(self) -> int:
        return self.width * self.height * 3 // 2

    def facts(self, frames: int) -> dict[str, Any]:
        """What is recorded of a clip of so many frames."""
        return {
            "frames": frames, "fps": str(self.fps), "duration": float(frames / self.fps), "width": self.width,
            "height": self.height,
        }


def planes_of(raw: bytes, picture: Picture) -> Planes:
    """Writable planes of one raw frame."""
    buffer = np.frombuffer(bytearray(raw), np.uint8)
    full, quarter = picture.width * picture.height, picture.width * picture.height // 4
    half = (picture.height // 2, picture.width // 2)
    return (
        buffer[:full].reshape(picture.height, picture.width),
        buffer[full : full + quarter].reshape(half),
        buffer[full + quarter :].reshape(half),
    )


_RED, _GREEN, _BLUE = 0.2126, 0.7152, 0.0722
_TO_BLUE, _TO_RED = 1.8556 * 255 / 224, 1.5748 * 255 / 224
_FROM_YUV = tuple(
    weight
    for u, v in ((0.0, _TO_RED), (-_TO_BLUE * _BLUE / _GREEN, -_TO_RED * _RED / _GREEN), (_TO_BLUE, 0.0))
    for weight in (255 / 219, u, v, -16 * 255 / 219 - 128 * (u + v))
)
"""Red, green and blue from luma and colour differences: a 3 x 4 matrix in rows."""
_TO_YUV = (
    *(part * 219 / 255 for part in (_RED, _GREEN, _BLUE)), 16.0,
    *(part / _TO_BLUE for part in (-_RED, -_GREEN, 1 - _BLUE)), 128.0,
    *(part / _TO_RED for part in (1 - _RED, -_GREEN, -_BLUE)), 128.0,
)


def raw_of(image: Image.Image) -> bytes:
    """One raw frame of an RGB picture with even sides."""
    luma, u, v = image.convert("RGB", _TO_YUV).split()
    return luma.tobytes() + u.reduce(2).tobytes() + v.reduce(2).tobytes()


def image_of(planes: Planes, half: bool = False) -> Image.Image:
    """A frame as RGB; at half its size where that is enough, which takes a quarter of the time."""
    luma, u, v = (Image.fromarray(plane) for plane in planes)
    if half:
        luma = luma.reduce(2)
    else:
        u, v = (plane.resize(luma.size, Image.Resampling.BILINEAR) for plane in (u, v))
    return Image.merge("RGB", (luma, u, v)).convert("RGB", _FROM_YUV)


def still_of(path: Path) -> Image.Image | None:
    """The picture in a file, turned upright, with even sides of at most 1920 pixels; None when it is no still."""
    try:
        with Image.open(path, formats=_STILL_FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise MediaUnreadable(
                    path=path.name, kind="a picture", detail=f"{opened.width}x{opened.height} is too large"
                )
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except UnidentifiedImageError:
        return None
    except MediaUnreadable:
        raise
    except Exception as error:                        # each of Pillow's formats breaks in its own ways
        raise MediaUnreadable(path=path.name, kind="a picture", detail=str(error)[:200]) from error
    shrink = min(1.0, _LONGEST_SIDE / max(image.size))
    size = (max(2, 2 * round(image.width * shrink / 2)), max(2, 2 * round(image.height * shrink / 2)))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


@contextmanager
def frames_of(path: Path) -> Iterator[tuple[Picture, Iterator[bytes]]]:
    """A clip's size and rate, and its raw frames, upright and with even sides. Raises MediaUnreadable."""
    command = Command(
        arguments=(
            *HOSTILE_VIDEO,
            "-i",
            local_input(path),
            "-an",
            "-sn",
            "-map",
            "0:v:0",
            "-vf",
            "crop=trunc(iw/2)*2:trunc(ih/2)*2,scale=out_color_matrix=bt709:out_range=limited,format=yuv420p",
            "-fps_mode",
            "passthrough",
            "-f",
            "yuv4mpegpipe",
            "pipe:1",
        ),
        what=f"read {path.name}",
    )
    try:
        with reader(command) as pipe:
            picture = _header(pipe, path)
            yield picture, _frames(pipe, picture)
    except MediaError as error:
        if error.facts.get("what") != command.what:  # the encoder's failure is not this file's
            raise
        raise MediaUnreadable(path=path.name, kind="a clip", detail=error.facts.get("detail", "")) from error


def _header(pipe: IO[bytes], path: Path) -> Picture:
    words = {word[:1]: word[1:] for word in pipe.readline(400).decode("ascii", "replace").split()[1:]}
    try:
        aspect = words.get("A", "1:1").replace(":", "/")
        return Picture(
            int(words["W"]),
            int(words["H"]),
            Fraction(words["F"].replace(":", "/")),
            "1/1" if aspect.startswith("0") else aspect,
        )
    except (KeyError, ValueError, ZeroDivisionError):
        raise MediaError(what=f"read {path.name}", detail="it holds no picture") from None


def _frames(pipe: IO[bytes], picture: Picture) -> Iterator[bytes]:
    while pipe.readline(400):
        raw = pipe.read(picture.frame_bytes)
        if len(raw) < picture.frame_bytes:
            return
        yield raw


def encode_command(picture: Picture, crf: int, target: Path, what: str) -> Command:
    """ffmpeg's arguments for raw frames from a pipe; one thread and no dates, so that bytes repeat."""
    tags = "setparams=range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    return Command(
        arguments=(
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "-s",
            f"{picture.width}x{picture.height}",
            "-r",
            str(picture.fps),
            "-i",
            "pipe:0",
            "-vf",
            f"setsar={picture.pixel_aspect},{tags}",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-crf",
            str(crf),
            "-pix_fmt",
            "yuv420p",
            "-threads",
            "1",
            "-fflags",
            "+bitexact",
            "-flags:v",
            "+bitexact",
            "-map_metadata",
            "-1",
            "-movflags",
            "+faststart",
            str(target.resolve()),
        ),
        what=what,
    )
