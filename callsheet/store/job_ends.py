"""How attempts end when no job's own end tells it, and what is raised when there are enough of them. Values only."""

from __future__ import annotations

from typing import Any

from callsheet.costs import Outcome
from callsheet.errors import AnswerUnknown, CallsheetError, JobFailed, JobLost, JobTimedOut, NotInStore
from callsheet.store.jobs import JobEnd
from callsheet.store.journal_entries import Ended


def never(error: CallsheetError, job_id: str = "") -> JobEnd:
    """Nothing was rendered: it was refused, or cancelled before it began."""
    return JobEnd(
        outcome=Outcome.CANCELLED, job_id=job_id, code=error.code, message=error.what, remedy=error.fix,
        retryable=error.retryable,
    )


def unconfirmed() -> JobEnd:
    """The submit was not answered, and the attempt is closed."""
    return JobEnd(
        outcome=Outcome.LOST, code=AnswerUnknown.code, retryable=True, remedy=AnswerUnknown.remedy,
        message="nobody knows whether the provider took it; no worker had begun, and none will",
    )


def gone(error: JobTimedOut | JobLost, job_id: str) -> JobEnd:
    """The provider's client found out that it runs no more."""
    return JobEnd(
        outcome=Outcome.LOST if isinstance(error, JobLost) else Outcome.TIMED_OUT, job_id=job_id, code=error.code,
        seconds=float(error.facts.get("seconds", 0.0)), message=str(error.facts.get("detail", "")), remedy=error.fix,
        retryable=True,
    )


def without_result(end: JobEnd) -> JobEnd:
    """The job says that it is done, and what it made is not there: another one would put it there too."""
    return end.model_copy(update={
        "outcome": Outcome.FAILED, "artifacts": {}, "retryable": False, "code": NotInStore.code,
        "message": "it says that it is done, and its result is not in the store",
        "remedy": "let the machine's CALLSHEET_STORE be the store of this run, then run again",
    })


def failure(ended: Ended, tries: int) -> CallsheetError:
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
