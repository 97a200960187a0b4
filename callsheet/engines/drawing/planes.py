"""Frames as x264 wants them: luma at full size, chroma at half (YUV 4:2:0, BT.709, limited range).

Clips are drawn in luma and colour differences from the start (`to_yuv` is the tint of their canvases), so that no
frame is ever converted. sprites.py puts layers into frames.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFilter

from callsheet.engines.drawing.dice import Colour

_RED, _GREEN, _BLUE = 0.2126, 0.7152, 0.0722
_Y = (_RED * 219 / 255, _GREEN * 219 / 255, _BLUE * 219 / 255, 16.0)
_U = (-_RED / 1.8556 * 224 / 255, -_GREEN / 1.8556 * 224 / 255, (1 - _BLUE) / 1.8556 * 224 / 255, 128.0)
_V = ((1 - _RED) / 1.5748 * 224 / 255, -_GREEN / 1.5748 * 224 / 255, -_BLUE / 1.5748 * 224 / 255, 128.0)
_TO_YUV = (*_Y, *_U, *_V)
_U_TO_BLUE, _V_TO_RED = 1.8556 * 255 / 224, 1.5748 * 255 / 224
_FROM_YUV = tuple(
    weight
    for u, v in (
        (0.0, _V_TO_RED),
        (-_U_TO_BLUE * _BLUE / _GREEN, -_V_TO_RED * _RED / _GREEN),
        (_U_TO_BLUE, 0.0),
    )
    for weight in (255 / 219, u, v, -16 * 255 / 219 - 128 * (u + v))
)


def to_yuv(colour: Colour) -> Colour:
    """Luma and both colour differences of a colour."""
    y, u, v = (round(a * colour[0] + b * colour[1] + c * colour[2] + d) for a, b, c, d in (_Y, _U, _V))
    return y, u, v


@dataclass
class Frame:
    """One picture of even sides as three planes."""

    y: Image.Image
    u: Image.Image
    v: Image.Image

    @classmethod
    def of(cls, image: Image.Image) -> Frame:
        """From a picture in red, green and blue."""
        return cls.drawn(image.convert("RGB").convert("RGB", _TO_YUV))

    @classmethod
    def drawn(cls, image: Image.Image) -> Frame:
        """From a picture drawn with the tint `to_yuv`."""
        return cls(image.getchannel(0), image.getchannel(1).reduce(2), image.getchannel(2).reduce(2))

    def blend(self, other: Frame, share: float) -> Frame:
        """`share` 0 is this frame, 1 the other."""
        pairs = ((self.y, other.y), (self.u, other.u), (self.v, other.v))
        return Frame(*(Image.blend(mine, theirs, share) for mine, theirs in pairs))

    def raw(self) -> tuple[bytes, bytes, bytes]:
        """The planes in the order of yuv420p."""
        return self.y.tobytes(), self.u.tobytes(), self.v.tobytes()

    def rgb(self) -> Image.Image:
        """The picture as a viewer sees it."""
        u, v = (plane.resize(self.y.size, Image.Resampling.BILINEAR) for plane in (self.u, self.v))
        return Image.merge("RGB", (self.y, u, v)).convert("RGB", _FROM_YUV)


class Panorama:
    """A picture larger than the frame, along which the camera glides: sideways in eighths of a pixel.

    A little out of focus, so that what is between two pixels is as sharp as what is on them.
    """

    _PARTS = 8

    def __init__(self, picture: Frame, blur: float) -> None:
        """`blur` in pixels."""
        soft = [plane.filter(ImageFilter.BoxBlur(much)) for plane, much in (
            (picture.y, blur), (picture.u, blur / 2), (picture.v, blur / 2),
        )]
        self.size = picture.y.size
        self._planes = [{0: plane} for plane in soft]

    def window(self, left: float, top: int, size: tuple[int, int]) -> Frame:
        """The part of that size at (left, top); `top` is even. What lies outside the picture is black."""
        half = (size[0] // 2, size[1] // 2)
        return Frame(self._cut(0, left, top, size), *(self._cut(n, left / 2, top // 2, half) for n in (1, 2)))

    def _cut(self, which: int, left: float, top: int, size: tuple[int, int]) -> Image.Image:
        whole, part = divmod(round(left * self._PARTS), self._PARTS)
        made = self._planes[which]
        if part not in made:
            made[part] = Image.blend(made[0], ImageChops.offset(made[0], -1, 0), part / self._PARTS)
        return made[part].crop((whole, top, whole + size[0], top + size[1]))
