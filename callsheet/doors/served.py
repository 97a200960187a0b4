"""A Prefect server for a command: the one that `callsheet up` runs, else one of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from callsheet import project
from callsheet.settings import Settings


@contextmanager
def served(settings: Settings, verbose: bool = False) -> Iterator[str]:
    """Point this process at a server, and yield its UI's address. Call before prefect is imported.

    Raises ServerError.
    """
    if not verbose:                                   # people get bars and tables; the UI has the log
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    project.importable()
    from callsheet.doors.local.postgres import database
    from callsheet.doors.local.server import prefect_server, running, use_server
    from callsheet.doors.local.slots import drop_leases, free_slots

    with ExitStack() as stack:
        server = running(settings.home)
        if server is None:
            url = settings.database_url.get_secret_value() if settings.database_url else None
            address = stack.enter_context(database(settings.home, url))
            if url is None:
                drop_leases(settings.home)
            server = stack.enter_context(
                prefect_server(settings.home, address, one_shot=True, secrets=settings.secrets())
            )
        stack.enter_context(use_server(server))
        if server.one_shot and settings.database_url is None:
            free_slots(settings.home)
        _ensure_limits()
        try:
            yield server.ui_url
        finally:
            _flush()


def _ensure_limits() -> None:
    from prefect.client.orchestration import get_client

    from deployments.apply import ensure_limits

    async def ensure() -> None:
        async with get_client() as client:
            await ensure_limits(client)

    asyncio.run(ensure())


def _flush() -> None:
    """Send what Prefect still holds back while its server is there; at the interpreter's end it would wait for it."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=10)
    EventsWorker.drain_all(timeout=30)
