"""Captions as pixels: burned by libass, drawn by Pillow, and how alike two drawings are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ffmpeg
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from callsheet.media.captions import gather_fonts, write_ass
from callsheet.media.ffmpeg import Command, reader
from callsheet.media.fonts import Face
from callsheet.models import CaptionStyle, Cue

Grey = npt.NDArray[np.uint8]
"""Luma, height x width."""
Colours = npt.NDArray[np.uint8]
"""RGB, height x width x 3."""

HOSTILE = (
    "'", r"{\b1}bold{\b0}", "[x]", "%{pts}", r"a\Nb\nc\hd", "100% sure", "<i>it</i>", "-->", "&amp; &lt; &#39;",
    r"{\k50}kara", ",;:='\"", r"{\p1}m 0 0 l 100 0", r"{\pos(0,0)}here", "; comment", "C:\\N\\t\\", "\\", "{", "}",
    r"\{", "Dialogue: 0,0:00:00.00", "movie='x':s=1,[in]", "text='$(id)'", "It's ok", "(a) [b] {c} <d>",
    r"{\an8}{\fs5}x", "{*aside}", "<font color=red>y", "<v Bob>z", "WEBVTT", "{y:i}up", "`rm` | $HOME",
    "a\u202eb\u202cc", "ze\u200bro\u2060wi\u200ddth", "nul\x00 bell\x07",
)
"""Each is some reader's markup, path, pattern or end of line."""

GREY_STYLE = CaptionStyle(stroke_width=0, position_y=0.5, font_size=240)


def visible(text: str) -> str:
    """What a person sees of a text of one line."""
    return "".join(c for c in text if c not in "\u202e\u202c\u200b\u2060\u200d\x00\x07")


def burn(folder: Path, cues: Sequence[Cue], style: CaptionStyle, size: tuple[int, int], seconds: float = 1.0,
         fps: int = 10, ground: str = "gray", pixels: str = "gray") -> npt.NDArray[np.uint8]:
    """Frames of a clip of one colour with captions burned, through a path that a filter graph would stumble on."""
    width, height = size
    odd = folder / "o'dd [na,me];x"
    odd.mkdir(parents=True)
    write_ass(cues, style, width, height, odd / "a.ass")
    fonts = gather_fonts(cues, odd / "fonts")
    plain = ffmpeg.input(f"color={ground}:s={width}x{height}:r={fps}:d={seconds},format=yuv444p", f="lavfi")
    drawn = plain.filter("ass", filename=str(odd / "a.ass"), fontsdir=str(fonts))
    arguments = drawn.output("pipe:1", f="rawvideo", pix_fmt=pixels).get_args()
    with reader(Command(tuple(arguments), "burn captions")) as pipe:
        frames = np.frombuffer(pipe.read(), np.uint8)
    return frames.reshape((-1, height, width, *((3,) if pixels == "rgb24" else ())))


def pillow(text: str, face: Face, em: float, size: tuple[int, int]) -> Grey:
    """The text in the middle of a black picture, a little heavier than the font is, as libass makes bold."""
    picture = Image.new("L", size)
    font = ImageFont.truetype(str(face.path), em)
    ImageDraw.Draw(picture).text(
        (size[0] / 2, size[1] / 2), text, font=font, fill=255, anchor="mm", stroke_width=em / 80, stroke_fill=255)
    return np.asarray(picture)


def overlap(one: Grey, other: Grey) -> float:
    """Intersection over union of the light of two drawings, laid upon each other: 1 when they are equal."""
    first, second = _inked(one), _inked(other)
    height, width = (max(a, b) + 4 for a, b in zip(first.shape, second.shape, strict=True))
    a, b = _centred(first, height, width), _centred(second, height, width)
    moved = (np.roll(b, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-2, -1, 0, 1, 2))
    return float(max(np.minimum(a, m).sum() / np.maximum(a, m).sum() for m in moved))


def _inked(picture: Grey) -> npt.NDArray[np.float64]:
    rows, cells = np.nonzero(picture > 90)
    assert len(rows), "nothing is drawn"
    return picture[rows.min():rows.max() + 1, cells.min():cells.max() + 1].astype(float)


def _centred(picture: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    whole = np.zeros((height, width))
    top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    whole[top:top + picture.shape[0], left:left + picture.shape[1]] = picture
    return whole
