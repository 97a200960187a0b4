"""Applying deployments: again changes nothing, an operator's switches stay, a failure is one line."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from callsheet.doors.local.postgres import database, remove_database
from callsheet.doors.local.server import Server, prefect_server, use_server
from callsheet.errors import ServerError
from deployments import apply as applying
from deployments.apply import apply, limits

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "manifests" / "examples" / "actors.csv"
NIGHTLY, FORM, PRODUCE = "batch/nightly", "order-form/studio", "produce/cpu"


@dataclass(frozen=True)
class Seen:
    """What a server has, as an operator sees it."""

    deployments: dict[str, bool]
    """Id -> paused."""
    automations: list[str]
    limits: dict[str, int]
    nightly_active: list[bool]
    nightly_runs: int


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module's own: its deployments are in no other test's way."""
    home = tmp_path_factory.mktemp("home")
    with database(home) as url, prefect_server(home, url, one_shot=True) as server, use_server(server):
        yield server
    remove_database(home)


@pytest.fixture(scope="module")
def twice(server: Server) -> tuple[Seen, Seen]:
    """Applied; the nightly schedule and the form switched off, a limit changed; applied again. Before and after."""
    apply(MANIFEST)
    asyncio.run(_switch_off())
    before = asyncio.run(_look())
    apply(MANIFEST)
    return before, asyncio.run(_look())


async def _switch_off() -> None:
    async with get_client() as client:
        nightly = await client.read_deployment_by_name(NIGHTLY)
        await client.update_deployment_schedule(nightly.id, nightly.schedules[0].id, active=False)
        await client.pause_deployment((await client.read_deployment_by_name(FORM)).id)
        await client.upsert_global_concurrency_limit_by_name("callsheet-gpu", 3)


async def _look() -> Seen:
    async with get_client() as client:
        deployments = await client.read_deployments()
        nightly = await client.read_deployment_by_name(NIGHTLY)
        return Seen(
            deployments={str(each.id): each.paused for each in deployments},
            automations=sorted(each.name for each in await client.read_automations()),
            limits={each.name: each.limit for each in await client.read_global_concurrency_limits(limit=50)},
            nightly_active=[each.active for each in nightly.schedules],
            nightly_runs=len([each for each in await client.read_flow_runs() if each.deployment_id == nightly.id]),
        )


@pytest.mark.slow
def test_a_schedule_that_an_operator_paused_stays_paused(twice: tuple[Seen, Seen]) -> None:
    assert twice[0].nightly_active == [False]
    assert twice[1].nightly_active == [False]
    assert twice[1].nightly_runs == 0, "a run of the paused schedule was planned"


@pytest.mark.slow
def test_a_deployment_that_was_paused_stays_paused_and_no_other_is(twice: tuple[Seen, Seen]) -> None:
    assert sum(twice[0].deployments.values()) == 1
    assert twice[1].deployments == twice[0].deployments


@pytest.mark.slow
def test_applying_again_adds_no_deployment_automation_or_limit_and_changes_no_limit(twice: tuple[Seen, Seen]) -> None:
    before, after = twice
    assert len(before.deployments) == 14, sorted(before.deployments)
    assert len(before.automations) == 3, before.automations
    assert after.automations == before.automations
    assert after.limits == before.limits
    assert set(limits()) <= set(after.limits)
    assert after.limits["callsheet-gpu"] == 3


@pytest.mark.slow
def test_a_deployment_that_fails_is_told_in_one_line_and_what_was_paused_stays_so(
    twice: tuple[Seen, Seen], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "prefect.yaml").read_text().replace("flows/trigger_failed.py:", "flows/no_such_flow.py:")
    (tmp_path / "prefect.yaml").write_text(text)
    (tmp_path / "flows").symlink_to(ROOT / "flows")
    monkeypatch.setattr(applying, "root", lambda: tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with pytest.raises(ServerError) as caught:
        apply(MANIFEST)
    said = str(caught.value)
    assert said.startswith("the deployment of the flows did not start (`prefect deploy` ended with exit code 1: "), said
    assert "no_such_flow" in said
    assert "\n" not in said
    assert "the output above" not in said
    assert asyncio.run(_look()).nightly_active == [False]


@pytest.mark.slow
def test_a_deployment_that_hangs_is_told_without_a_traceback(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "_DEPLOY_S", 0.05)
    with pytest.raises(ServerError, match=r"did not end within 0 s and was stopped\): see whether the server answers"):
        apply(MANIFEST)


@pytest.mark.slow
def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))                  # taken, but nobody listens
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        nobody = Server(tmp_path, f"{url}/api", url, 1, tmp_path / "log", one_shot=True)
        with use_server(nobody), pytest.raises(ServerError, match="check that PREFECT_API_URL names"):
            apply(MANIFEST)
