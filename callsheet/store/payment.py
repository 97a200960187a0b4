"""One owner's way through one key of work: what paying.py promises, step by step.

Every step may be the last one of its process, and any other owner may come in between: what holds then is checked in
tests/store/test_paying_machine.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from callsheet.costs import Outcome
from callsheet.errors import (
    AnswerUnknown,
    CallsheetError,
    Cancelled,
    Fenced,
    JobFailed,
    JobLost,
    JobTimedOut,
    ProviderError,
    QueueStuck,
    StoreError,
)
from callsheet.store.attempts import close_attempt, holder
from callsheet.store.base import Store
from callsheet.store.job_ends import failure, gone, never, unconfirmed, without_result
from callsheet.store.jobs import Accounts, Beat, JobEnd, Jobs
from callsheet.store.journal import Ended, Journal, Turn
from callsheet.store.patience import Call, Pause, about, surely

GRACE_S = 15.0
"""How long a cancelled job may take to end before it is left for the next run to look at."""
MOST_REFUSALS = 6
"""How often a submit that surely did not arrive is tried."""

T = TypeVar("T")
Stopped = (asyncio.CancelledError, KeyboardInterrupt, Cancelled)


@dataclass
class Payment(Generic[T]):
    key: str
    journal: Journal
    jobs: Jobs
    found: Callable[[], T | None]
    store: Store
    accounts: Accounts
    most_attempts: int
    check: Callable[[], None]
    claim_wait_s: float
    pause: Pause
    call: Call
    job_id: str = ""
    """What was submitted last, known here before it is in the journal."""

    def _surely(self, ask: Callable[[], Any]) -> Awaitable[Any]:
        return surely(ask, self.call, self.pause, self.journal.clock)

    async def run(self) -> T:
        before = await self.call(self.journal.length, self.key)
        wait_s = 0.5
        while True:
            self.check()
            turn: Turn | None = await self.call(self.journal.turn, self.key)
            try:
                made = await self._go_on(turn, before)
            except Fenced:
                continue                                      # the other one's result is used
            except Stopped:
                if turn is not None:
                    await self._stop(turn)
                raise
            if made is not None:
                return made
            if turn is None:
                await self.pause(about(wait_s))
                wait_s = min(wait_s * 1.5, 5.0)

    async def adopt(self) -> bool:
        turn: Turn | None = await self.call(self.journal.turn, self.key)
        if turn is None or not turn.is_open:
            return False
        try:
            if turn.state == "submitted" or await self._looked_up(turn):
                await self._follow(turn)
        except Fenced:
            return False
        except (JobFailed, QueueStuck):                       # it was cancelled: over as well
            return True
        except Stopped:
            with contextlib.suppress(Fenced, StoreError):
                await self.call(turn.release)
            raise
        return True

    async def _go_on(self, turn: Turn | None, before: int) -> T | None:
        made: T | None = await self.call(self.found)          # after the turn: who ended before it has published
        if turn is None or (made is not None and not turn.is_open):
            return made
        self.job_id = ""
        if not turn.is_open:
            tries = await self._tries(before)
            if tries:
                await self.pause(about(2.0 ** tries))
            await self._begin(turn)
        if turn.state == "intent" and not await self._looked_up(turn):
            return None
        return await self._follow(turn)

    async def _tries(self, before: int) -> int:
        """How many attempts failed since this call began. Raises the last one's error when they are enough."""
        entries = await self.call(self.journal.history, self.key, before)
        failed = [e for e in entries if isinstance(e, Ended) and e.outcome not in (Outcome.MADE, Outcome.CANCELLED)]
        if failed and (not failed[-1].retryable or len(failed) >= self.most_attempts):
            raise failure(failed[-1], len(failed))
        return len(failed)

    # ---- submit

    async def _begin(self, turn: Turn) -> None:
        """Write the intent, reserve, submit; leaves the turn at its intent when the answer was lost."""
        usd, rate, facts = self.jobs.worst()
        attempt = await self._surely(lambda: turn.intend(usd, rate, facts))
        try:
            await self.call(self.accounts.reserve, self.key, attempt, usd)
            await self._beat(turn)()                          # the last look before money is spent
            self.job_id = await self._submit(turn, attempt)
        except AnswerUnknown:
            return
        except (Fenced, Cancelled):
            raise
        except CallsheetError as error:                       # surely not submitted: nothing to wait for
            await self._end(turn, never(error))
            raise
        try:
            await self._surely(lambda: turn.submitted(self.job_id))
        except Fenced:
            await self._disown(turn, attempt)
            raise

    async def _submit(self, turn: Turn, attempt: int) -> str:
        wait_s = 1.0
        for _ in range(MOST_REFUSALS - 1):
            try:
                return await self.jobs.submit(self.key, attempt)
            except AnswerUnknown:
                raise
            except ProviderError as error:
                if not error.retryable:
                    raise
                asked = error.facts.get("retry_after_s")
            await self._rest(turn, float(asked) if asked else about(wait_s))
            wait_s = min(wait_s * 2, 30.0)
        return await self.jobs.submit(self.key, attempt)

    async def _disown(self, turn: Turn, attempt: int) -> None:
        """Somebody took over while we submitted. They find our job by its claim, or it must not begin."""
        taken = await self._surely(lambda: close_attempt(self.store, self.key, attempt, turn.owner))
        if taken != self.job_id:
            with contextlib.suppress(ProviderError):
                await self.jobs.cancel(self.job_id)

    # ---- what was submitted, perhaps

    async def _looked_up(self, turn: Turn) -> bool:
        """Find the job of an attempt whose submit nobody saw answered; else close it, so that none begins."""
        assert turn.intent is not None
        until = turn.intent.at.timestamp() + self.claim_wait_s
        taken = await self._surely(lambda: holder(self.store, self.key, turn.attempt))
        while taken is None and self.journal.clock() < until:
            await self._rest(turn, about(self.claim_wait_s / 20))
            taken = await self._surely(lambda: holder(self.store, self.key, turn.attempt))
        if taken is None:
            taken = await self._surely(lambda: close_attempt(self.store, self.key, turn.attempt, turn.owner))
        if not taken:
            await self._end(turn, unconfirmed())
            return False
        await self._surely(lambda: turn.submitted(taken))
        return True

    async def _follow(self, turn: Turn) -> T | None:
        """Wait for the job of the turn: its result, or None when it failed and may be tried again."""
        try:
            end = await self.jobs.wait(turn.job_id, self._beat(turn))
        except (Fenced, Cancelled):
            raise
        except QueueStuck as error:                           # it was cancelled already
            await self._end(turn, never(error, turn.job_id))
            raise
        except (JobTimedOut, JobLost) as error:
            return await self._concluded(turn, gone(error, turn.job_id))
        except CallsheetError:                                # the job may go on: leave it to whoever comes next
            with contextlib.suppress(StoreError, Fenced):
                await self.call(turn.release)
            made: T | None = await self._surely(self.found)
            if made is None:
                raise
            return made
        return await self._concluded(turn, end)

    async def _concluded(self, turn: Turn, end: JobEnd) -> T | None:
        made: T | None = await self._surely(self.found)
        if made is None and end.outcome is Outcome.MADE:
            end = without_result(end)
        elif end.outcome is Outcome.DUPLICATE:
            end = end.model_copy(update={"retryable": True})
        try:
            await self._end(turn, end)
        except (Fenced, StoreError):
            if made is None:
                raise
        if made is None and end.outcome is Outcome.CANCELLED:
            raise JobFailed(job_id=end.job_id or turn.job_id, detail=end.message or "it was cancelled at the provider")
        return made

    # ---- stop, end

    async def _stop(self, turn: Turn) -> None:
        """Nobody wants it any more: cancel what was submitted, unless it is somebody else's by now."""
        with contextlib.suppress(CallsheetError):
            if not await self.call(turn.renew):
                return
            job_id = turn.job_id or self.job_id or await self.call(
                close_attempt, self.store, self.key, turn.attempt, turn.owner)
            if not job_id:
                await self._end(turn, JobEnd(outcome=Outcome.CANCELLED, code=Cancelled.code))
                return
            if not turn.job_id:
                await self.call(turn.submitted, job_id)
            try:
                await self.jobs.cancel(job_id)
                end = await self._last_words(job_id)
            except ProviderError:                             # it goes on, and is there for whoever comes next
                end = None
            if end is None:
                await self.call(turn.release)
            else:
                await self._concluded(turn, end)

    async def _last_words(self, job_id: str) -> JobEnd | None:
        """How a cancelled job ended; None when it does not end."""
        until = self.journal.clock() + GRACE_S

        async def beat() -> None:
            if self.journal.clock() >= until:
                raise TimeoutError

        try:
            return await self.jobs.wait(job_id, beat)
        except (QueueStuck, JobTimedOut, JobLost) as error:
            return never(error, job_id)
        except (TimeoutError, CallsheetError):
            return None

    async def _end(self, turn: Turn, end: JobEnd) -> None:
        """Settle, then write the end: whoever adopts an attempt that was settled settles it again, to no effect."""
        intent = turn.intent
        assert intent is not None
        await self._surely(lambda: self.accounts.settle(self.key, intent, end))
        await self._surely(lambda: turn.end(
            end.outcome, job_id=end.job_id, artifacts=end.artifacts, code=end.code, message=end.message,
            remedy=end.remedy, retryable=end.retryable, seconds=end.seconds,
        ))

    # ---- time

    def _beat(self, turn: Turn) -> Beat:
        async def beat() -> None:
            self.check()
            with contextlib.suppress(StoreError):             # tried again at the next beat; the job goes on anyway
                await self.call(turn.renew_if_due)

        return beat

    async def _rest(self, turn: Turn, seconds: float) -> None:
        """Pause and hold on to the turn. Raises Fenced, Cancelled."""
        await self.pause(seconds)
        await self._beat(turn)()
