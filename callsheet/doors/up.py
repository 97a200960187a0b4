"""`callsheet up`: database, Prefect server, workers and deployments on this machine, until it is stopped.

The data lie under CALLSHEET_HOME (as root, the database's under /var/lib/callsheet) and are found again the next
time. Stops cleanly on Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from callsheet import project
from callsheet.doors.local.leftovers import close_left_runs
from callsheet.doors.local.postgres import database
from callsheet.doors.local.server import Server, client_environment, prefect_server, use_server
from callsheet.doors.local.slots import drop_leases, free_slots
from callsheet.doors.local.supervise import Supervisor
from callsheet.settings import Settings

POOLS = {"cpu": max(4, os.cpu_count() or 2), "gpu": 2}
"""Flow runs at a time of each local pool's worker; each is a process of its own, further ones wait in the queue.

No limit can lock up: what waits (batch, produce, order-form) runs in cpu and waits for shoot alone, which runs in
gpu and waits for nobody; lora-trained asks for a produce and does not wait. cpu has at least four, so that beside
the nightly batch, of which there is one at a time, there is room for a person's film and for training events. gpu
has two, so that a person's job need not wait for a long shoot. What the runs do at a time is bounded by the limits
callsheet-cpu and callsheet-gpu, whatever their number.
"""

RENTED_AT_A_TIME = 10
"""Machines that the pool of rented ones runs at a time; budgets bound what they cost."""

QUERY_SECONDS = "1"
"""How often a worker asks for work: a person who starts a run is looking at it."""


def up(manifest: Path, port: int, out: Console) -> None:
    """Start everything, say where it is, and watch it until it is stopped.

    Raises ServerError, ServerDied.
    """
    settings = Settings.load()
    url = settings.database_url.get_secret_value() if settings.database_url else None
    with ExitStack() as stack:
        with out.status("starting PostgreSQL"):
            address = stack.enter_context(database(settings.home, url))
            if url is None:
                drop_leases(settings.home)
        with out.status("starting the Prefect server"):
            server = stack.enter_context(
                prefect_server(settings.home, address, port=port, secrets=settings.secrets())
            )
            stack.enter_context(use_server(server))
            if url is None:
                free_slots(settings.home)
        with out.status("applying deployments"):
            _apply(manifest)
            left = close_left_runs(POOLS) if url is None else 0        # elsewhere others' workers may be at it
        if left:
            out.print(f"[yellow]{left} unfinished runs of the last time are marked Crashed; run them again to go on[/]")
        logs = settings.home / "logs"
        workers = stack.enter_context(Supervisor(logs, secrets=settings.secrets(), tell=out.print))
        if server.child is not None:
            workers.watch(server.child)
        for pool, at_a_time in pools(settings).items():
            workers.start(
                f"worker-{pool}", worker_command(pool, at_a_time), worker_environment(server, settings, os.environ))
        _say(out, server, manifest, logs)
        workers.run()
        out.print("stopping")


def pools(settings: Settings) -> dict[str, int]:
    """Pools that get a worker here, and how many flow runs each does at a time."""
    return POOLS | ({"runpod": RENTED_AT_A_TIME} if settings.runpod_api_key else {})


def worker_command(pool: str, at_a_time: int) -> list[str]:
    """A Prefect worker of one pool."""
    return [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--name", f"{pool}-here",
            "--limit", str(at_a_time)]


def worker_environment(server: Server, settings: Settings, inherited: Mapping[str, str]) -> dict[str, str]:
    """What a worker and its flow runs get: this server, these settings as absolute values, the project's root."""
    return {
        **inherited,
        **client_environment(server),
        **settings.environment(),
        "PREFECT_WORKER_QUERY_SECONDS": QUERY_SECONDS,
        "PREFECT_RUNNER_POLL_FREQUENCY": QUERY_SECONDS,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(project.root()), inherited.get("PYTHONPATH", "")])),
    }


def _apply(manifest: Path) -> None:
    project.importable()
    from deployments.apply import apply

    apply(manifest)


def _say(out: Console, server: Server, manifest: Path, logs: Path) -> None:
    out.print(f"[bold green]callsheet is up[/]  {server.ui_url}")
    out.print(f"  make a film:    {server.ui_url}/deployments/deployment/{_form()}/run")
    out.print(f"  nightly batch:  {manifest}")
    out.print("  after training: callsheet emit ACTOR --lora FILE")
    out.print(f"  logs:           {logs}")
    out.print("Ctrl-C stops it; what was made and the run history stay.")


def _form() -> str:
    """Id of the form's deployment."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return str(client.read_deployment_by_name("order-form/studio").id)
