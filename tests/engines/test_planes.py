"""Moving and turning layers without losing any of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from callsheet.engines.drawing.planes import Frame, Sprite


def bar() -> Sprite:
    """A white bar, 60 x 120 pixels, whose origin is its middle."""
    image = Image.new("RGBA", (60, 120), (255, 255, 255, 0))
    ImageDraw.Draw(image).rectangle((2, 2, 57, 117), fill=(255, 255, 255, 255))
    sprite = Sprite.of(image, (30.0, 60.0))
    assert sprite is not None
    return sprite


def light(frame: Frame) -> float:
    """How much of the picture is white, in pixels."""
    return float(((np.asarray(frame.y, float) - 16) / 219).sum())


@pytest.mark.parametrize("degrees", [-14.0, -3.0, 0.0, 6.0, 14.0])
def test_a_turned_layer_keeps_all_of_its_area(degrees: float) -> None:
    frame = Frame.of(Image.new("RGB", (240, 240)))
    bar().put_turned(frame, 120.3, 121.7, degrees, 55.0)
    assert abs(light(frame) - 56 * 116) < 0.02 * 56 * 116, f"{light(frame):.0f} of {56 * 116}"


@pytest.mark.parametrize(("x", "y"), [(100.0, 100.0), (100.5, 100.25), (101.9, 99.1)])
def test_a_layer_is_put_to_a_fraction_of_a_pixel(x: float, y: float) -> None:
    frame = Frame.of(Image.new("RGB", (240, 240)))
    bar().put(frame, x, y)
    weight = np.asarray(frame.y, float) - 16
    centre = [float((weight.sum(axis) * (np.arange(240) + 0.5)).sum() / weight.sum()) for axis in (0, 1)]
    assert abs(centre[0] - x) < 0.05 and abs(centre[1] - y) < 0.05, centre


def test_colours_come_back_from_the_planes() -> None:
    for colour in ((200, 30, 60), (12, 240, 128), (255, 255, 255), (0, 0, 0)):
        found = np.asarray(Frame.of(Image.new("RGB", (16, 16), colour)).rgb(), float)[8, 8]
        assert np.abs(found - colour).max() <= 2, f"{colour} came back as {found}"
