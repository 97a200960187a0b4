"""Work that is paid once, whoever asks for it and however often a process dies over it.

Before anything is submitted: is the result there? is there a job to wait for? has a worker claimed the attempt?
The journal says who may go on (journal.py), the claim who may render (attempts.py). What is promised: a crash
between a submit and the note of it costs at most one cold start, never a second render. Covers one key of work;
how a job is submitted and watched is behind `Jobs`, money behind `Accounts` (jobs.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
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
    NotInStore,
    ProviderError,
    QueueStuck,
    StoreError,
)
from callsheet.store.attempts import close_attempt, holder
from callsheet.store.base import Store
from callsheet.store.jobs import Accounts, Beat, JobEnd, Jobs, NoAccounts
from callsheet.store.journal import Ended, Journal, Turn

__all__ = ["Accounts", "Beat", "JobEnd", "Jobs", "NoAccounts", "paid_once"]

CLAIM_WAIT_S = 90.0
"""How long a worker may take to claim a job whose submit was not answered: a cold start, and some queue."""
PATIENCE_S = 600.0
"""How long what was submitted or made waits for a store that fails."""
GRACE_S = 15.0
"""How long a cancelled job may take to end before it is left for the next run to look at."""
MOST_REFUSALS = 6
"""How often a submit that surely did not arrive is tried."""

T = TypeVar("T")
Pause = Callable[[float], Awaitable[None]]
Stopped = (asyncio.CancelledError, KeyboardInterrupt, Cancelled)


def no_check() -> None:
    """For callers that nobody stops."""


async def paid_once(
    key: str,
    journal: Journal,
    jobs: Jobs,
    found: Callable[[], T | None],
    *,
    store: Store,
    accounts: Accounts | None = None,
    most_attempts: int = 3,
    check: Callable[[], None] = no_check,
    claim_wait_s: float = CLAIM_WAIT_S,
    pause: Pause = asyncio.sleep,
    call: Callable[..., Awaitable[Any]] = asyncio.to_thread,
) -> T:
    """The result of a key's work: found, adopted or paid for, once.

    `found` looks for the result; `check` raises Cancelled when this run is to stop; `call` runs what asks the store.
    An attempt that fails and may be tried again is, up to `most_attempts` times; what others tried meanwhile counts.
    When this run is cancelled, so is the job. Raises JobFailed, JobTimedOut or JobLost with the number of attempts
    and the last job's id, BudgetExceeded, QueueStuck, StoreError and whatever else refuses a submit.
    """
    payment = _Payment(
        key, journal, jobs, found, store, accounts or NoAccounts(), most_attempts, check, claim_wait_s, pause, call
    )
    return await payment.run()


@dataclass
class _Payment(Generic[T]):
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
    call: Callable[..., Awaitable[Any]]
    job_id: str = ""
    """What was submitted last, known here before it is in the journal."""

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
                await self.pause(_about(wait_s))
                wait_s = min(wait_s * 1.5, 5.0)

    async def _go_on(self, turn: Turn | None, before: int) -> T | None:
        made: T | None = await self.call(self.found)          # after the turn: who ended before it has published
        if turn is None or (made is not None and not turn.is_open):
            return made
        self.job_id = ""
        if not turn.is_open:
            tries = await self._tries(before)
            if tries:
                await self.pause(_about(2.0 ** tries))
            await self._begin(turn)
        if turn.state == "intent" and not await self._looked_up(turn):
            return None
        return await self._follow(turn)

    async def _tries(self, before: int) -> int:
        """How many attempts failed since this call began. Raises the last one's error when they are enough."""
        entries = await self.call(self.journal.history, self.key, before)
        failed = [e for e in entries if isinstance(e, Ended) and e.outcome not in (Outcome.MADE, Outcome.CANCELLED)]
        if failed and (not failed[-1].retryable or len(failed) >= self.most_attempts):
            raise _failure(failed[-1], len(failed))
        return len(failed)

    # ---- submit

    async def _begin(self, turn: Turn) -> None:
        """Write the intent, reserve, submit; leaves the turn at its intent when the answer was lost."""
        usd, rate, facts = self.jobs.worst()
        attempt = await self._surely(lambda: turn.intend(usd, rate, facts))
        try:
            await self.call(self.accounts.reserve, self.key, attempt, usd)
            self.job_id = await self._submit(turn, attempt)
        except AnswerUnknown:
            return
        except (Fenced, Cancelled):
            raise
        except CallsheetError as error:                       # surely not submitted: nothing to wait for
            await self._end(turn, _never(error))
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
            await self._rest(turn, float(asked) if asked else _about(wait_s))
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
            await self._rest(turn, _about(self.claim_wait_s / 20))
            taken = await self._surely(lambda: holder(self.store, self.key, turn.attempt))
        if taken is None:
            taken = await self._surely(lambda: close_attempt(self.store, self.key, turn.attempt, turn.owner))
        if not taken:
            await self._end(turn, JobEnd(
                outcome=Outcome.LOST, code=AnswerUnknown.code, retryable=True, remedy=AnswerUnknown.remedy,
                message="nobody knows whether the provider took it; no worker had begun, and none will",
            ))
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
            await self._end(turn, _never(error, turn.job_id))
            raise
        except (JobTimedOut, JobLost) as error:
            return await self._concluded(turn, _gone(error, turn.job_id))
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
            end = end.model_copy(update={
                "outcome": Outcome.FAILED, "artifacts": {}, "retryable": True, "code": NotInStore.code,
                "message": "it says that it is done, and its result is not in the store", "remedy": NotInStore.remedy,
            })
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
            await self.jobs.cancel(job_id)
            end = await self._last_words(job_id)
            if end is None:
                await self.call(turn.release)
            else:
                await self._end(turn, end)

    async def _last_words(self, job_id: str) -> JobEnd | None:
        """How a cancelled job ended; None when it does not end."""
        until = self.journal.clock() + GRACE_S

        async def beat() -> None:
            if self.journal.clock() >= until:
                raise TimeoutError

        try:
            return await self.jobs.wait(job_id, beat)
        except (QueueStuck, JobTimedOut, JobLost) as error:
            return _never(error, job_id)
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

    async def _surely(self, ask: Callable[[], Any]) -> Any:
        """Ask the store until it answers: what was paid for is too dear to lose."""
        wait_s, until = 0.2, self.journal.clock() + PATIENCE_S
        while True:
            try:
                return await self.call(ask)
            except StoreError as error:
                if not error.retryable or self.journal.clock() > until:
                    raise
            await self.pause(_about(wait_s))
            wait_s = min(wait_s * 2, 10.0)


def _about(seconds: float) -> float:
    return seconds * random.uniform(0.7, 1.3)


def _never(error: CallsheetError, job_id: str = "") -> JobEnd:
    """The end of an attempt of which nothing was rendered."""
    return JobEnd(
        outcome=Outcome.CANCELLED, job_id=job_id, code=error.code, message=error.what, remedy=error.fix,
        retryable=error.retryable,
    )


def _gone(error: JobTimedOut | JobLost, job_id: str) -> JobEnd:
    """The end of a job that surely runs no more."""
    return JobEnd(
        outcome=Outcome.LOST if isinstance(error, JobLost) else Outcome.TIMED_OUT, job_id=job_id, code=error.code,
        seconds=float(error.facts.get("seconds", 0.0)), message=str(error.facts.get("detail", "")), remedy=error.fix,
        retryable=True,
    )


def _failure(ended: Ended, tries: int) -> CallsheetError:
    """The last attempt's end as an error that says how often it was tried."""
    often = "tried once" if tries == 1 else f"tried {tries} times"
    facts: dict[str, Any] = {
        "job_id": ended.job_id or "(unknown)", "detail": f"{ended.message or ended.outcome.value}; {often}",
        "job_code": ended.code, "attempts": tries, "seconds": ended.seconds,
    }
    if ended.remedy:
        facts["remedy"] = ended.remedy
    if ended.outcome is Outcome.TIMED_OUT:
        return JobTimedOut(**facts)
    return JobLost(**facts) if ended.outcome is Outcome.LOST else JobFailed(**facts)
