"""Moving and turning layers without losing any of them, and without a jerk."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from callsheet.engines.drawing.acting import expression_of
from callsheet.engines.drawing.figure import Medium, draw_figure
from callsheet.engines.drawing.looks import look_of
from callsheet.engines.drawing.pen import Layer
from callsheet.engines.drawing.planes import Frame, Panorama, to_yuv
from callsheet.engines.drawing.sprites import Cutout, Sprite
from tests.support.clips import AVA

WHITE = (*to_yuv((255, 255, 255)), 255)
TIMES = 3
FILM = Medium(to_yuv, TIMES)


def bar(times: int = 1) -> Image.Image:
    """A white bar, 56 x 116 pixels, in the middle of 60 x 120."""
    image = Image.new("RGBA", (60 * times, 120 * times), (*to_yuv((0, 0, 0)), 0))
    ImageDraw.Draw(image).rectangle((2 * times, 2 * times, 58 * times - 1, 118 * times - 1), fill=WHITE)
    return image


def oversized() -> Layer:
    """The bar with its origin in its middle."""
    return Layer(bar(TIMES), (30.0 * TIMES, 60.0 * TIMES), TIMES)


def black() -> Frame:
    return Frame.of(Image.new("RGB", (240, 240)))


def weight(frame: Frame) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return (np.asarray(frame.y, np.float64) - 16) / 219


def centre(frame: Frame) -> tuple[float, float]:
    """Of what is white."""
    light = weight(frame)
    x, y = (float((light.sum(axis) * (np.arange(240) + 0.5)).sum() / light.sum()) for axis in (0, 1))
    return x, y


def gliding(kind: str, x: float, y: float) -> Frame:
    """The bar with its middle at (x, y), put there by one of the ways to glide."""
    if kind == "blended":
        sprite, corner = Sprite.of(bar()), (x - 30, y - 60)
    else:
        sprite, corner = Sprite.sharp(oversized()), (x, y)
    assert sprite is not None
    frame = black()
    sprite.put(frame, *corner)
    return frame


def turned(degrees: float, x: float = 120.3, y: float = 121.7) -> Frame:
    cutout = Cutout.of(oversized())
    assert cutout is not None
    frame = black()
    cutout.put(frame, x, y, degrees, 55.0)
    return frame


@pytest.mark.parametrize("degrees", [-14.0, -3.0, 0.0, 6.0, 14.0])
def test_a_turned_layer_keeps_all_of_its_area(degrees: float) -> None:
    area = float(weight(turned(degrees)).sum())
    assert abs(area - 56 * 116) < 0.02 * 56 * 116, f"{area:.0f} of {56 * 116}"


def test_a_layer_turns_clockwise_about_its_pivot() -> None:
    x, y = centre(turned(10.0, 100.0, 100.0))
    assert abs(x - (100 + 55 * np.sin(np.radians(10)))) < 0.2, x
    assert abs(y - (155 - 55 * np.cos(np.radians(10)))) < 0.2, y


@pytest.mark.parametrize(("x", "y"), [(100.0, 100.0), (100.5, 100.25), (101.75, 99.0), (99.25, 100.75)])
@pytest.mark.parametrize("kind", ["blended", "sharp"])
def test_a_layer_is_put_to_a_fraction_of_a_pixel(kind: str, x: float, y: float) -> None:
    found = centre(gliding(kind, x, y))
    assert abs(found[0] - x) < 0.1 and abs(found[1] - y) < 0.1, found


@pytest.mark.parametrize("kind", ["blended", "sharp"])
def test_a_layer_that_glides_slowly_never_stands_and_jumps(kind: str) -> None:
    places = [centre(gliding(kind, 100 + 0.25 * n, 100.0))[0] for n in range(12)]
    steps = np.diff(places)
    assert steps.min() > 0.1 and steps.max() < 0.4, f"steps of 0.25 became {steps.min():.2f} to {steps.max():.2f}"


def test_a_turning_layer_moves_as_evenly_as_it_is_told_to() -> None:
    steps = np.diff([centre(turned(3.0 + 0.05 * n, 120.0 + 0.25 * n))[0] for n in range(12)])
    told = 0.25 + 55 * np.radians(0.05)
    assert np.abs(steps - told).max() < 0.12, f"steps of {told:.2f} became {steps.min():.2f} to {steps.max():.2f}"


@pytest.mark.parametrize("at", [(-500.0, 60.0), (60.0, 900.0), (-10.0, -30.0), (235.0, 239.0)])
def test_what_lies_outside_the_picture_is_left_out(at: tuple[float, float]) -> None:
    whole = Frame.of(Image.new("RGB", (240, 240)))
    for layer in (Sprite.sharp(oversized()), Cutout.of(oversized())):
        assert layer is not None
        layer.put(whole, *at)
    assert whole.y.size == (240, 240) and whole.u.size == (120, 120)


def test_a_layer_on_which_nothing_is_visible_is_none() -> None:
    empty = Image.new("RGBA", (20, 20), (16, 128, 128, 0))
    assert Sprite.of(empty) is None and Cutout.of(Layer(empty, (0, 0), 1)) is None


def test_a_dim_edge_has_the_colour_of_the_layer_and_no_fringe() -> None:
    frame = Frame.of(Image.new("RGB", (240, 240), (255, 255, 255)))
    sprite = Sprite.of(bar())
    assert sprite is not None
    sprite.put(frame, 60.5, 60.5)
    assert weight(frame).min() > 0.97, "a white layer on white has a dark rim"


def test_closed_eyes_change_nothing_but_the_eyes() -> None:
    figure = draw_figure(look_of(AVA), expression_of("happy", 0.5), 0.1, 50.0, medium=FILM)
    frames = []
    for layers in ([Cutout.of(figure.head)], [Cutout.of(figure.head), Cutout.of(figure.lids(2), sealed=True)]):
        frame = Frame.of(Image.new("RGB", (240, 240), (120, 160, 90)))
        for layer in layers:
            assert layer is not None
            layer.put(frame, 120.0, 120.0, 5.0, 45.0)
        frames.append(np.asarray(frame.y, float))
    changed = np.abs(frames[0] - frames[1])[:, 80:170]                 # within the head
    assert changed[112:136].max() > 60, "the eyes stayed open"
    seam = max(changed[:106].max(), changed[142:].max())
    assert seam < 20, f"a step of {seam:.0f} where the strip with the eyes ends"


def test_the_camera_glides_by_eighths_of_a_pixel() -> None:
    picture = Image.new("RGB", (400, 240))
    ImageDraw.Draw(picture).rectangle((150, 60, 250, 180), fill=(255, 255, 255))
    panorama = Panorama(Frame.of(picture), 1.0)
    places = [centre(panorama.window(60 + n / 8, 0, (240, 240)))[0] for n in range(20)]
    assert np.abs(np.diff(places) + 1 / 8).max() < 0.02, np.diff(places)
