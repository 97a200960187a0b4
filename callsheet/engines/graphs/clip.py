"""What graphs of clips share: sizes and lengths that a model can make, the first frame, and the exact result.

A model makes only lengths of a whole number of its steps and one frame more, and the server silently makes fewer
frames where asked for others: so the next such length is asked for and the rest is cut off. The same with sizes: the
next multiples are made and scaled back, not cropped, so that a chain of clips does not creep into its picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from callsheet.engines.graphs.node import Graph, Inputs, Link, Node
from callsheet.engines.graphs.parts import Lora, multiple
from callsheet.errors import InputError
from callsheet.presets import GENERATION_RATE, MAX_SEGMENT_FRAMES

LAST = 4095
"""An index that the server takes for the last frame of any batch."""


@dataclass(frozen=True)
class ClipGraph:
    """What a clip is made from, whichever model makes it."""

    prompt: str
    negative: str = ""
    width: int = 768
    """Pixels of the result."""
    height: int = 768
    num_frames: int = MAX_SEGMENT_FRAMES
    """Exactly this many come out."""
    fps: Fraction = GENERATION_RATE
    steps: int = 30
    loras: tuple[Lora, ...] = ()
    """Of the clip model's own family, style first."""
    first_frame: str = ""
    """Name of an uploaded picture that the clip starts from; empty: from its words."""
    goes_on: bool = False
    """Whether `first_frame` is the last frame of the clip before: it is then not shown a second time."""
    seed: int = 0
    prefix: str = "callsheet"
    """Folder of the server's outputs that the files go to."""

    def __post_init__(self) -> None:
        if self.goes_on and not self.first_frame:
            raise InputError(detail="a clip that goes on has no first frame",
                             remedy="give the last frame of the clip before it")
        if self.width % 2 or self.height % 2:
            raise InputError(detail=f"a clip cannot be {self.width}x{self.height}", remedy="choose even sides")


@dataclass(frozen=True)
class Made:
    """Size and length that a model can make: at least what is asked for."""

    width: int
    height: int
    length: int


def made(clip: ClipGraph, side: int, frames: int, least_side: int = 0, least_frames: int = 1) -> Made:
    """Sides are multiples of `side` pixels, the length is one more than a multiple of `frames`."""
    width, height = (multiple(max(each, least_side), side) for each in (clip.width, clip.height))
    return Made(width, height, multiple(max(clip.num_frames + clip.goes_on, least_frames) - 1, frames) + 1)


def first_picture(clip: ClipGraph, size: Made) -> Link:
    """The first frame, fitted to the clip's own shape before it is stretched to the size that is made."""
    picture = Node("LoadImage", "first frame", {"image": clip.first_frame}).out()
    for step in _stretched(clip, size):
        picture = _scaled(picture, *step)
    return picture


def finish(clip: ClipGraph, images: Link, size: Made) -> Graph:
    """From decoded images to a video of exactly the frames asked for, and its last frame for the clip after it.

    Outputs: main, H.264 in MP4 without sound; last_frame, a PNG.
    """
    if list(_stretched(clip, size)):
        images = _scaled(images, "back to the size asked for", clip.width, clip.height, "disabled")
    kept = _frames(images, "exact frames", int(clip.goes_on), clip.num_frames)
    video = Node("CreateVideo", "video", {"images": kept, "fps": float(clip.fps)}).out()
    return Graph({
        "main": Node("SaveVideo", "clip", {
            "video": video, "filename_prefix": f"{clip.prefix}/clip",
            "format": "mp4",
            "codec": "h264",                            # servers of 2025 require it, later ones have it in the format
            "format.codec": "h264",
        }),
        "last_frame": Node("SaveImage", "last frame", {
            "images": _frames(kept, "last frame alone", LAST, 1), "filename_prefix": f"{clip.prefix}/last_frame",
        }),
    })


def _stretched(clip: ClipGraph, size: Made) -> Iterator[tuple[str, int, int, str]]:
    if (size.width, size.height) != (clip.width, clip.height):
        yield "first frame in the clip's shape", clip.width, clip.height, "center"
        yield "first frame in the model's size", size.width, size.height, "disabled"


def _scaled(image: Link, title: str, width: int, height: int, crop: str) -> Link:
    inputs: Inputs = {
        "image": image, "upscale_method": "lanczos", "width": width, "height": height, "crop": crop,
    }
    return Node("ImageScale", title, inputs).out()


def _frames(images: Link, title: str, start: int, length: int) -> Link:
    return Node("ImageFromBatch", title, {"image": images, "batch_index": start, "length": length}).out()
