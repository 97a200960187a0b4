"""Frames as x264 wants them: luma at full size, chroma at half (YUV 4:2:0, BT.709, limited range).

Layers are converted once, then only moved and pasted, so that a frame costs a few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, floor, radians, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from callsheet.engines.drawing.pen import INK

Bytes2D = NDArray[np.uint8]
_EDGE = 4
"""Transparent pixels around a sprite, so that a moved edge stays soft."""


def _yuv(pixels: NDArray[Any]) -> tuple[Bytes2D, NDArray[Any], NDArray[Any]]:
    """Luma as bytes, and both colour differences as floats at full size, of an H x W x 3 RGB array."""
    red, green, blue = (pixels[..., n].astype(np.float32) for n in range(3))
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    u = 128 + (blue - luma) * (224 / 255 / 1.8556)
    v = 128 + (red - luma) * (224 / 255 / 1.5748)
    return np.rint(16 + luma * (219 / 255)).astype(np.uint8), u, v


def _half(plane: NDArray[Any]) -> Bytes2D:
    height, width = plane.shape
    halved: Bytes2D = np.rint(plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3))).astype(np.uint8)
    return halved


@dataclass
class Frame:
    """One picture of even sides as three planes."""

    y: Image.Image
    u: Image.Image
    v: Image.Image

    @classmethod
    def of(cls, image: Image.Image) -> Frame:
        luma, u, v = _yuv(np.asarray(image.convert("RGB")))
        return cls(*(Image.fromarray(plane) for plane in (luma, _half(u), _half(v))))

    def window(self, left: float, top: float, width: float, height: float, size: tuple[int, int]) -> Frame:
        """That part of the picture, which need not be on whole pixels, at `size`."""
        box = (left, top, left + width, top + height)
        small = (size[0] // 2, size[1] // 2)
        half = (box[0] / 2, box[1] / 2, box[2] / 2, box[3] / 2)
        how = Image.Resampling.BILINEAR
        return Frame(self.y.resize(size, how, box), self.u.resize(small, how, half), self.v.resize(small, how, half))

    def blend(self, other: Frame, share: float) -> Frame:
        """`share` 0 is this frame, 1 the other."""
        pairs = ((self.y, other.y), (self.u, other.u), (self.v, other.v))
        return Frame(*(Image.blend(mine, theirs, share) for mine, theirs in pairs))

    def raw(self) -> bytes:
        return self.y.tobytes() + self.u.tobytes() + self.v.tobytes()

    def rgb(self) -> Image.Image:
        """The picture as a viewer sees it."""
        luma = (np.asarray(self.y, np.float32) - 16) * (255 / 219)
        u, v = (
            np.asarray(plane.resize(self.y.size, Image.Resampling.BILINEAR), np.float32) - 128
            for plane in (self.u, self.v)
        )
        red, blue = luma + v * (1.5748 * 255 / 224), luma + u * (1.8556 * 255 / 224)
        green = (luma - 0.2126 * red - 0.0722 * blue) / 0.7152
        return Image.fromarray(np.rint(np.stack([red, green, blue], -1)).clip(0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Sprite:
    """A layer with soft edges. `origin` is its figure's (0, 0), in pixels from its upper left corner."""

    y: Bytes2D
    u: Bytes2D
    v: Bytes2D
    alpha: Bytes2D
    alpha_half: Bytes2D
    origin: tuple[float, float]

    @classmethod
    def of(cls, image: Image.Image, origin: tuple[float, float] = (0.0, 0.0)) -> Sprite | None:
        """Cut to what is visible; None when nothing is."""
        box = image.getchannel("A").getbbox()
        if box is None:
            return None
        left, top = box[0] - _EDGE, box[1] - _EDGE
        width, height = box[2] + _EDGE - left, box[3] + _EDGE - top
        pixels = np.array(image.crop((left, top, left + width + width % 2, top + height + height % 2)))
        pixels[pixels[..., 3] == 0, :3] = INK
        luma, u, v = _yuv(pixels)
        alpha = pixels[..., 3]
        return cls(luma, _half(u), _half(v), alpha, _half(alpha), (origin[0] - left, origin[1] - top))

    def put(self, frame: Frame, x: float, y: float) -> None:
        """Paste with the origin at (x, y), to a fraction of a pixel."""
        left, top = x - self.origin[0], y - self.origin[1]
        at_x, at_y = 2 * floor(left / 2), 2 * floor(top / 2)
        dx, dy = left - at_x, top - at_y
        mask = Image.fromarray(_moved(self.alpha, dx, dy))
        half = Image.fromarray(_moved(self.alpha_half, dx / 2, dy / 2))
        frame.y.paste(Image.fromarray(_moved(self.y, dx, dy)), (at_x, at_y), mask)
        for plane, mine in ((frame.u, self.u), (frame.v, self.v)):
            plane.paste(Image.fromarray(_moved(mine, dx / 2, dy / 2)), (at_x // 2, at_y // 2), half)

    def put_turned(self, frame: Frame, x: float, y: float, degrees: float, pivot_y: float) -> None:
        """Paste turned clockwise about the point `pivot_y` pixels below the origin."""
        centre = (self.origin[0], self.origin[1] + pivot_y)
        c, s = cos(radians(degrees)), sin(radians(degrees))
        high, wide = self.y.shape
        aside = 2 * ceil(abs(s) * max(centre[1], high - centre[1]) / 2)     # how far its ends swing out
        above = 2 * ceil(abs(s) * max(centre[0], wide - centre[0]) / 2)
        left, top = x - self.origin[0], y - self.origin[1]
        at_x, at_y = 2 * floor(left / 2) - aside, 2 * floor(top / 2) - above
        off_x, off_y = left - at_x + centre[0], top - at_y + centre[1]
        matrix = (c, s, centre[0] - c * off_x - s * off_y, -s, c, centre[1] + s * off_x - c * off_y)
        half_matrix = (*matrix[:2], matrix[2] / 2, *matrix[3:5], matrix[5] / 2)
        size = (wide + 2 * aside, high + 2 * above)
        small = (size[0] // 2, size[1] // 2)
        mask, half = _turned(self.alpha, matrix, size), _turned(self.alpha_half, half_matrix, small)
        frame.y.paste(_turned(self.y, matrix, size), (at_x, at_y), mask)
        for plane, mine in ((frame.u, self.u), (frame.v, self.v)):
            plane.paste(_turned(mine, half_matrix, small), (at_x // 2, at_y // 2), half)


def _moved(plane: Bytes2D, dx: float, dy: float) -> Bytes2D:
    """Shifted right and down by less than `_EDGE` pixels, between pixels where need be."""
    out = plane
    for axis, shift in ((1, dx), (0, dy)):
        whole, part = floor(shift), round((shift - floor(shift)) * 256)
        if whole:
            out = np.roll(out, whole, axis)
        if part:
            wide = out.astype(np.uint16)
            out = ((wide * (256 - part) + np.roll(wide, 1, axis) * part) >> 8).astype(np.uint8)
    return out


def _turned(plane: Bytes2D, matrix: tuple[float, ...], size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(plane).transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
