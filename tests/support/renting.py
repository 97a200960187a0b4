"""A studio that rents its GPUs: an emulated account, a small cast, and the real command line beside it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callsheet.costs import CostRow
from callsheet.production import Production
from callsheet.runpod.emulator.serve import Emulator, running_emulator
from callsheet.store.journal import Journal
from callsheet.store.ledger import Ledger
from callsheet.store.local import LocalStore
from tests.lora.lora_files import FLUX, lora
from tests.support.house import plain_environment

IMAGE = "callsheet:test"
GPU_STAGES = ("poster", "takes", "segments", "lipsync")
_COMMAND = [sys.executable, "-m", "callsheet.doors.cli"]


@dataclass
class Renting:
    """One folder: home, store, delivery, manifest, and the emulator whose machines share this disk."""

    folder: Path
    emulator: Emulator
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def delivery(self) -> Path:
        return self.home / "delivery"

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.home / "store")

    @property
    def settings(self) -> dict[str, str]:
        """What callsheet is configured with."""
        return {
            "CALLSHEET_HOME": str(self.home), "CALLSHEET_STORE": str(self.home / "store"),
            "CALLSHEET_DELIVERY": str(self.delivery), "CALLSHEET_RUNPOD_IMAGE": IMAGE,
            **self.emulator.environment(), **self.extra,
        }

    def open_endpoint(self, workers: int = 3, **options: Any) -> str:
        """An endpoint with our handler; the settings name it from now on."""
        shared = {name: self.settings[name] for name in ("CALLSHEET_STORE", "CALLSHEET_DELIVERY")}
        self.extra["RUNPOD_ENDPOINT_ID"] = self.emulator.endpoint(IMAGE, max_workers=workers, env=shared, **options)
        return self.extra["RUNPOD_ENDPOINT_ID"]

    def tell_of_prefect(self, api: str) -> None:
        """Prefect's address for the endpoint's workers, as `callsheet runpod up` puts it; before the first of them."""
        path = f"/v2/serverless/{self.extra['RUNPOD_ENDPOINT_ID']}"
        env = self.emulator.ask("GET", path)["env"]
        self.emulator.ask("PATCH", path, {"env": {**env, "PREFECT_API_URL": api}})

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        """The command line in a process of its own."""
        return subprocess.Popen(
            [*_COMMAND, *arguments], cwd=self.folder, env={**plain_environment(), **self.settings, **settings},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )

    def command(self, *arguments: str, **settings: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        process = self.start(*arguments, **settings)
        out, err = process.communicate()
        return process.returncode, out, err

    def run(self, *arguments: str, **settings: str) -> tuple[int, dict[str, Production], str]:
        """`callsheet run` of a manifest: exit code, what came of each actor, and what it said."""
        code, out, err = self.command("run", *arguments, "--json", **settings)
        made = [Production.model_validate(each) for each in json.loads(out)] if out.startswith("[") else []
        return code, {each.actor_id: each for each in made}, err + ("" if made else out)

    # ---- what is there

    def settled(self, patience_s: float = 90.0) -> dict[str, Any]:
        """The emulator's state once nothing costs anything there, and all has been written down here."""
        end = time.monotonic() + patience_s
        while True:
            state = self.emulator.state()
            alive = [life["resource"] for life in state["bill"] if life["ended"] is None]
            left = Journal(self.store).open_keys()
            if not alive and not left:
                return state
            if time.monotonic() > end:
                raise AssertionError(f"still alive: {alive}, still open: {left}")
            time.sleep(0.5)

    def bill(self) -> list[dict[str, Any]]:
        """Every machine's life, as the emulator bills it."""
        lives: list[dict[str, Any]] = self.emulator.state()["bill"]
        return lives

    def billed_usd(self) -> float:
        return float(sum(life["usd"] for life in self.bill()))

    def ledger(self) -> list[CostRow]:
        return Ledger(self.store).rows()

    def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.emulator.state()["jobs"]
        return found

    def results(self) -> Counter[str]:
        """Of each recipe of the GPU half how many results its log has."""
        found: Counter[str] = Counter()
        for stage in GPU_STAGES:
            for entry in (self.home / "store" / stage / "records").glob("*/*.json"):
                found[f"{stage}/{entry.parent.name}"] += json.loads(entry.read_text())["kind"] == "record"
        return found

    def submits(self) -> int:
        """Jobs of single recipes that were accepted."""
        return sum(1 for job in self.jobs() if _job_type(job) == "stage")


def _job_type(job: Mapping[str, Any]) -> str:
    asked = job.get("input")
    return str(asked.get("job_type", "")) if isinstance(asked, Mapping) else ""


@contextmanager
def renting(folder: Path, **options: Any) -> Iterator[Renting]:
    """An account without a past."""
    with running_emulator(folder / "emulator", **options) as emulator:
        yield Renting(folder, emulator)


def cast(folder: Path, actors: int, talking: int = 1) -> Path:
    """A manifest of so many actors in films of a second, the first `talking` of whom say something."""
    loras = folder / "loras"
    loras.mkdir(parents=True, exist_ok=True)
    lines = ["id,lora,prompt,dialogue,seconds,quality,format,title"]
    for n in range(actors):
        (loras / f"{who(n)}.safetensors").write_bytes(lora(FLUX, {"trained_for": who(n)}))
        said = "Good night." if n < talking else ""
        lines.append(f"{who(n)},loras/{who(n)}.safetensors,on hill {n},{said},1,draft,128x128@24,Film {n}")
    manifest = folder / "night.csv"
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def who(n: int) -> str:
    """The id of the n-th actor of `cast`."""
    return f"{n:04}_european_{20 + n % 40}_{'female' if n % 2 else 'male'}"


def digests(delivery: Path) -> dict[str, str]:
    """Every film and poster that was delivered: key without time stamps -> sha256."""
    found = {}
    for path in sorted([*delivery.rglob("*.mp4"), *delivery.rglob("*.jpeg")]):
        key = path.relative_to(delivery).as_posix()
        if "/poster_2" in key:                         # poster_20260131T235959Z_<uuid>
            key = key.rpartition("/")[0] + "/poster_" + key.rpartition("_")[2]
        found[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
