"""What stands still, and what only seems to: slow motion, small motion, and an encoder's steps."""

from __future__ import annotations

import numpy as np

from callsheet.media.standing import Picture, Standing
from tests.media import films

SMALL = (96, 54)
STILL = 6


def spans(pictures: list[Picture], other: range = range(0)) -> list[tuple[int, int]]:
    """Stretches of more than one second of 25 frames."""
    standing = Standing(STILL)
    for n, picture in enumerate(pictures):
        standing.add(picture, n in other)
    return [(a, b) for a, b in standing.spans() if b - a >= 25]


def shown(draw: films.Draw, frames: range) -> list[Picture]:
    return [draw(n) for n in frames]


MOVING, SLOW = films.moving(1, SMALL), films.moving(1, SMALL, pixels=0.2)


def test_a_picture_that_is_repeated_stands() -> None:
    assert spans(shown(MOVING, range(20)) + [MOVING(20)] * 40 + shown(MOVING, range(21, 40))) == [(20, 60)]


def test_a_key_frame_that_makes_it_sharper_does_not_end_it() -> None:
    sharper = (MOVING(20).astype(int) + np.where(np.indices(SMALL[::-1]).sum(axis=0) % 2, 3, 0)).astype(np.uint8)
    sharper[5, 5] += 8
    assert spans([MOVING(20)] * 15 + [sharper] * 15) == [(0, 30)]


def test_steps_that_add_up_are_slow_motion_however_long_each_picture_is_held() -> None:
    assert spans([picture for n in range(8) for picture in [SLOW(n * 8)] * 8]) == []


def test_slow_motion_does_not_stand() -> None:
    assert spans(shown(SLOW, range(80))) == []


def test_a_small_mouth_that_moves_is_enough() -> None:
    assert spans(shown(films.talking(1, (192, 108)), range(80))) == []


def test_noise_of_a_film_s_grain_does_not_make_it_move() -> None:
    noise = np.random.default_rng(1).integers(-1, 2, (40, *SMALL[::-1]))
    assert spans([(MOVING(0) + grain).astype(np.uint8) for grain in noise]) == [(0, 40)]


def test_other_pictures_are_left_out() -> None:
    assert spans([MOVING(0)] * 80, other=range(30, 40)) == [(0, 30), (40, 80)]


def test_motion_that_begins_again_ends_it_to_the_frame() -> None:
    assert spans([MOVING(0)] * 30 + shown(MOVING, range(1, 5))) == [(0, 30)]
