"""Sizes that a model can make, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from callsheet.engines.diffusers.canvas import Canvas, eight_bits, kept
from callsheet.engines.diffusers.work import Job
from callsheet.errors import EngineError


def job(width: int, height: int) -> Job:
    return Job(prompt="", negative="", width=width, height=height, frames=1, steps=1, guidance=1.0, seed=0)


@pytest.mark.parametrize("size", [(80, 48), (64, 64), (81, 47), (1920, 1080)])
def test_a_picture_of_the_asked_size_comes_back_as_it_went_in(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    canvas = Canvas.of(job(*size), 32)
    placed = canvas.place(Image.fromarray(noise))
    assert placed.width % 32 == placed.height % 32 == 0, placed.size
    assert (canvas.cut(np.asarray(placed)[None])[0] == noise).all()


def test_a_picture_of_another_shape_fills_the_canvas_without_being_stretched() -> None:
    wide = Image.new("RGB", (400, 100), "red")
    wide.paste("blue", (150, 0, 250, 100))                      # a square in the middle
    placed = np.asarray(Canvas.of(job(64, 64), 32).place(wide))
    assert placed.shape == (64, 64, 3)
    assert (placed[:, 8:56] == (0, 0, 255)).all()


def test_frames_after_the_first_are_taken_in_order() -> None:
    assert list(kept(made=121, wanted=120, skip=1)) == list(range(1, 121))


@pytest.mark.parametrize(("made", "wanted", "skip"), [(121, 120, 0), (125, 122, 1), (5, 2, 0), (5, 1, 0)])
def test_a_clip_with_a_last_picture_keeps_both_its_ends(made: int, wanted: int, skip: int) -> None:
    chosen = kept(made, wanted, skip, ends=True)
    assert len(chosen) == len(set(chosen)) == wanted
    assert chosen[0] == skip
    assert chosen[-1] == (made - 1 if wanted > 1 else skip)


def test_numbers_that_are_none_are_an_error_and_not_black() -> None:
    frames = np.full((2, 4, 4, 3), 0.5, dtype=np.float32)
    assert eight_bits(frames, "a clip").tolist() == np.full((2, 4, 4, 3), 128).tolist()
    frames[1, 0, 0, 0] = np.nan
    with pytest.raises(EngineError, match="NaN"):
        eight_bits(frames, "a clip")
