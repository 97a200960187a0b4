"""One flow run's state on a Prefect server, by HTTP alone: what a pod must know and say when nothing else works.

No Prefect import: it takes seconds, and what is wrong may be Prefect itself. A server that does not answer is asked
again; it is never a reason to give up work that goes on.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Mapping

import httpx

from callsheet.units import Frozen

FINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
_TIMEOUT_S = 10.0
_AGAIN_S = 2.0

LOG = logging.getLogger("callsheet.pod")


class State(Frozen):
    """A flow run's state."""

    kind: str
    """Prefect's state type, such as RUNNING or CANCELLING."""
    name: str
    """What people call it, such as Late or AwaitingRetry."""

    @property
    def final(self) -> bool:
        return self.kind in FINAL

    @property
    def over(self) -> bool:
        """Whether nothing more is to be done for it."""
        return self.final or self.kind == "CANCELLING"


class FlowRuns:
    """Reads and ends flow runs at one API."""

    def __init__(
        self, api: str, environment: Mapping[str, str], transport: httpx.BaseTransport | None = None,
        again_s: float = _AGAIN_S,
    ) -> None:
        """`environment` may have PREFECT_API_KEY, PREFECT_API_AUTH_STRING and PREFECT_CLIENT_CUSTOM_HEADERS."""
        self._api, self._again_s = api.rstrip("/"), again_s
        self._client = httpx.Client(
            timeout=_TIMEOUT_S, transport=transport, headers=_headers(environment), follow_redirects=True)

    def state(self, flow_run_id: str, patience_s: float = 0.0) -> State | None:
        """Its state now; None when there is no such run, or when the server has not answered for `patience_s`."""
        end = time.monotonic() + patience_s
        while True:
            try:
                answer = self._client.get(f"{self._api}/flow_runs/{flow_run_id}")
                if answer.status_code in (404, 422):
                    return None
                answer.raise_for_status()
                told = answer.json()["state"] or {}
                return State(kind=told.get("type", "PENDING"), name=told.get("name", "Pending"))
            except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                LOG.error("%r is no address of a server: %s", self._api, error)
                return None
            except (httpx.HTTPError, ValueError, KeyError, AttributeError) as error:
                if time.monotonic() >= end:
                    LOG.warning("the server does not tell the run's state: %s", error)
                    return None
            time.sleep(self._again_s)

    def end(self, flow_run_id: str, kind: str, message: str, patience_s: float = 30.0) -> bool:
        """Set a final state, whatever the rules say about going there; False when the server does not take it."""
        state = {"type": kind, "name": kind.capitalize(), "message": message}
        end = time.monotonic() + patience_s
        while True:
            try:
                self._client.post(
                    f"{self._api}/flow_runs/{flow_run_id}/set_state", json={"state": state, "force": True}
                ).raise_for_status()
                return True
            except httpx.HTTPError as error:
                if time.monotonic() >= end:
                    LOG.error("the server does not take the run's end: %s", error)
                    return False
            time.sleep(self._again_s)


def _headers(environment: Mapping[str, str]) -> dict[str, str]:
    headers: dict[str, str] = json.loads(environment.get("PREFECT_CLIENT_CUSTOM_HEADERS") or "{}")
    if key := environment.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    elif both := environment.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = "Basic " + base64.b64encode(both.encode()).decode()
    return headers
