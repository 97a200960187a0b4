"""What came of a job: our handler's replies, worker-comfyui's pictures in all their shapes, and typed failures.

Covers reading only. Addresses among the pictures are not opened here, and pixels are not decoded: a picture is
checked as far as its first and last bytes tell whether all of it came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from callsheet.errors import (
    CallsheetError,
    Cancelled,
    JobFailed,
    JobTimedOut,
    NoImages,
    ProviderError,
)
from callsheet.runpod.http import PROVIDER
from callsheet.runpod.jobs import JobState, JobStatus
from callsheet.runpod.pictures import Picture, picture_of

__all__ = [
    "FlowRunReply", "Picture", "ShootReply", "StageReply", "Told", "failure", "flow_run_reply", "pictures",
    "shoot_reply", "stage_reply", "told", "warnings",
]

_FATAL = "workflow execution error"
"""worker-comfyui's word for a graph that failed, even where an earlier node's picture came out."""

_DEPTH = 4
"""How deep forks nest their results."""


class Told(NamedTuple):
    """A job's own account of its failure."""

    code: str
    """Of callsheet's tree where our handler spoke; else empty."""
    message: str
    remedy: str
    retryable: bool
    """Whether the same job may succeed at another time; False where nobody knows."""


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


_R = TypeVar("_R", bound=_Reply)


class StageReply(_Reply):
    """A recipe was made, or was there. Its files are in the store already."""

    stage: str
    fingerprint: str
    artifacts: dict[str, str]
    """Name -> sha256."""
    cached: bool = False


class ShootReply(_Reply):
    """Many orders' GPU work; what is not among the failed was made."""

    failed: dict[str, Told]
    """By actor."""


class FlowRunReply(_Reply):
    exit_code: int


# ---- our handler

def stage_reply(status: JobStatus) -> StageReply:
    """Raises the job's failure when it has one."""
    return _reply(status, StageReply)


def shoot_reply(status: JobStatus) -> ShootReply:
    """Raises the job's failure when it has one; single actors' failures are in the reply."""
    output = _output(status)
    failed = output.get("failed")
    if not isinstance(failed, Mapping):
        raise _wrong(status, "failed")
    return ShootReply(failed={str(actor): _account(error) for actor, error in failed.items()})


def flow_run_reply(status: JobStatus) -> FlowRunReply:
    """Raises the job's failure when it has one; the exit code is not judged."""
    return _reply(status, FlowRunReply)


def failure(status: JobStatus, limit_s: float | None = None) -> CallsheetError | None:
    """Why a job that is over made nothing; None when it completed and tells of no error.

    `limit_s` is how long it was allowed to run; without it, how long it ran is named.
    """
    if status.state is JobState.TIMED_OUT:
        return JobTimedOut(job_id=status.id, seconds=limit_s or status.execution_s, detail=_message(status.error) or
                           "its executionTimeout")
    if status.state is JobState.CANCELLED:
        return Cancelled(what=f"job {status.id}")
    found = told(status)
    if found is None:
        return None
    facts = {"job_code": found.code, "job_retryable": found.retryable}
    if found.remedy:
        facts["remedy"] = found.remedy
    return JobFailed(job_id=status.id, detail=found.message, **facts)


def told(status: JobStatus) -> Told | None:
    """The error that a FAILED job, or a COMPLETED one's output, tells of."""
    output = status.output if isinstance(status.output, Mapping) else {}
    error = status.error or output.get("error")
    if error:
        return _account(error)
    if status.state is JobState.FAILED:
        return Told("", "it gave no reason", "", False)
    return None


# ---- worker-comfyui

def pictures(status: JobStatus) -> list[Picture]:
    """Every picture or clip of a completed job, in order.

    Raises the job's failure, JobFailed when its workflow failed though a picture came out, NoImages, and
    ProviderError when a picture did not come whole.
    """
    output = _output(status, mapping=False)
    words = warnings(status)
    if any(_FATAL in word.lower() for word in words):
        raise JobFailed(job_id=status.id, detail="; ".join(words), job_code="", job_retryable=False)
    found = [picture_of(item, f"image {n} of job {status.id}") for n, item in enumerate(_items(output, _DEPTH), 1)]
    if not found:
        raise NoImages(detail="; ".join(words) or f"job {status.id}")
    return found


def warnings(status: JobStatus) -> list[str]:
    """What worker-comfyui complained about, on one line each, although it completed."""
    output = status.output if isinstance(status.output, Mapping) else {}
    errors = output.get("errors")
    items = errors if isinstance(errors, list) else [errors] if errors else []
    return [_message(item) for item in items if item]


def _items(output: Any, depth: int) -> Iterator[Any]:
    """Where pictures may lie in an output: `images`, an older worker's `message`, `job_results` around them."""
    if depth == 0:
        return
    if isinstance(output, list):
        for item in output:
            yield from _items(item, depth - 1)
    if not isinstance(output, Mapping):
        return
    images = output.get("images")
    if isinstance(images, list):
        yield from (item for item in images if item)
    elif images:
        yield images
    if images is None and output.get("message"):
        yield output["message"]
    yield from _items(output.get("job_results"), depth - 1)


# ---- words

def _output(status: JobStatus, mapping: bool = True) -> Any:
    if wrong := failure(status):
        raise wrong
    if status.state is not JobState.COMPLETED:
        raise ProviderError(provider=PROVIDER, detail=f"job {status.id}, which is {status.state} and has no result yet")
    if not status.output or (mapping and not isinstance(status.output, Mapping)):
        raise ProviderError(provider=PROVIDER, detail=f"job {status.id}, which completed without an output")
    return status.output


def _reply(status: JobStatus, kind: type[_R]) -> _R:
    try:
        return kind.model_validate(_output(status))
    except ValidationError as error:
        raise _wrong(status, ".".join(map(str, error.errors()[0]["loc"]))) from None


def _wrong(status: JobStatus, place: str) -> ProviderError:
    return ProviderError(
        provider=PROVIDER, detail=f"job {status.id}, whose output has a wrong {place}",
        remedy="let the endpoint run the image of this version of callsheet: `callsheet runpod up`")


def _account(error: Any) -> Told:
    """Our handler's mapping, the SDK's JSON of an exception, or plain words."""
    if isinstance(error, str):
        try:
            inside = json.loads(error)
        except (ValueError, RecursionError):
            inside = None
        error = inside if isinstance(inside, Mapping) else error
    if isinstance(error, Mapping) and error.get("code"):
        code = str(error["code"])
        return Told(code, _message(error), str(error.get("remedy") or ""), _retryable(code))
    return Told("", _message(error), "", False)


def _message(error: Any) -> str:
    """One line."""
    if isinstance(error, Mapping):
        kind = str(error.get("error_type") or "").removeprefix("<class '").removesuffix("'>")
        text = error.get("message") or error.get("error_message") or error.get("error")
        error = ": ".join(filter(None, (kind, str(text or "")))) or json.dumps(dict(error), default=str)
    return " ".join(str(error or "").split())[:500]


def _retryable(code: str) -> bool:
    """As our own tree says it of that code."""
    kinds: list[type[CallsheetError]] = [CallsheetError]
    for kind in kinds:
        if kind.code == code:
            return kind.retryable
        kinds += kind.__subclasses__()
    return False
