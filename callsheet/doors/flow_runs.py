"""Whether a flow run still needs its machine: one question to a Prefect server, without Prefect installed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from callsheet.doors.emit import api_address, authorization
from callsheet.doors.web import client, host_of
from callsheet.errors import ProviderError, SettingMissing
from callsheet.runpod.reap import StillWanted
from callsheet.settings import Settings

_FINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
_TIMEOUT_S = 10.0
AFTERWARDS = timedelta(seconds=120)


def address_of(settings: Settings, environment: Mapping[str, str] | None = None) -> str | None:
    """PREFECT_API_URL, else that of the server which `up` runs for this home; None when there is neither."""
    try:
        return api_address("", settings.home, environment)
    except SettingMissing:
        return None


def needed(api: str | None, environment: Mapping[str, str]) -> StillWanted:
    """Asks that server about a flow run: None while it is needed, else why not.

    What it returns raises ProviderError when nobody can tell.
    """
    headers = authorization(environment)

    async def ask(flow_run_id: str) -> str | None:
        if api is None:
            raise ProviderError(provider="no Prefect server", detail="anything")
        return await asyncio.to_thread(_why_not, api, flow_run_id, headers)

    return ask


def _why_not(api: str, flow_run_id: str, headers: Mapping[str, str]) -> str | None:
    import httpx

    server = f"the Prefect server at {host_of(api)}"
    try:
        with client(api, _TIMEOUT_S) as web:
            answer = web.get(f"{api}/flow_runs/{flow_run_id}", headers=dict(headers))
        if answer.status_code == 404:
            _is_prefect(api, headers)
            return "its flow run is unknown"
        if answer.status_code != 200:
            raise ProviderError(provider=server, detail=str(answer.status_code))
        state = answer.json()["state"] or {}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise ProviderError(provider=server, detail=type(error).__name__) from None
    over = state.get("type") in _FINAL and _long_ago(state.get("timestamp"))
    return f"its flow run has ended ({state['name']})" if over else None


def _long_ago(moment: object) -> bool:
    """Whether its own worker had the time to give the machine back, and to write down what it cost."""
    try:
        return datetime.now(UTC) - datetime.fromisoformat(str(moment)) > AFTERWARDS
    except (ValueError, TypeError):
        return True


def _is_prefect(api: str, headers: Mapping[str, str]) -> None:
    """A wrong address answers 404 to everything: pods that work must not go for that."""
    with client(api, _TIMEOUT_S) as web:
        answer = web.get(f"{api}/health", headers=dict(headers))
    if answer.status_code != 200 or answer.json() is not True:
        raise ProviderError(provider=f"what is at {host_of(api)}", detail="as no Prefect server does",
                            remedy="correct PREFECT_API_URL: it usually ends with /api")
