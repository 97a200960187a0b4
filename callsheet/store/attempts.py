"""A worker's claim of one attempt: the last word on who works, put if absent at `claims/{key}/{attempt}`.

The provider knows no idempotency key. So the worker that got a job claims the attempt before it renders, and ends
at once when the claim is there; and whoever does not know whether a submit arrived closes the attempt before it
makes another. A submit that was lost may so cost a cold start, never a second render.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable

from callsheet.errors import NotInStore, StoreCorrupt, StoreError
from callsheet.store.base import Store
from callsheet.units import Frozen

_TRIES = 4
_PAUSE_S = 0.3


class AttemptClaim(Frozen):
    """Who has the attempt: a job, or, with an empty `job_id`, an adopter who closed it."""

    schema_version: int = 1
    job_id: str
    worker: str
    """The worker that took it, or the owner who closed it."""
    token: str
    """Tells this claim from another one of the same job and worker."""


def take_attempt(
    store: Store, key: str, attempt: int, job_id: str, worker: str, pause: Callable[[float], None] = time.sleep
) -> str | None:
    """Claim an attempt for a job: None when it is ours now, else the job id that has it, "" when it was closed.

    A job that is delivered twice is told its own id the second time. A store that fails is asked again a few
    times. Raises StoreError.
    """
    claim = AttemptClaim(job_id=job_id, worker=worker, token=uuid.uuid4().hex)
    for tries in range(1, _TRIES + 1):
        try:
            found = _put(store, key, attempt, claim)
            return None if found == claim else found.job_id
        except StoreError as error:
            if not error.retryable or tries == _TRIES:
                raise
        pause(_PAUSE_S * tries)
    raise AssertionError("unreachable")


def holder(store: Store, key: str, attempt: int) -> str | None:
    """The job id that has the attempt, "" when it was closed, None when nobody has it. Raises StoreError."""
    with contextlib.suppress(NotInStore):
        return _read(store, key, attempt).job_id
    return None


def close_attempt(store: Store, key: str, attempt: int, owner: str) -> str | None:
    """Make sure that no worker takes an attempt from now on: the job id of one that did before, else None.

    Raises StoreError; it may be closed then, and closing it again does no harm.
    """
    claim = AttemptClaim(job_id="", worker=owner, token=uuid.uuid4().hex)
    return _put(store, key, attempt, claim).job_id or None


def _put(store: Store, key: str, attempt: int, claim: AttemptClaim) -> AttemptClaim:
    if store.put_if_absent(_key(key, attempt), claim.model_dump_json(indent=1).encode()):
        return claim
    return _read(store, key, attempt)


def _read(store: Store, key: str, attempt: int) -> AttemptClaim:
    try:
        return AttemptClaim.model_validate(json.loads(store.read(_key(key, attempt))))
    except ValueError as error:
        raise StoreCorrupt(key=_key(key, attempt), url=store.url, detail="not a readable claim") from error


def _key(key: str, attempt: int) -> str:
    return f"claims/{key}/{attempt}"
