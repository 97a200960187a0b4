"""The example manifest on a disk of its own: run it, change it, and see what that costs.

Two manifests lie in a world's folder: `actors.csv` as it is shipped, and `short.csv` with the same actors (so
posters and takes are shared) in films of two seconds. Everything is made once; a test gets the world as the
first runs left it, changes it as it likes, and it is put back afterwards.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from callsheet.film import Film
from callsheet.models import Gpu, Order
from callsheet.production import Production
from callsheet.recipe import Recipe, Ref, Stage
from callsheet.store.records import Record, Records
from callsheet.store.sources import admit
from tests.support.prefect_server import unconfigured

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
AVA, MARTA, LEO = "0001_european_20_female", "0002_european_35_female", "0000_european_16_male"
"""In the order of the manifest. Ava plays in Leo's film too."""

_COMMAND = [sys.executable, "-c", "from callsheet.doors.cli import main; main()"]


@dataclass(frozen=True)
class World:
    """A folder with manifests, a store and a delivery."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "studio"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def delivery(self) -> Path:
        return self.root / "delivery"

    @property
    def environment(self) -> dict[str, str]:
        return {"CALLSHEET_HOME": str(self.root / "home"), "CALLSHEET_STORE": str(self.store),
                "CALLSHEET_DELIVERY": str(self.delivery)}

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """This process works here from now on, with no other setting than where things lie."""
        monkeypatch.chdir(self.root)
        unconfigured(monkeypatch)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def run(
        self, manifest: str = "short.csv", refresh: Iterable[Stage] = (), write_back: bool = False,
        only: Iterable[str] = (), gpu: Gpu = Gpu.AUTO,
    ) -> dict[str, Production]:
        """The batch flow in this process; what came of each actor."""
        from flows.batch import batch

        made: list[Production] = batch(
            str(self.folder / manifest), gpu, list(refresh), write_back, list(only) or None)
        return {production.actor_id: production for production in made}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The real command line in a process of its own, with a Prefect server of its own where it needs one."""
        with pytest.MonkeyPatch.context() as monkeypatch:
            self.enter(monkeypatch)
            return subprocess.run(
                [*_COMMAND, *arguments], capture_output=True, text=True, cwd=self.root, env=dict(os.environ))

    # ---- changes

    def rows(self, manifest: str = "short.csv") -> list[dict[str, str]]:
        with (self.folder / manifest).open(newline="") as file:
            return list(csv.DictReader(file))

    def write_rows(self, rows: list[dict[str, str]], manifest: str = "short.csv") -> None:
        with (self.folder / manifest).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def set(self, actor: str, column: str, value: str, manifest: str = "short.csv") -> None:
        """Write another value into one cell."""
        rows = self.rows(manifest)
        next(row for row in rows if row["id"] == actor)[column] = value
        self.write_rows(rows, manifest)

    def rewrite(self, name: str, before: str, after: str) -> None:
        """Change words of a script."""
        path = self.folder / "scripts" / name
        text = path.read_text()
        assert before in text, f"{name} has no {before!r}"
        path.write_text(text.replace(before, after))

    # ---- what is there

    def film(self, actor: str, manifest: str = "short.csv") -> Film:
        """The plan of an actor's film as it would run now; call it inside the world."""
        from callsheet.doors.preview import planned
        from callsheet.manifest import read_manifest
        from tasks.run import running

        row = read_manifest(self.folder / manifest).row(actor)
        assert row is not None and row.order is not None, actor
        with running("plan") as run:
            order: Order = admit(row.order, run.sources)
            return planned(order, run)[0]

    def records(self) -> Records:
        """The records of the world's store."""
        from callsheet.store.local import LocalStore

        return Records(LocalStore(self.store))

    def record(self, recipe: Recipe) -> Record:
        record = self.records().find(recipe.stage, recipe.fingerprint)
        assert record is not None, f"{recipe.stage} {recipe.label} is not made"
        return record

    def times_made(self, recipe: Recipe) -> int:
        """How many results the recipe's log has."""
        log = self.store / recipe.stage / "records" / recipe.fingerprint
        return sum(json.loads(entry.read_text())["kind"] == "record" for entry in log.glob("*.json"))

    def file(self, ref: Ref) -> Path:
        """An artifact's file in the store."""
        record = self.records().find(ref.stage, ref.fingerprint)
        assert record is not None, f"{ref.stage} is not made"
        return self.store / record.artifacts[ref.name].key


def made_anew(made: Mapping[str, Production]) -> dict[str, dict[str, int]]:
    """Actor -> stage -> recipes that had to be made. Actors and stages without any are left out."""
    counts = {who: Counter(row.stage for row in p.stages if not row.cached) for who, p in made.items()}
    return {who: dict(count) for who, count in counts.items() if count}


def path_of(url: str) -> Path:
    """Where a file:// URL points."""
    parts = urlsplit(url)
    assert parts.scheme == "file", url
    return Path(unquote(parts.path))


def furnish(world: World) -> None:
    """Put the manifests into a new world."""
    shutil.copytree(EXAMPLES, world.folder, ignore=shutil.ignore_patterns("*.results.csv", "__pycache__"))
    rows = world.rows("actors.csv")
    for row, captions in zip(rows, ("burned", "beside", "beside"), strict=True):
        name = f"short_{row['name'].lower()}.yaml"
        (world.folder / "scripts" / name).write_text(_SCRIPT.format(**row))
        row |= dict.fromkeys(("background", "effects", "ambience", "ambience_volume"), "") | {
            "script": f"scripts/{name}", "captions": captions, "format": "128x128@24",
            "music": "sounds/bright.flac", "music_volume": "0.1",
        }
    world.write_rows(rows, "short.csv")


_SCRIPT = """\
title: Short of {name}
scenes:
  - prompt: {name} in a street at noon
    dialogue: "[S1] Hello there."
    seconds: 1.7
    transition: {{kind: crossfade, seconds: 0.25}}
  - prompt: {name} in a garden at night
    seconds: 0.7
    emotion: happy
"""


def keep(world: World, copy: Path) -> None:
    """Remember a world. Stored files are linked, not copied: whoever changes one replaces it."""
    shutil.copytree(world.folder, copy / "studio")
    for name in ("store", "delivery"):
        shutil.copytree(world.root / name, copy / name, copy_function=os.link)


def put_back(world: World, copy: Path) -> None:
    """Make a world what it was."""
    for name in ("studio", "store", "delivery"):
        shutil.rmtree(world.root / name)
    keep(World(copy), world.root)
