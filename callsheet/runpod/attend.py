"""One flow run and its machine, from the promise of money to the last row of the ledger.

The same for pods and for endpoint jobs; what differs is behind `Hire`, Prefect behind `Desk` (hire.py), the store
behind `Books`. Whatever happens, a machine is given back before anything else is done about it, and the run's
journal stays open until all is told: so whoever comes after a crash goes on from there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal, NamedTuple

import anyio

from callsheet.costs import Outcome
from callsheet.errors import AnswerUnknown, CallsheetError, Fenced, NoCapacity, StoreError
from callsheet.runpod.books import Books
from callsheet.runpod.hire import Desk, Hire, Rented
from callsheet.runpod.http import jittered
from callsheet.runpod.tending import Act, MachineSight, Phase, RunSight, Verdict, Watch, tend

Sleep = Callable[[float], Awaitable[None]]

CAPACITY_PAUSE_S = 30.0
_CHECK_S = 2.0
_MOST_MACHINES = 6
"""A run whose machines never come up does not go through them all night."""
_MOST_LOST = 3
"""Orders in a row that surely never arrived: then the provider is too ill."""
_TRIES = 5


class End(NamedTuple):
    """What came of it."""

    verdict: Verdict
    machine_id: str = ""


ELSEWHERE = Verdict(Act.RELEASE, Outcome.UNKNOWN, None, "somebody else looks after it")


class _Unwanted(Exception):
    """The run needs no machine, or cannot have one any more."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class _StillThere(Exception):
    """A machine that could not be given back: the journal stays open for the next sweep."""


class Attendance:
    """Looks after one run. Used once."""

    def __init__(
        self, hire: Hire, books: Books, desk: Desk, what: str, *,
        clock: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`what` names the run where a budget speaks of it."""
        self.hire = hire
        self.books = books
        self.desk = desk
        self.what = what
        self.clock = clock
        self.sleep = sleep
        self._machine_id = ""
        self._adopting = False

    async def run(self) -> End:
        """Until the run is over. Errors become the run's state; only a lost store or server is raised."""
        if not await self.books.turn():
            return End(ELSEWHERE)
        try:
            verdict = await self._looked_after()
        except asyncio.CancelledError:                # this worker stops: the machine goes on, and the next worker
            with anyio.CancelScope(shield=True):      # takes over; its own deadline holds until then
                await self.books.leave()
            raise
        except _StillThere:
            await self.books.leave()
            return End(ELSEWHERE, self._machine_id)
        except Fenced:
            return End(ELSEWHERE, self._machine_id)
        return End(verdict, self._machine_id)

    async def _looked_after(self) -> Verdict:
        try:
            verdict = await self._machines()
        except _Unwanted as unwanted:
            verdict = unwanted.verdict
        except Fenced:
            raise
        except CallsheetError as error:
            state: Literal["crashed", "failed"] = "crashed" if error.retryable else "failed"
            await self.desk.become(state, str(error))
            await self._close(Outcome.FAILED, str(error))
            return Verdict(Act.RELEASE, Outcome.FAILED, "crashed", str(error))
        if verdict.report is not None:
            await self.desk.become(verdict.report, f"{self.what}: {verdict.reason}")
        await self._close(verdict.outcome, verdict.reason)
        return verdict

    async def _machines(self) -> Verdict:
        """One machine after the other, until one stays up."""
        began = self.clock() - self._spent_before()
        for _ in range(_MOST_MACHINES):
            machine = await self._machine()
            self._machine_id = machine.id
            watch = Watch(self.hire.limits, self.clock() - began, self._adopting)
            verdict = await self._stayed(machine, watch)
            if verdict.act is not Act.NEXT:
                return verdict
            self.desk.warn(f"machine {machine.id} was given back: {verdict.reason}; trying another")
            self.hire.avoid(machine)
            await self.books.end(verdict.outcome, verdict.reason)
        raise NoCapacity(provider="RunPod", detail=f"{_MOST_MACHINES} machines did not come up")

    def _spent_before(self) -> float:
        """Seconds since the first order, where another worker began."""
        if not self.books.open:
            return 0.0
        return max(0.0, (self.books.now() - self.books.intended).total_seconds())

    async def _stayed(self, machine: Rented, watch: Watch) -> Verdict:
        """Watch, give back, write down."""
        verdict = Verdict(Act.RELEASE, Outcome.UNKNOWN, "crashed", "its worker failed")
        leaving = False
        try:
            verdict = await tend(machine, self.desk, watch, self._beat, clock=self.clock, sleep=self.sleep)
        except (asyncio.CancelledError, Fenced):
            leaving = True                            # somebody else goes on with it
            raise
        finally:
            if not leaving:
                await self._stopped(machine)
        await self.desk.released(machine, verdict)
        await self._paid(machine, verdict)
        return verdict

    async def _stopped(self, machine: Rented) -> None:
        try:
            await machine.stop()
        except CallsheetError as error:
            self.desk.warn(f"{machine.id} may still cost money, and is tried again: {error}")
            raise _StillThere(str(error)) from error

    async def _paid(self, machine: Rented, verdict: Verdict) -> None:
        try:
            await self._surely(lambda: self.books.paid(machine.life(verdict.outcome, self.books.attempt)))
        except StoreError as error:                   # the bill has it: `costs --reconcile` finds it
            self.desk.warn(f"what {machine.id} cost is not written down: {error}")

    # ---- getting one

    async def _machine(self) -> Rented:
        if self.books.open:
            adopted = await self._adopted()
            self._adopting = adopted is not None
            if adopted is not None:
                await self.desk.machine(adopted, True)
                return adopted
        await self._check()
        self._adopting = False
        machine = await self._ordered()
        await self.desk.machine(machine, False)
        return machine

    async def _adopted(self) -> Rented | None:
        """The machine of the attempt that was left open; None when there is none."""
        machine_id = self.books.job_id or await self.hire.find(self.books.attempt, self._still_wanted)
        if not machine_id:
            await self.books.end(Outcome.LOST, "it was never ordered")
            return None
        await self.books.submitted(machine_id)
        return self.hire.known(machine_id, self.books.intended, self.books.rate)

    async def _ordered(self) -> Rented:
        worst_usd, rate = await self.hire.worst()
        await self.books.promise(worst_usd, self.what)
        patience, lost = self.clock() + self.hire.capacity_s, 0
        attempt = await self.books.intend(worst_usd, rate, self.hire.facts())
        while True:
            try:
                return await self.hire.order(attempt, self.books.submitted, self._check)
            except NoCapacity as error:
                if self.clock() >= patience:
                    raise
                self.desk.say(f"{error.what}; asking again")
                await self._pause(CAPACITY_PAUSE_S)
            except AnswerUnknown:
                found = await self.hire.find(attempt, self._still_wanted)
                if found:
                    await self.books.submitted(found)
                    return self.hire.known(found, self.books.intended, self.books.rate)
                lost += 1
                if lost == _MOST_LOST:
                    raise
                await self.books.end(Outcome.LOST, "its order never arrived")
                attempt = await self.books.intend(worst_usd, rate, self.hire.facts())

    async def _pause(self, seconds: float) -> None:
        ends = self.clock() + jittered(seconds)
        while self.clock() < ends:
            await self._check()
            await self.sleep(_CHECK_S)

    async def _check(self) -> None:
        """Keep the turn; raises _Unwanted when there is no use for a new machine."""
        run = await self._still_wanted()
        if run is not None and run.phase is Phase.RUNNING:
            raise _Unwanted(Verdict(Act.RELEASE, Outcome.LOST, "crashed", "it ran on a machine that is gone"))

    async def _still_wanted(self) -> RunSight | None:
        """Keep the turn; raises _Unwanted when the run is over, or ought to be."""
        await self.books.beat()
        run = await self.desk.sight()
        if run is None or run.phase in (Phase.WAITING, Phase.RUNNING):
            return run
        if run.phase is Phase.CANCELLING:
            raise _Unwanted(Verdict(Act.RELEASE, Outcome.CANCELLED, "cancelled", "it was cancelled"))
        outcome = run.outcome if run.phase is Phase.FINAL else Outcome.CANCELLED
        raise _Unwanted(Verdict(Act.RELEASE, outcome, None, f"the run is {run.told or run.phase}"))

    # ---- keeping it

    async def _beat(self, _seen: MachineSight | None) -> None:
        await self.books.beat()

    async def _close(self, outcome: Outcome, reason: str) -> None:
        """Budget and journal are done with this run, the journal last; a store that is away leaves that to a sweep."""
        try:
            await self._surely(self.books.settle)
            await self._surely(lambda: self.books.end(outcome, reason))
        except StoreError as error:
            self.desk.warn(f"the journal of {self.what} stays open for now: {error}")

    async def _surely(self, write: Callable[[], Awaitable[None]]) -> None:
        for number in range(1, _TRIES + 1):
            try:
                await write()
                return
            except StoreError as error:
                if not error.retryable or number == _TRIES:
                    raise
            await self.sleep(jittered(float(number)))
