"""How each kind of work is retried, limited and tagged."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from callsheet.errors import CallsheetError

WORKERS = max(2, os.cpu_count() or 2)
"""Tasks at a time in one flow. More would only queue for the limits below, which Prefect polls slowly."""

CPU_LIMIT = "callsheet-cpu"
GPU_LIMIT = "callsheet-gpu"
NETWORK_LIMIT = "callsheet-network"


@dataclass(frozen=True)
class Policy:
    """Attempts, pauses between them in seconds, and the global concurrency limit that the work counts in."""

    kind: str
    limit: str
    retries: int
    pauses_s: tuple[float, ...]
    jitter: float = 0.5
    """Each pause is stretched by up to this share, so that failures do not come back in step."""


cpu = Policy("cpu", CPU_LIMIT, retries=1, pauses_s=(2,))
gpu = Policy("gpu", GPU_LIMIT, retries=2, pauses_s=(10, 60))
network = Policy("network", NETWORK_LIMIT, retries=4, pauses_s=(2, 8, 30, 120))


def worth_retrying(task: Any, task_run: Any, state: Any) -> bool:
    """Whether trying again can help: the error says so itself. An error that is not ours is a mistake of ours."""
    try:
        state.result()
    except CallsheetError as error:
        return error.retryable
    except Exception:
        return False
    return False
