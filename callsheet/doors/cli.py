"""The command line.

    callsheet run MANIFEST      make a film of every actor
    callsheet plan MANIFEST     what is made already, what is to make
    callsheet produce ...       one film from a prompt
    callsheet job REQUEST.json  one request envelope, as a pod would run it
    callsheet splice CLIP...    any clips as one film, encoding as little as can be
    callsheet mix VIDEO         voices, music, effects and captions for any video, its pictures copied
    callsheet up                Prefect server, workers and deployments on this machine
    callsheet emit ACTOR        say that a LoRA is trained
    callsheet costs             what GPU work cost, by actor, stage, day, run
    callsheet runpod COMMAND    make a RunPod account ready, look at it, clean up
    callsheet models COMMAND    model weights: list, download
    callsheet graph KIND        what a ComfyUI server would be sent: print it, check it
    callsheet emulate           RunPod on this machine, to rehearse with
    callsheet doctor            what is there, what is missing, and what to do

Exit codes: 0 all made (or waiting), 3 some failed or had no budget, 2 bad input, 1 anything else, 130 cancelled
(143 and 129 where SIGTERM or SIGHUP stopped splice or mix).
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from callsheet import __version__
from callsheet.doors import costs, graph, mix, models_commands, runpod_commands, splice, terminal
from callsheet.doors.interrupt import Stopped, all_or_nothing
from callsheet.errors import CallsheetError, Cancelled, InputError
from callsheet.models import Family, Gpu
from callsheet.production import Production, Status
from callsheet.recipe import Stage
from callsheet.settings import Settings

app = typer.Typer(
    name="callsheet",
    help="From a manifest of trained actors to finished videos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

EXIT_FAILED, EXIT_INPUT, EXIT_CANCELLED = 3, 2, 130

Manifest = Annotated[Path, typer.Argument(help="CSV, Parquet, JSON or YAML file with a row an actor.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors and results.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print Prefect's log as well.")]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="ID", help="Take this actor only; repeatable.")]
Refresh = Annotated[
    list[Stage] | None, typer.Option("--refresh", metavar="STAGE", help="Make this stage anew; repeatable.")
]
GpuOption = Annotated[Gpu | None, typer.Option("--gpu", help="Where the GPU half runs; auto asks the settings.")]


def main() -> None:
    """Entry point: errors become one line and an exit code; nobody sees a traceback for bad input."""
    try:
        ended = app(standalone_mode=False)            # the code of a typer.Exit is given back, not raised
        _leave(ended if isinstance(ended, int) else 0)
    except (typer.Abort, KeyboardInterrupt):
        _leave(EXIT_CANCELLED)
    except Cancelled:
        _leave(EXIT_CANCELLED)
    except Stopped as stopped:
        _leave(stopped.exit_code, "nothing was written")
    except CallsheetError as error:
        _refuse(error)
    except OSError as error:
        detail = f"{error.filename or 'a file'}: {error.strerror or error}"
        _refuse(CallsheetError(detail=detail, remedy="check that it exists and may be used"))
    except Exception as error:
        usage = getattr(error, "format_message", None)         # click's own: a wrong option or argument
        if usage is None:
            raise
        _refuse(InputError(detail=usage().replace("Value error, ", ""), remedy="see callsheet --help"))


def _leave(code: int, left: str = "") -> NoReturn:
    if left or code == EXIT_CANCELLED:
        with contextlib.suppress(OSError):             # after SIGHUP the terminal is gone
            terminal.console().print(f"\ncancelled; {left or 'finished work is kept, run again to go on'}")
    sys.exit(code)


def _refuse(error: CallsheetError) -> NoReturn:
    """One line for people; for programs the same as JSON where they asked for it."""
    if "--json" in sys.argv:
        typer.echo(json.dumps({"error": terminal.as_json(error)}, indent=1))
    else:
        terminal.error(terminal.console(), error)
    sys.exit(EXIT_INPUT if isinstance(error, InputError) else 1)


@app.command()
def run(
    manifest: Manifest,
    gpu: GpuOption = None,
    refresh: Refresh = None,
    write_back: Annotated[bool, typer.Option("--write-back", help="Update poster_frame_url in the manifest.")] = False,
    only: Only = None,
    budget: Annotated[
        float | None, typer.Option(min=0.01, help="USD that this manifest may cost today. Default: no limit.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make a film of every actor in a manifest.

    What is made already is not made again. Example: callsheet run manifests/examples/actors.csv
    """
    from callsheet.doors.batches import produce_all

    started = time.monotonic()
    out = terminal.console(quiet or as_json)
    made, sheet = produce_all(manifest, gpu, refresh or [], write_back, only or [], out, verbose, budget)
    _report(made, time.monotonic() - started, out, as_json, quiet, sheet)


@app.command()
def plan(manifest: Manifest, only: Only = None, gpu: GpuOption = None, as_json: AsJson = False) -> None:
    """Say what is made already, what is to make and what it will cost, and how each film is cut into segments.

    Spends nothing.
    """
    from callsheet.doors.batches import plan_all
    from callsheet.doors.preview import show

    plans, waiting = plan_all(manifest, only or [], gpu)
    if as_json:
        rows = [one.as_json() for one in plans] + [{"actor_id": who, "waiting": why} for who, why in waiting]
        typer.echo(json.dumps(rows, indent=1))
    else:
        show(terminal.console(stderr=False), plans, waiting)


@app.command()
def produce(
    prompt: Annotated[str, typer.Option(help="What is seen.")] = "",
    character: Annotated[str, typer.Option(help="Name or id of an actor of the manifest.")] = "",
    duration: Annotated[float, typer.Option(min=0.2, max=14400, help="Seconds; any length.")] = 5.0,
    quality: Annotated[str, typer.Option(help="draft, standard, high, premium; fast and ultra too.")] = "standard",
    dialogue: Annotated[str, typer.Option(help="What is said.")] = "",
    auto: Annotated[bool, typer.Option("--auto", help="Choose prompt and character for me.")] = False,
    manifest: Annotated[Path | None, typer.Option(help="Where characters are looked up.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    gpu: GpuOption = None,
    refresh: Refresh = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Make one film from a prompt: cut into segments of 5 s, spliced to exactly the length asked for.

    Example: callsheet produce --prompt "walks along the beach" --character Ava --duration 12.3 --quality fast
    """
    from callsheet.doors import single
    from callsheet.project import root

    if not prompt and not auto:
        raise InputError(detail="there is no --prompt", remedy="write one, or let --auto choose")
    started = time.monotonic()
    out = terminal.console(quiet or as_json)
    book = manifest or root() / "manifests" / "examples" / "actors.csv"
    order = single.order_of(book, character, prompt or single.AUTO_PROMPT, duration, quality, dialogue, seed)
    made = single.produce_one(order, gpu, refresh or [], out, verbose)
    _report([made], time.monotonic() - started, out, as_json, quiet)


@app.command()
def doctor(
    manifest: Annotated[Path | None, typer.Argument(help="A manifest to look at as well.")] = None,
    as_json: AsJson = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print every setting, secrets hidden.")] = False,
) -> None:
    """Say what is there, what is missing, and what to do about it. Exit code 1 when something must be mended.

    Asks only services that are configured, and none that costs money.
    """
    from callsheet.doors import doctor as preflight

    findings, settings = preflight.preflight(manifest)
    if as_json:
        typer.echo(json.dumps(preflight.as_json(findings), indent=1))
    else:
        preflight.show(terminal.console(stderr=False), findings)
    if verbose or findings[0].name == preflight.SETTINGS:
        preflight.show_settings(terminal.console(stderr=as_json), settings)
    if preflight.failed(findings):
        raise typer.Exit(1)


@app.command()
def emit(
    actor: Annotated[str, typer.Argument(help="The actor's id.")],
    lora: Annotated[str, typer.Option(help="The trained file: a path, or s3://bucket/key.")],
    manifest: Annotated[Path | None, typer.Option(help="Has the actor's row. Default: the deployment's own.")] = None,
    description: Annotated[str, typer.Option(help="Of the actor, where no manifest has it.")] = "",
    base_model: Annotated[Family | None, typer.Option(help="What the LoRA was trained on.")] = None,
    sha256: Annotated[str, typer.Option(help="Digest of the file. Computed when the file is here.")] = "",
    api: Annotated[str, typer.Option(help="Prefect's API. Default: PREFECT_API_URL, else what up runs.")] = "",
    event_id: Annotated[str, typer.Option(help="UUID of the event, to send the same one again.")] = "",
    as_json: AsJson = False,
) -> None:
    """Say that a LoRA is trained: its actor's poster and film are made. Saying it twice does no harm.

    Example: callsheet emit 0001_european_20_female --lora loras/0001_european_20_female.safetensors
    """
    from callsheet.doors import emit as sending
    from callsheet.doors.web import shown
    from callsheet.events import as_event

    payload = sending.trained(actor, lora, manifest, description, base_model, sha256)
    event = as_event(payload, sending.checked_id(event_id))
    address = sending.api_address(api, Settings.load().home)
    tries = sending.post(address, event, sending.authorization())
    if as_json:
        typer.echo(json.dumps({"api": shown(address), "tries": tries, "event": event}, indent=1))
    else:
        terminal.console().print(f"{payload.actor_id}: event {event['id']} was taken by {shown(address)}\n"
                                 "[dim]its run appears in the Prefect UI, under the deployment after-training[/]")


@app.command()
def up(
    manifest: Annotated[Path | None, typer.Option(help="Manifest of the nightly batch and of training events.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the Prefect server; 0 takes a free one.")] = 4200,
) -> None:
    """Run Prefect's server, the workers and the deployments on this machine, until Ctrl-C.

    Example: callsheet up --manifest manifests/examples/actors.csv
    """
    from callsheet.doors import up as door
    from callsheet.manifest import read_manifest
    from callsheet.project import root

    book = (manifest or root() / "manifests" / "examples" / "actors.csv").resolve()
    read_manifest(book)                               # a nightly run would find its mistakes too late
    door.up(book, port, terminal.console())


@app.command()
def job(
    request: Annotated[str, typer.Argument(help="JSON file with a request envelope; - reads standard input.")],
    verbose: Verbose = False,
) -> None:
    """Run one request envelope here, as a pod would, and print its reply as JSON.

    Exit code 0 on success, 2 when the request has to be corrected, else 1.
    Example: callsheet job manifests/examples/jobs/lipsync_only.json
    """
    from callsheet.doors.job import run_job

    ended = run_job(request, verbose)
    if isinstance(ended.error, CallsheetError):
        terminal.error(terminal.console(), ended.error)
    typer.echo(ended.reply.model_dump_json(indent=1))
    if ended.exit_code:
        raise typer.Exit(ended.exit_code)


app.command()(all_or_nothing(splice.splice))
app.command()(all_or_nothing(mix.mix))
app.command()(costs.costs)
app.add_typer(runpod_commands.app)
app.add_typer(models_commands.app)
app.add_typer(graph.app)


@app.command()
def emulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the emulator; 0 takes a free one.")] = 8790,
) -> None:
    """Run RunPod on this machine until Ctrl-C: queue, workers, pods and bill, with nothing to pay.

    It says which variables to set; then run a batch with --gpu endpoint, or callsheet up and --gpu pool.
    """
    from callsheet.doors import emulate as door

    door.emulate(port, terminal.console())


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _report(made: list[Production], seconds: float, out: Console, as_json: bool, quiet: bool, sheet: str = "") -> None:
    if as_json:
        typer.echo(json.dumps([p.model_dump(mode="json") for p in made], indent=1))
    elif quiet:
        for p in made:
            typer.echo(terminal.plain_place(p.video) if p.video else f"{p.actor_id} {p.status}: {p.error}")
    else:
        terminal.productions(out, made, seconds, sheet)
    if any(p.status is Status.CANCELLED for p in made):
        raise typer.Exit(EXIT_CANCELLED)
    if any(p.status in (Status.FAILED, Status.STOPPED) for p in made):
        raise typer.Exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
