"""Which machine costs since when, and at what price."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from callsheet.runpod.emulator.faults import matches
from callsheet.runpod.emulator.rows import Life, Price

if TYPE_CHECKING:
    from callsheet.runpod.emulator.world import World


class Books:
    def __init__(self, world: World) -> None:
        self.world = world
        self._open = {life.resource: life.id for life in world.state.lives if life.ended is None}
        self._changes: list[tuple[str, float]] = [(where, times) for where, times in json.loads(
            world.state.fact("prices") or "[]")]

    def open(self, plane: str, provider_id: str, resource: str, gpu: str, gpus: int, usd_per_second: float,
             now: float) -> None:
        """A machine begins to cost."""
        life = Life(id=f"{resource}-{len(self.world.state.lives)}", plane=plane, provider_id=provider_id,
                    resource=resource, gpu=gpu, gpus=gpus, started=now,
                    prices=[Price(at=now, usd_per_second=usd_per_second)])
        self._open[resource] = life.id
        self.world.state.lives.save(life)

    def close(self, resource: str, now: float) -> None:
        """It costs no more; nothing happens when it did not."""
        life = self.world.state.lives.get(self._open.pop(resource, ""))
        if life is not None:
            life.ended = max(life.started, now)
            self.world.state.lives.save(life)

    def usd_per_second(self, resource: str) -> float:
        """What it costs now; 0 when it costs nothing."""
        life = self.world.state.lives.get(self._open.get(resource, ""))
        return life.prices[-1].usd_per_second if life else 0.0

    def factor(self, gpu: str) -> float:
        """Today's price against the list's."""
        factor = 1.0
        for where, times in self._changes:
            factor *= times if matches(where, (gpu,)) else 1.0
        return factor

    def reprice(self, where: str, times: float) -> None:
        """Cards that match cost so many times as much from now on, running machines too."""
        self._changes.append((where, times))
        self.world.state.note("prices", json.dumps(self._changes))
        now = self.world.clock.now()
        for life in self.world.state.lives:
            if life.ended is None and matches(where, (life.gpu,)):
                life.prices.append(Price(at=now, usd_per_second=life.prices[-1].usd_per_second * times))
                self.world.state.lives.save(life)
