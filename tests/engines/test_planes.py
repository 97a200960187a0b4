"""Colours in luma and chroma, and back."""

from __future__ import annotations

import numpy as np
from PIL import Image

from callsheet.engines.drawing.planes import Frame, to_yuv

COLOURS = ((200, 30, 60), (12, 240, 128), (255, 255, 255), (0, 0, 0))


def test_colours_come_back_from_the_planes() -> None:
    for colour in COLOURS:
        found = np.asarray(Frame.of(Image.new("RGB", (16, 16), colour)).rgb(), float)[8, 8]
        assert np.abs(found - colour).max() <= 2, f"{colour} came back as {found}"


def test_what_is_drawn_in_luma_and_chroma_is_what_is_converted_to_it() -> None:
    for colour in COLOURS:
        drawn = Frame.drawn(Image.new("RGBA", (16, 16), (*to_yuv(colour), 255)))
        converted = Frame.of(Image.new("RGB", (16, 16), colour))
        for one, other in zip(drawn.raw(), converted.raw(), strict=True):
            assert abs(one[0] - other[0]) <= 1, colour


def test_a_raw_frame_is_luma_at_full_and_chroma_at_half_size() -> None:
    assert [len(plane) for plane in Frame.of(Image.new("RGB", (32, 18))).raw()] == [576, 144, 144]
