"""RGB pictures in and out for engines that get whole frames: stills of strangers read safely, clips encoded.

    last = write_clip(frames, 832, 480, Fraction(24), room.path("clip.mp4"), "encode scene 1")

Bytes repeat: the encoder's threads, dates and whatever depends on the processor are fixed. Knows no model.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from callsheet.errors import MediaError, MediaUnreadable
from callsheet.media.ffmpeg import HOSTILE_VIDEO, MAX_PIXELS, Command, local_input, reader, writer

Frame = NDArray[np.uint8]
"""H x W x 3, RGB."""

JPEG_QUALITY = 95
_CRF = 14
_THREADS = 2
PICTURES = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
"""Formats of stills, by Pillow's names; no other decoder sees a stranger's file."""


def read_picture(path: Path) -> Image.Image:
    """A still as RGB, turned upright, without the words it carried. Raises MediaUnreadable."""
    try:
        with Image.open(path, formats=PICTURES) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                detail = f"{opened.width}x{opened.height} is too large"
                raise MediaUnreadable(path=path.name, kind="a picture", detail=detail)
            picture = ImageOps.exif_transpose(opened).convert("RGB")
            picture.info = {}                         # a comment, often the whole prompt: Pillow would write it again
            return picture
    except MediaUnreadable:
        raise
    except Exception as error:                        # each of Pillow's formats breaks in its own ways
        raise MediaUnreadable(path=path.name, kind="a picture", detail=str(error)[:200]) from error


def fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """The picture at exactly that size: scaled until it covers it, then cut at the middle."""
    if image.size == (width, height):
        return image
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def write_poster(image: Image.Image, target: Path) -> None:
    """A JPEG in full colour resolution."""
    image.convert("RGB").save(target, "JPEG", quality=JPEG_QUALITY, subsampling=0)


def read_clip(path: Path, width: int, height: int, fps: Fraction, most: int) -> list[Image.Image]:
    """The first frames of a clip, at most `most`, at that rate and size: scaled to cover it, cut at the middle.

    Raises MediaUnreadable.
    """
    fit = f"scale={width}:{height}:force_original_aspect_ratio=increase,crop={width}:{height}"
    command = Command(
        arguments=(
            *HOSTILE_VIDEO, "-i", local_input(path), "-an", "-sn", "-map", "0:v:0", "-vf", f"fps={fps},{fit}",
            "-frames:v", str(most), "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1",
        ),
        what=f"read {path.name}",
    )
    pictures: list[Image.Image] = []
    try:
        with reader(command) as pipe:
            while len(raw := pipe.read(width * height * 3)) == width * height * 3:
                pictures.append(Image.frombytes("RGB", (width, height), raw))
    except MediaError as error:
        raise MediaUnreadable(path=path.name, kind="a clip", detail=error.facts.get("detail", "")) from error
    if not pictures:
        raise MediaUnreadable(path=path.name, kind="a clip", detail="it holds no picture")
    return pictures


def write_clip(
    frames: Iterable[Frame], width: int, height: int, fps: Fraction, target: Path, what: str
) -> Image.Image:
    """Encode frames as H.264 in MP4 without sound, and return the last one.

    Args:
        frames: At least one, each of exactly that size; odd sides are refused by the encoder.
        what: In words, for an error.

    Raises MediaError when a frame has another size, when there is none, or when ffmpeg fails.
    """
    last: Frame | None = None
    with writer(encode_command(width, height, fps, target, what)) as pipe:
        for last in frames:
            if last.shape != (height, width, 3) or last.dtype != np.uint8:
                raise MediaError(what=what, detail=f"a frame is {last.shape} of {last.dtype}, not {width}x{height}")
            pipe.write(np.ascontiguousarray(last).data)
    if last is None:
        raise MediaError(what=what, detail="there are no frames")
    return Image.fromarray(last)


def write_still(image: Image.Image, target: Path) -> None:
    """A PNG, for the clip that goes on from it."""
    image.save(target, "PNG", compress_level=1)


def encode_command(width: int, height: int, fps: Fraction, target: Path, what: str) -> Command:
    """ffmpeg's arguments for raw RGB frames from a pipe."""
    tags = "range=limited:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    return Command(
        arguments=(
            "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "pipe:0",
            "-vf",
            "scale=out_color_matrix=bt709:out_range=limited:flags=accurate_rnd+full_chroma_int+bitexact,"
            f"format=yuv420p,setparams={tags}",
            "-c:v", "libx264", "-preset", "veryfast", "-crf", str(_CRF), "-pix_fmt", "yuv420p",
            "-threads", str(_THREADS), "-x264-params", "cpu-independent=1",
            "-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1", "-movflags", "+faststart",
            str(target.resolve()),
        ),
        what=what,
    )
