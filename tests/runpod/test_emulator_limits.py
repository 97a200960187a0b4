"""Rate limits, and the emulated clock that they follow."""

from __future__ import annotations

import asyncio

import pytest

from callsheet.runpod.emulator.clock import Clock, iso
from callsheet.runpod.emulator.limits import PER_WINDOW, Limits
from callsheet.runpod.emulator.refusals import Refusal


@pytest.mark.parametrize("kind", PER_WINDOW)
def test_one_request_too_many_is_told_when_there_is_room_again(kind: str) -> None:
    limits = Limits()
    for _ in range(PER_WINDOW[kind]):
        limits.count("a", kind, now=100.0)
    with pytest.raises(Refusal) as refused:
        limits.count("a", kind, now=103.0)
    assert (refused.value.status, refused.value.retry_after_s) == (429, 7.0)
    limits.count("another", kind, now=103.0)
    limits.count("a", kind, now=110.0)


def test_time_that_stands_still_moves_only_when_it_is_moved() -> None:
    clock = Clock(scale=0, start=1000.0)
    clock.advance(2.5)
    assert clock.now() == 1002.5 and iso(clock.now()) == "1970-01-01T00:16:42.500000Z"
    with pytest.raises(ValueError, match="moves on"):
        clock.advance(-1)


def test_whoever_sleeps_wakes_when_time_is_moved_far_enough() -> None:
    async def play() -> list[float]:
        clock, woken = Clock(scale=0, start=0.0), []

        async def sleeper() -> None:
            await clock.sleep(10)
            woken.append(clock.now())

        task = asyncio.create_task(sleeper())
        for _ in range(3):
            await asyncio.sleep(0)
            clock.advance(5)
        await task
        return woken

    assert asyncio.run(play())[0] >= 10


def test_a_faster_clock_keeps_the_time_it_had() -> None:
    clock = Clock(scale=0, start=50.0)
    clock.rescale(1000)
    assert 50 <= clock.now() < 60_000
