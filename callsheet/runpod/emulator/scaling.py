"""How many workers an endpoint wants. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def wanted(scaling: Mapping[str, Any], workers: Mapping[str, int], waits: Sequence[float], *, busy: int,
           free: int) -> int:
    """Workers that should be there, at least `min` and at most `max`.

    waits: how long each job of the queue has waited, in seconds; `busy` workers have a job, `free` ones are idle or
    on their way to it. Never less than there are: ending them is a matter of idle time.
    """
    there = busy + free
    if scaling["type"] == "QUEUE_DELAY":
        late = sum(wait >= scaling["queueDelay"] for wait in waits)
        more = max(late, 1 if waits and not there else 0) - free
        asked = there + max(0, more)
    else:
        asked = max(there, math.ceil((len(waits) + busy) / scaling["requestCount"]))
    return int(max(workers["min"], min(workers["max"], asked)))
