"""A pod's deletion of itself. Whoever calls it comes back only when there is nothing left to pay.

Kept apart from the provider's other clients on purpose: nothing here may fail for a reason that has to do with
anything else.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

API = "https://api.runpod.io"
_TIMEOUT_S = 15.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
LINGER_S = 30.0
"""How long a container whose pod is deleted waits to be ended: exiting earlier, it could be started again."""

LOG = logging.getLogger("callsheet.pod")


@dataclass(frozen=True)
class Farewell:
    """What is to be deleted, and by which right."""

    pod_id: str
    key: str = field(repr=False)
    api: str = API
    transport: httpx.BaseTransport | None = None
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Farewell:
        return cls(
            pod_id=environment.get("RUNPOD_POD_ID", ""),
            key=environment.get("RUNPOD_API_KEY", ""),
            api=(environment.get("CALLSHEET_RUNPOD_API") or API).rstrip("/"),
        )

    def say(self) -> None:
        """Delete the pod: again and again, until the provider says that it is gone.

        Outside a pod there is nothing to delete.
        """
        if not self.pod_id:
            LOG.info("this is no pod: nothing is to be deleted")
            return
        pause = _FIRST_PAUSE_S
        while not self._deleted():
            self.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        LOG.info("pod %s is deleted", self.pod_id)
        self.sleep(LINGER_S)

    def _deleted(self) -> bool:
        try:
            with httpx.Client(timeout=_TIMEOUT_S, transport=self.transport) as client:
                answer = client.delete(
                    f"{self.api}/v2/pods/{self.pod_id}", headers={"Authorization": f"Bearer {self.key}"})
        except Exception as error:
            LOG.error("pod %s cannot delete itself yet: %s: %s", self.pod_id, type(error).__name__, error)
            return False
        if answer.is_success or answer.status_code == 404:
            return True
        LOG.error("pod %s cannot delete itself yet: RunPod answered %d", self.pod_id, answer.status_code)
        return False
