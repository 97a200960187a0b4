"""`callsheet runpod`: an account made ready, what runs there, and what nobody needs any more deleted.

Covers the words and the order of asking. What there should be is in runpod/provision.py, when a pod may go in
runpod/reap.py, and whether its flow run needs it in flow_runs.py beside this.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import AliasChoices, SecretStr, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from callsheet import project
from callsheet.doors import terminal
from callsheet.doors.costs import open_ledger
from callsheet.doors.flow_runs import address_of, needed
from callsheet.doors.reconciling import control_of
from callsheet.errors import InputError, SettingMissing
from callsheet.pricing import HOUR_S
from callsheet.runpod.answers import Endpoint, Pod, Worker
from callsheet.runpod.control import Control
from callsheet.runpod.pod_env import PASSED, api_address, rehearsed, store_address
from callsheet.runpod.pods import PREFIX
from callsheet.runpod.provision import LEAST_GB, Step, Wanted, plan
from callsheet.runpod.provisioning import apply, look
from callsheet.runpod.reap import Reaped, reap
from callsheet.settings import Settings

app = typer.Typer(name="runpod", help="RunPod: make the account ready, look, clean up.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")]

_VERBS = {"keep": "[green]is there[/]", "create": "[yellow]create[/]", "change": "[yellow]change[/]"}


# ---- up

@app.command()
def up(
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without it, only say what would be done.")] = False,
    warm: Annotated[int, typer.Option(min=0, max=100, help="Workers that stay, paid around the clock.")] = 0,
    most: Annotated[int, typer.Option("--max", min=1, max=1000, help="Workers at a time.")] = 10,
    volume_gb: Annotated[int, typer.Option(min=LEAST_GB, max=4096, help="Size of the volume.")] = LEAST_GB,
    data_center: Annotated[str, typer.Option(help="Where a new volume goes. Default: where most cards are.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make volume, template and endpoint, or bring them up to date. Says the prices first; doing it twice is harmless.

    Example: callsheet runpod up, then callsheet runpod up --yes
    """
    settings = Settings.load()
    wanted = wanted_of(settings, warm, most, volume_gb, data_center)
    control = control_of(settings)
    out = terminal.console(quiet=as_json)
    steps = asyncio.run(_planned(control, wanted))
    if not as_json:
        show_plan(terminal.console(stderr=False), steps, wanted)
    if yes and any(step.open for step in steps):
        steps = asyncio.run(_applied(control, wanted, lambda step: out.print(f"{step.verb} {step.what} {step.name}")))
    if as_json:
        typer.echo(json.dumps([_step_json(step) for step in steps], indent=1))
    elif any(step.open for step in steps):
        out.print("\nnothing was done; callsheet runpod up --yes does it")
    else:
        _say_settings(terminal.console(stderr=False), settings, steps)


def wanted_of(settings: Settings, warm: int, most: int, volume_gb: int, data_center: str) -> Wanted:
    """What the settings and options ask for. Raises SettingMissing, SettingInvalid, InputError."""
    if not settings.runpod_image:
        raise SettingMissing(subject="container image", variable="CALLSHEET_RUNPOD_IMAGE to the one built from infra/")
    if warm > most:
        raise InputError(detail=f"--warm {warm} is more than --max {most}", remedy="raise --max")
    try:
        return Wanted(
            image=settings.runpod_image, cards=settings.cards, env=worker_variables(settings), volume_gb=volume_gb,
            data_center=data_center, warm=warm, most=most, volume_id=settings.runpod_volume or "",
            endpoint_id=settings.runpod_endpoint or "",
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(detail=f"{first['loc'][0]}: {first['msg']}", remedy="see callsheet runpod up --help") from None


def worker_variables(settings: Settings) -> dict[str, str]:
    """What the endpoint's workers are told: where results go, with which keys, and whose flow runs they take.

    Never the account's own key. Raises SettingInvalid.
    """
    told = {"CALLSHEET_STORE": store_address(settings), "CALLSHEET_GPU": "here"}
    if settings.prefect_public_url:
        told["PREFECT_API_URL"] = api_address(settings, None)
    if settings.delivery.startswith("s3://") or rehearsed(settings):
        told["CALLSHEET_DELIVERY"] = settings.delivery
    for field in PASSED:
        value, names = getattr(settings, field), Settings.model_fields[field].validation_alias
        assert isinstance(names, AliasChoices)
        if value is not None:
            told[str(names.choices[0])] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return told


async def _planned(control: Control, wanted: Wanted) -> tuple[Step, ...]:
    async with control:
        return plan(wanted, await look(control))


async def _applied(control: Control, wanted: Wanted, tell: Callable[[Step], None]) -> tuple[Step, ...]:
    async with control:
        return await apply(control, wanted, tell)


def show_plan(out: Console, steps: Sequence[Step], wanted: Wanted) -> None:
    """A line a step, with what it costs; then what it comes to."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(4):
        table.add_column(overflow="fold")
    for step in steps:
        table.add_row(_VERBS[step.verb], f"{step.what} {step.name}", escape(step.words), _price(step))
    out.print(table, soft_wrap=False)
    least, most = (sum(step.month_usd[n] for step in steps) for n in (0, 1))
    out.print(f"\nwhile nothing runs: {_usd(least, most)} a month")
    if wanted.warm:
        workers = "1 worker" if wanted.warm == 1 else f"{wanted.warm} workers"
        out.print(f"[yellow]{workers} kept warm: {_usd(*steps[2].month_usd)} of it; --warm 0 costs nothing while idle, "
                  "and a first job waits 30 to 60 s[/]")
    hour = steps[2].hour_usd
    out.print(f"while {wanted.most} workers run: at most {_usd(hour[1] * wanted.most, hour[1] * wanted.most)} an hour")


def _price(step: Step) -> str:
    said = []
    if step.month_usd[1]:
        said.append(f"{_usd(*step.month_usd)} a month")
    if step.hour_usd[1]:
        said.append(f"{_usd(*step.hour_usd)} an hour a worker, by the second")
    return "; ".join(said)


def _usd(least: float, most: float) -> str:
    def money(usd: float) -> str:
        return f"${usd:,.0f}" if usd >= 100 or abs(usd - round(usd)) < 0.005 else f"${usd:,.2f}"

    return money(least) if abs(most - least) < 0.005 else f"{money(least)} to {money(most)}"


def _step_json(step: Step) -> dict[str, Any]:
    facts = step.model_dump(mode="json", include={"verb", "what", "name", "id", "words", "month_usd", "hour_usd"})
    return {**facts, "month_usd": list(step.month_usd), "hour_usd": list(step.hour_usd)}


def _say_settings(out: Console, settings: Settings, steps: Sequence[Step]) -> None:
    """Ids that belong into the environment, where they are not there yet."""
    volume, _, endpoint = steps
    lines = []
    if settings.runpod_endpoint != endpoint.id:
        lines.append(f"RUNPOD_ENDPOINT_ID={endpoint.id}")
    if settings.runpod_volume != volume.id:
        lines.append(f"CALLSHEET_RUNPOD_VOLUME={volume.id}")
    out.print("\nall is there" + (", put this into .env:" if lines else ""))
    for line in lines:
        out.print(line, markup=False)


# ---- reap

@app.command(name="reap")
def reap_command(dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Delete pods of ours that nobody needs: their flow run has ended, or they are past their deadline.

    Jobs of the endpoint that have ended and whose asker is gone are settled, so that the ledger has them. Exit code 3
    when a pod could not be deleted. Example: callsheet runpod reap --dry-run
    """
    settings = Settings.load()
    out = terminal.console(stderr=False, quiet=as_json)
    gone = reap_all(settings, dry_run, terminal.console(quiet=as_json))
    if as_json:
        typer.echo(json.dumps([one.model_dump(mode="json") for one in gone], indent=1))
    verb = "would be deleted" if dry_run else "deleted"
    for one in gone:
        state = f"[red]{escape(one.problem)}[/]" if one.problem else verb
        out.print(f"{one.name}  {one.pod_id}  {one.rate.usd_per_second * HOUR_S:.2f} $/h  {state}: {one.reason}")
    for line in [] if dry_run else settle_all():
        out.print(escape(line))
    if not gone:
        out.print("no pod to delete")
    if any(one.problem for one in gone):
        raise typer.Exit(3)


def reap_all(settings: Settings, dry_run: bool, out: Console) -> list[Reaped]:
    """Reap, and write down what the pods cost. Without a Prefect server only pods past their deadline go."""
    control = control_of(settings)
    api = address_of(settings)
    if api is None:
        out.print("[yellow]no Prefect server is known, so only pods past their deadline go[/]")
    told = settings.prefect_public_url or api

    async def all_of_it() -> list[Reaped]:
        async with control:
            return await reap(control, needed(api, os.environ), dry_run=dry_run, api=told)

    gone = asyncio.run(all_of_it())
    project.importable()
    from tasks.orphans import write_down

    if any(one.deleted for one in gone):
        write_down(gone, open_ledger(settings), datetime.now(UTC))
    return gone


def settle_all() -> list[str]:
    """Close the jobs of an endpoint whose asker is gone; a line for each."""
    project.importable()
    from tasks.left_jobs import settle_left_jobs
    from tasks.run import running

    with running("reap"):
        return asyncio.run(settle_left_jobs())


# ---- status

@app.command()
def status(as_json: AsJson = False) -> None:
    """Say what of ours is there now: pods with age and price, the endpoint and its workers. Costs nothing."""
    settings = Settings.load()
    pods, endpoint, workers = asyncio.run(_status(control_of(settings), settings))
    now = datetime.now(UTC)
    if as_json:
        typer.echo(json.dumps(_status_json(pods, endpoint, workers, now), indent=1))
        return
    out = terminal.console(stderr=False)
    for pod in pods:
        out.print(f"pod {escape(pod.name)}  {pod.id}  {pod.status}  {_age(pod, now)}  {pod.cost:.2f} $/h")
    if endpoint is not None:
        limits = endpoint.workers
        out.print(f"endpoint {escape(endpoint.name)}  {endpoint.id}  {limits.min} to {limits.max} workers, "
                  f"now {_counted(workers)}")
        if not limits.max:
            out.print("[yellow]its maximum is 0 workers, so jobs wait for ever: callsheet runpod up --yes wakes it[/]")
    elif not settings.runpod_endpoint:
        out.print("no endpoint is set: RUNPOD_ENDPOINT_ID (callsheet runpod up tells it)")
    paid = sum(pod.cost for pod in pods)
    out.print(f"\n{len(pods)} {'pod' if len(pods) == 1 else 'pods'} of ours, {paid:.2f} $/h")


async def _status(control: Control, settings: Settings) -> tuple[list[Pod], Endpoint | None, list[Worker]]:
    async with control:
        pods = [pod for pod in await control.pods() if pod.name.startswith(PREFIX) and pod.status != "TERMINATED"]
        endpoint = await control.endpoint(settings.runpod_endpoint) if settings.runpod_endpoint else None
        return pods, endpoint, await control.workers(endpoint.id) if endpoint else []


def _status_json(
    pods: Sequence[Pod], endpoint: Endpoint | None, workers: Sequence[Worker], now: datetime
) -> dict[str, Any]:
    shown = None if endpoint is None else {
        "id": endpoint.id, "name": endpoint.name, "min": endpoint.workers.min, "max": endpoint.workers.max,
        "workers": [{"id": one.id, "status": one.status, "gpu": one.gpu_type_id} for one in workers],
    }
    return {"pods": [{"id": pod.id, "name": pod.name, "status": pod.status, "usd_per_hour": pod.cost,
                      "seconds": None if pod.created_at is None else (now - pod.created_at).total_seconds()}
                     for pod in pods], "endpoint": shown}


def _age(pod: Pod, now: datetime) -> str:
    if pod.created_at is None:
        return "of unknown age"
    minutes = max(0, int((now - pod.created_at).total_seconds())) // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _counted(workers: Sequence[Worker]) -> str:
    states = [one.status.lower() for one in workers]
    return ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "none"
