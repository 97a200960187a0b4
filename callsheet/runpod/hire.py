"""How a flow run gets a machine, and who is told: the contracts between attend.py and pods, jobs and Prefect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Literal, Protocol

from callsheet.costs import Outcome
from callsheet.pricing import Rate
from callsheet.runpod.life import Life
from callsheet.runpod.tending import Limits, Machine, RunSight, Verdict

Note = Callable[[str, Rate | None], Awaitable[None]]
"""Writes down which machine it is, and its price where that is known."""


class Rented(Machine, Protocol):
    """A machine that is being paid."""

    id: str
    """The pod's or the job's."""
    pid: str
    """As Prefect keeps it: what `kill_infrastructure` is given."""
    rate: Rate

    async def stop(self) -> None:
        """End its bill, surely. What is gone already is no error."""

    def life(self, outcome: Outcome, attempt: int) -> Life:
        """What it cost; after `stop`."""


class Hire(Protocol):
    """How a run gets its machine."""

    limits: Limits
    capacity_s: float
    """How long to go on asking while nothing is free."""

    async def worst(self) -> tuple[float, Rate]:
        """The most in USD that the run can cost, and the dearest rate. Raises ProviderError."""

    def facts(self) -> Mapping[str, object]:
        """JSON values that whoever adopts the machine needs."""

    async def order(
        self, attempt: int, note: Note, check: Callable[[], Awaitable[None]]
    ) -> Rented:
        """Get one. `note` is given it before anything else; `check` raises when it is not wanted any more.

        Raises AnswerUnknown when one may have been made; with any other error none was.
        """

    async def find(self, attempt: int, check: Callable[[], Awaitable[object]]) -> str:
        """The id of a machine whose order was not answered; empty when there surely is none."""

    def known(self, machine_id: str, since: datetime, rate: Rate) -> Rented:
        """One that was ordered at `since` or a little after, perhaps by somebody else, for `rate` at most."""

    def avoid(self, machine: Rented) -> None:
        """It never came up: order the next one elsewhere."""


class Desk(Protocol):
    """Prefect's side of the run."""

    async def sight(self) -> RunSight | None: ...
    async def machine(self, machine: Rented, adopted: bool) -> None:
        """Tell which machine it has now, and what it costs."""

    async def released(self, machine: Rented, verdict: Verdict) -> None:
        """Tell that it has it no more."""

    async def become(self, state: Literal["crashed", "cancelled", "failed"], message: str) -> None:
        """Give the run this state, unless it is over already. Raises when the API stays away."""

    def say(self, message: str) -> None: ...
    def warn(self, message: str) -> None: ...
