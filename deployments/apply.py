"""Apply pools, limits, deployments and automations to a Prefect server. Doing it again changes nothing.

    python -m deployments.apply

Of what an operator changed in the UI stay: limits and pools, which are only created when they are missing, and
what is paused or resumed, deployments and their schedules. Everything else of a deployment or an automation
becomes again what prefect.yaml and automations.yaml say.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger
from prefect.exceptions import ObjectNotFound

from callsheet.errors import ServerError
from callsheet.project import root
from callsheet.settings import Settings
from tasks.policy import CPU_LIMIT, GPU_LIMIT, NETWORK_LIMIT, WORKERS

POOLS = {
    "cpu": "Everything but the GPU half, as processes of a worker.",
    "gpu": "The GPU half, as processes of this machine's worker.",
}
RENTED = "runpod"
"""Name and type of the pool whose machines are rented."""

_DEPLOY_S = 300.0
_NO_FRAMES = dict.fromkeys(range(0x2500, 0x2580), " ")


@dataclass(frozen=True)
class _Switches:
    """What of one deployment an operator may have switched off, or on again."""

    paused: bool
    schedules: dict[str, bool]
    """Whether each is active, by `_key`."""


def limits() -> dict[str, int]:
    """Global concurrency limits: work at a time, over all runs and machines."""
    return {CPU_LIMIT: 2 * WORKERS, GPU_LIMIT: 2 * WORKERS, NETWORK_LIMIT: 8}


def gpu_pool(settings: Settings) -> str:
    """The pool of the GPU half: rented machines where RunPod is configured."""
    return RENTED if settings.runpod_api_key else "gpu"


def apply(manifest: Path) -> None:
    """Bring the server that PREFECT_API_URL names up to date. Raises ServerError, SettingInvalid."""
    settings = Settings.load()
    try:
        asyncio.run(_before(settings))
        switches = asyncio.run(_switches())
        try:
            _deploy(manifest, settings)
        finally:
            asyncio.run(_restore(switches))           # also when only some were deployed
        asyncio.run(_after())
    except httpx.HTTPError as error:
        raise ServerError(
            what="the deployment of the flows", log="the server's log",
            detail=" ".join(str(error).split()) or type(error).__name__,
            remedy="check that PREFECT_API_URL names a Prefect server that runs, then apply again",
        ) from error


async def ensure_limits(client: PrefectClient) -> None:
    """Create the limits that are missing; tasks refuse to run without them."""
    for name, slots in limits().items():
        try:
            await client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            await client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=slots))


async def _before(settings: Settings) -> None:
    pools = [WorkPoolCreate(name=name, type="process", description=words) for name, words in POOLS.items()]
    if settings.runpod_api_key:
        pools.append(_rented_pool())
    async with get_client() as client:
        await ensure_limits(client)
        for pool in pools:
            try:
                await client.read_work_pool(pool.name)
            except ObjectNotFound:
                await client.create_work_pool(pool)


def _rented_pool() -> WorkPoolCreate:
    from callsheet.runpod.worker import RunPodWorker

    return WorkPoolCreate(
        name=RENTED, type=RunPodWorker.type, description="The GPU half, on machines rented from RunPod by the second.",
        base_job_template=RunPodWorker.get_default_base_job_template(),
    )


def _deploy(manifest: Path, settings: Settings) -> None:
    here = root()
    variables = {
        "CALLSHEET_MANIFEST": str(manifest.resolve()),
        "CALLSHEET_GPU_POOL": gpu_pool(settings),
        "CALLSHEET_RENTED": str(gpu_pool(settings) == RENTED).lower(),
    }
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file"]
    try:
        done = subprocess.run(
            [*command, str(here / "prefect.yaml")],
            cwd=here,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DEPLOY_S,
        )
    except subprocess.TimeoutExpired:
        raise ServerError(what="the deployment of the flows", log="the server's log",
                          detail=f"`prefect deploy` did not end within {_DEPLOY_S:.0f} s and was stopped",
                          remedy="see whether the server answers and the machine is overloaded, then apply again",
                          ) from None
    if done.returncode != 0:
        raise ServerError(what="the deployment of the flows", log="the server's log",
                          detail=f"`prefect deploy` ended with exit code {done.returncode}: {_last_words(done)}",
                          remedy="correct what it names (prefect.yaml, a flow's import, the server), then apply again")


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    """The end of what it said, on one line: of a traceback the error alone, of drawn boxes only the words."""
    said = f"{done.stdout}\n{done.stderr}".translate(_NO_FRAMES)
    if "Traceback" in said:
        said = [line for line in said.splitlines() if line[:1].strip()][-1]
    return " ".join(said.split())[-400:] or "it said nothing"


async def _all_deployments(client: PrefectClient) -> AsyncIterator[DeploymentResponse]:
    page, offset = 200, 0
    while some := await client.read_deployments(limit=page, offset=offset):
        for deployment in some:
            yield deployment
        offset += page


async def _switches() -> dict[UUID, _Switches]:
    async with get_client() as client:
        return {
            deployment.id: _Switches(deployment.paused, {_key(each): each.active for each in deployment.schedules})
            async for deployment in _all_deployments(client)
        }


async def _restore(switches: dict[UUID, _Switches]) -> None:
    """Deploying writes deployments and schedules anew, as prefect.yaml has them: switch them as they were."""
    async with get_client() as client:
        deployments = [each async for each in _all_deployments(client) if each.id in switches]
        for deployment in deployments:
            was = switches[deployment.id]
            for schedule in deployment.schedules:
                active = was.schedules.get(_key(schedule), schedule.active)
                if active != schedule.active:
                    await client.update_deployment_schedule(deployment.id, schedule.id, active=active)
            if was.paused != deployment.paused:
                switch = client.pause_deployment if was.paused else client.resume_deployment
                await switch(deployment.id)


def _key(schedule: DeploymentSchedule) -> str:
    """What names a schedule although its id changes."""
    return schedule.slug or schedule.schedule.model_dump_json()


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
    try:
        apply(Path(os.environ.get("CALLSHEET_MANIFEST") or root() / "manifests" / "examples" / "actors.csv"))
    except ServerError as failed:
        sys.exit(str(failed))
