"""The three example films and three short ones, made once for all end-to-end tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from callsheet.production import Production
from tests.support.world import World, furnish, keep, path_of, put_back


@dataclass(frozen=True)
class Shipped:
    """The examples as `callsheet run manifests/examples/actors.csv` made them."""

    world: World
    exit_code: int
    words: str
    productions: dict[str, Production]


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """The first run, by the real command."""
    from callsheet.doors.local.postgres import remove_database

    world = World(tmp_path_factory.mktemp("world"))
    furnish(world)
    done = world.command("run", str(world.folder / "actors.csv"), "--json")
    remove_database(world.root / "home")
    made = [Production.model_validate(each) for each in json.loads(done.stdout or "[]")]
    return Shipped(world, done.returncode, done.stderr, {each.actor_id: each for each in made})


@dataclass(frozen=True)
class Again:
    """The examples run a second time, by the batch flow, and what was there right after it."""

    productions: dict[str, Production]
    flow_runs: dict[str, UUID]
    """Flow runs that it started, by name."""
    manifest: bytes
    results: list[dict[str, str]]
    accounts: dict[str, Production]
    """The production.json beside each actor's video."""


@pytest.fixture(scope="session")
def again(shipped: Shipped, prefect_here: str) -> Again:
    world, before = shipped.world, set(flow_runs())
    with pytest.MonkeyPatch.context() as monkeypatch:
        world.enter(monkeypatch)
        made = world.run("actors.csv")
    return Again(
        productions=made,
        flow_runs={name: run for run, name in flow_runs().items() if run not in before},
        manifest=(world.folder / "actors.csv").read_bytes(),
        results=world.rows("actors.results.csv"),
        accounts={
            who: Production.model_validate_json(path_of(p.video).with_name("production.json").read_text())
            for who, p in made.items()
        },
    )


@pytest.fixture(scope="session")
def short(shipped: Shipped, prefect_here: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """The world after the first run of short.csv too, and a copy to put it back from."""
    world, copy = shipped.world, tmp_path_factory.mktemp("copy")
    with pytest.MonkeyPatch.context() as monkeypatch:
        world.enter(monkeypatch)
        made = world.run()
    assert {p.status for p in made.values()} == {"made"}, made
    keep(world, copy)
    return world, copy


@pytest.fixture
def world(short: tuple[World, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The world as the first runs left it."""
    one, copy = short
    one.enter(monkeypatch)
    yield one
    put_back(one, copy)


def flow_runs() -> dict[UUID, str]:
    """Every flow run of the server, with its name."""
    from prefect.client.orchestration import get_client

    async def read() -> dict[UUID, str]:
        async with get_client() as client:
            runs: dict[UUID, str] = {}
            while page := await client.read_flow_runs(offset=len(runs), limit=200):
                runs |= {run.id: run.name for run in page}
            return runs

    return asyncio.run(read())
