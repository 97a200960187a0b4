"""Whoever lost the right to make a recipe stops working on it, and a lost answer does not lose the right."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from callsheet.errors import Fenced, StoreError
from callsheet.recipe import Recipe, Stage
from callsheet.store.base import Outcome, Room
from callsheet.store.make import make
from callsheet.store.records import Records
from tests.support.stores import MemoryStore


class Paint(Recipe):
    stage: ClassVar[Stage] = Stage.POSTER
    colour: str


RED = Paint(colour="red")


def paints(text: str, meanwhile: Callable[[], object] = lambda: None) -> Callable[[Room], Outcome]:
    def work(room: Room) -> Outcome:
        meanwhile()
        room.progress(0.5, "half")
        path = room.path("out.txt")
        path.write_text(text)
        return Outcome(files={"main": path}, facts={"text": text})

    return work


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_maker_whose_lease_ran_out_stops_when_it_tells_its_progress() -> None:
    clock = Clock()
    records = Records(MemoryStore(), clock=clock, lease_s=1e6)
    with pytest.raises(Fenced, match=RED.fingerprint):
        make(RED, paints("late", lambda: setattr(clock, "now", 2e6)), records)
    failure = records.failure(RED)
    assert failure is not None and failure.code == "claim.fenced"
    assert make(RED, paints("again"), records)[0].facts == {"text": "again"}


def test_a_maker_who_was_taken_over_uses_the_others_result() -> None:
    clock, store = Clock(), MemoryStore()
    mine, theirs = (Records(store, clock=clock, lease_s=1e6) for _ in range(2))

    def overtaken() -> None:
        clock.now = 2e6
        make(RED, paints("theirs"), theirs)

    record, cached = make(RED, paints("mine", overtaken), mine)
    assert (record.facts, cached) == ({"text": "theirs"}, True)


class Lossy(MemoryStore):
    """Loses the answer to the next writes of claims: they land."""

    def __init__(self) -> None:
        super().__init__()
        self.lose = 0
        self.lost = threading.Event()

    def put_if_absent(self, key: str, source: Path | bytes) -> bool:
        wrote = super().put_if_absent(key, source)
        if self.lose and "/records/" in key and b'"claim"' in self.blobs[key]:
            self.lose -= 1
            self.lost.set()
            raise StoreError(url=self.url, detail="503")
        return wrote


def test_a_lost_answer_to_a_renewal_does_not_cost_the_work() -> None:
    store = Lossy()

    def while_renewing() -> None:
        store.lose = 1
        assert store.lost.wait(10)

    record, cached = make(RED, paints("mine", while_renewing), Records(store, lease_s=0.3))
    assert (record.facts, cached) == ({"text": "mine"}, False)


def test_a_maker_that_can_renew_goes_on_for_many_leases() -> None:
    records = Records(MemoryStore(), lease_s=0.3)
    assert make(RED, paints("slow", lambda: threading.Event().wait(1.0)), records)[1] is False
