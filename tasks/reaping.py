"""Rented machines that nobody wants any more: deleted, and written down as what they cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from callsheet.errors import ServerError
from callsheet.runpod.reap import Reaped, reap
from tasks.orphans import write_down
from tasks.planes import planes
from tasks.run import current
from tasks.spending import ledger

AFTERWARDS = timedelta(seconds=120)
"""So long its own worker has to give a machine back, and to write down what it cost."""


async def reap_pods(dry_run: bool = False) -> list[Reaped]:
    """Look at every pod of ours, and delete those that no flow run of this server needs. Raises ProviderError."""
    settings = current().settings
    api, control = planes(settings)
    now = datetime.now(UTC)
    async with api, control, get_client() as client:

        async def still_wanted(flow_run_id: str) -> str | None:
            try:
                run = await client.read_flow_run(UUID(flow_run_id))
            except ObjectNotFound:
                return "this Prefect server knows no such run"
            except httpx.HTTPError as error:          # nobody knows: it stays until its deadline
                raise ServerError(what="Prefect", detail=str(error), log="its log") from error
            state = run.state
            over = state is not None and state.is_final() and now - state.timestamp > AFTERWARDS
            return f"its run has ended: {state.name}" if over and state else None

        told = settings.prefect_public_url or PREFECT_API_URL.value()
        done = await reap(control, still_wanted, now, dry_run=dry_run, api=told)
    write_down(done, ledger(), now)
    return done
