"""Apply pools, limits, deployments and automations to a Prefect server. Doing it again changes nothing.

    python -m deployments.apply

What an operator changed in the UI stays: limits and pools are only created when they are missing.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger
from prefect.exceptions import ObjectNotFound

from callsheet.errors import ServerError
from callsheet.project import root
from tasks.policy import CPU_LIMIT, GPU_LIMIT, NETWORK_LIMIT, WORKERS

POOLS = {
    "cpu": "Everything but the GPU half, as processes of a worker.",
    "gpu": "The GPU half. A process pool until the RunPod worker takes it over.",
}


def limits() -> dict[str, int]:
    """Global concurrency limits: work at a time, over all runs and machines."""
    return {CPU_LIMIT: 2 * WORKERS, GPU_LIMIT: 2 * WORKERS, NETWORK_LIMIT: 8}


def apply(manifest: Path) -> None:
    """Bring the server that PREFECT_API_URL names up to date. Raises ServerError."""
    asyncio.run(_before())
    _deploy(manifest)
    asyncio.run(_after())


async def ensure_limits(client: PrefectClient) -> None:
    """Create the limits that are missing; tasks refuse to run without them."""
    for name, slots in limits().items():
        try:
            await client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            await client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=slots))


async def _before() -> None:
    async with get_client() as client:
        await ensure_limits(client)
        for name, description in POOLS.items():
            try:
                await client.read_work_pool(name)
            except ObjectNotFound:
                await client.create_work_pool(WorkPoolCreate(name=name, type="process", description=description))


def _deploy(manifest: Path) -> None:
    here = root()
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file"]
    done = subprocess.run(
        [*command, str(here / "prefect.yaml")],
        cwd=here,
        env={**os.environ, "CALLSHEET_PROJECT": str(here), "CALLSHEET_MANIFEST": str(manifest.resolve())},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode != 0:
        raise ServerError(what="a deployment", detail=(done.stdout + done.stderr)[-800:], log="the output above")


async def _after() -> None:
    async with get_client() as client:
        for spec in yaml.safe_load((root() / "deployments" / "automations.yaml").read_text()):
            wanted = await _automation(client, spec)
            known = await client.read_automations_by_name(wanted.name)
            if not known:
                await client.create_automation(wanted)
            elif not _same(known[0], wanted):
                await client.update_automation(known[0].id, wanted)


async def _automation(client: PrefectClient, spec: dict[str, Any]) -> AutomationCore:
    action = spec["action"]
    if "deployment" in action:
        deployment = await client.read_deployment_by_name(action["deployment"])
        does: Any = RunDeployment(deployment_id=deployment.id, parameters=action["parameters"])
    else:
        does = ChangeFlowRunState(state=action["state"], message=action["message"])
    return AutomationCore(
        name=spec["name"],
        description=spec["description"],
        trigger=EventTrigger.model_validate(spec["trigger"]),
        actions=[does],
    )


def _same(known: Automation, wanted: AutomationCore) -> bool:
    def facts(automation: AutomationCore) -> Any:
        return automation.model_dump(mode="json", include={"description", "actions", "enabled"}), str(
            automation.trigger.model_dump(mode="json", exclude={"id"})
        )

    return bool(facts(known) == facts(wanted))


if __name__ == "__main__":
    apply(Path(os.environ.get("CALLSHEET_MANIFEST") or root() / "manifests" / "examples" / "actors.csv"))
