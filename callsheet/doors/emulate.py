"""`callsheet emulate`: an emulator of RunPod on this machine, until it is stopped.

With it a night's batch can be rehearsed without an account: the same clients, worker, handler and pods, with the
placeholder engine in place of a card, and a bill at list prices that nobody has to pay.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console

from callsheet.errors import ServerError
from callsheet.settings import Settings

PORT = 8790
IMAGE = "callsheet:emulated"
"""Any name with `callsheet` in it would do: what runs is this checkout."""


def emulate(port: int, out: Console, *, folder: Path | None = None) -> None:
    """Serve both planes on 127.0.0.1:`port` until Ctrl-C or SIGTERM; every pod's and worker's process ends then.

    folder: where it keeps its state, its key and its machines' logs, found again the next time; closed to other
    users. Default: <home>/emulator. Raises ServerError when the port is taken or the folder cannot be had.
    """
    from callsheet.runpod.emulator.options import Options
    from callsheet.runpod.emulator.privacy import close_folder, kept_key
    from callsheet.runpod.emulator.service import listen, serve

    home = folder or Settings.load().home / "emulator"
    try:
        close_folder(home)
        key = kept_key(home)
    except OSError as error:
        raise ServerError(what="the emulator", detail=f"{error.filename or home}: {error.strerror}",
                          remedy="give it a folder of your own: set CALLSHEET_HOME") from None
    try:
        listener = listen(port)
    except OSError as error:
        raise ServerError(what="the emulator", detail=f"port {port}: {error.strerror}",
                          remedy="choose another with --port, or stop what uses it") from None
    options = Options(key=key, provision_s=3, start_s=5, cold_start_s=3)
    asyncio.run(serve(home, options, listener, ready=lambda url: _say(out, url, key, home)))
    out.print("stopped; what was rented goes on to cost when the emulator is started again")


def _say(out: Console, url: str, key: str, home: Path) -> None:
    out.print(f"[bold green]RunPod is emulated[/] at {url}; state and logs in {home}")
    out.print("In another terminal:")
    settings = {"RUNPOD_API_KEY": key, "CALLSHEET_RUNPOD_API": url, "CALLSHEET_RUNPOD_JOBS": f"{url}/jobs",
                "CALLSHEET_RUNPOD_IMAGE": IMAGE}
    for name, value in settings.items():
        out.print(f"  export {name}={value}", soft_wrap=True, highlight=False)
    out.print(f'  curl -H "Authorization: Bearer {key}" {url}/emulator/state', soft_wrap=True, highlight=False)
    out.print("Ctrl-C stops it and every process of it.")
