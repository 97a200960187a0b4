"""Jobs whose asker is gone: looked up, settled and closed, so that the ledger knows what they cost.

Nothing is submitted here and nothing is cancelled: a job that still runs will put its result into the store, and is
looked at again the next time.
"""

from __future__ import annotations

from typing import Any

from callsheet.costs import Outcome
from callsheet.errors import AnswerUnknown, Fenced
from callsheet.recipe import Stage
from callsheet.runpod.client import JobsClient
from callsheet.store.attempts import close_attempt
from callsheet.store.jobs import JobEnd
from callsheet.store.journal import Journal, Turn
from callsheet.store.paying import CLAIM_WAIT_S
from tasks.endpoint import Books, ended_as, planes
from tasks.run import current
from tasks.spending import budgets, ledger


async def settle_left_jobs() -> list[str]:
    """Close every open attempt of a stage's job that nobody waits for and that has ended; a line for each."""
    run = current()
    journal = Journal(run.records.store)
    lines: list[str] = []
    api, control = planes(run.settings)
    async with api, control:
        for stage in (stage for stage in Stage if stage.needs_gpu):
            for key in journal.open_keys(f"{stage}/"):
                turn = journal.turn(key)
                if turn is None or not turn.is_open:
                    continue
                try:
                    end = await _end_of(turn, JobsClient(api, str(_facts(turn).get("endpoint", "")), control))
                    lines.append(_settled(turn, end) if end else f"{key}: job {turn.job_id} goes on")
                except Fenced:                        # somebody came for it
                    continue
    return lines


async def _end_of(turn: Turn, client: JobsClient) -> JobEnd | None:
    """How the job of an attempt ended; None while it goes on."""
    assert turn.intent is not None
    job_id = turn.job_id
    if not job_id and turn.journal.clock() < turn.intent.at.timestamp() + CLAIM_WAIT_S:
        turn.release()
        return None
    if not job_id:
        job_id = close_attempt(turn.journal.store, turn.key, turn.attempt, turn.owner) or ""
        if not job_id:
            return JobEnd(outcome=Outcome.LOST, code=AnswerUnknown.code, message="no worker had begun it",
                          remedy=AnswerUnknown.remedy, retryable=True)
        turn.submitted(job_id)
    status = await client.status(job_id)
    if status is None:
        return JobEnd(outcome=Outcome.LOST, job_id=job_id, message="the provider knows it no more", retryable=True)
    if not status.over:
        turn.release()
        return None
    return await ended_as(client, status)


def _settled(turn: Turn, end: JobEnd) -> str:
    assert turn.intent is not None
    Books(budgets(), ledger(), {}, turn.key).settle(turn.key, turn.intent, end)
    turn.end(
        end.outcome, job_id=end.job_id, artifacts=end.artifacts, code=end.code, message=end.message,
        remedy=end.remedy, retryable=end.retryable, seconds=end.seconds,
    )
    return f"{turn.key}: job {end.job_id or '(none)'} is settled as {end.outcome}"


def _facts(turn: Turn) -> dict[str, Any]:
    return dict(turn.intent.facts) if turn.intent else {}
