"""Prefect's worker for RunPod: the work-pool type `runpod`, whose flow runs get a machine each.

    prefect worker start --pool runpod

Job variables (job_variables.py has ranges and words; all may be set on pool, deployment or run):

    mode            "pod" | "serverless"                      "pod"
    deadline_s      seconds until the machine is deleted      3600
    image           container image of pods                   CALLSHEET_RUNPOD_IMAGE
    cards           A40, L40S, RTX A6000, A100, H100          CALLSHEET_RUNPOD_GPUS
    gpu_count       cards a pod                               1
    cloud           "secure" | "community" | "any"            "secure"
    data_centers    ids, such as EU-RO-1                      all, or the volume's
    volume          network volume's id                       CALLSHEET_RUNPOD_VOLUME
    disk_gb         of the container                          50
    endpoint        serverless: the endpoint's id             RUNPOD_ENDPOINT_ID
    boot_s          a pod that is not up then is replaced     420
    quiet_s         a pod on which nothing happens is ended   900
    capacity_s      patience while no card is free            900
    cancel_grace_s  for a flow that runs to end by itself     8
    env             further variables of the machine          {}

Covers what Prefect asks of a worker, and the watch over runs that another worker left behind. How a run and its
machine are looked after is in attend.py and knows nothing of Prefect; machines are in pod_hire.py and job_hire.py;
what Prefect is told is in tasks/desk.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio
import anyio.abc
import httpx
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import InfrastructureNotAvailable, InfrastructureNotFound, ObjectNotFound
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult
from pydantic import field_validator

from callsheet.errors import CallsheetError, ProviderError
from callsheet.runpod.adoption import YOUNG_S, Found, found, strays
from callsheet.runpod.attend import Attendance
from callsheet.runpod.client import JobsClient
from callsheet.runpod.job_variables import JobVariables
from callsheet.runpod.pods import named, pod_name, release
from callsheet.settings import Settings
from tasks.desk import PrefectDesk, payer
from tasks.renting import Renting

if TYPE_CHECKING:
    from prefect.client.schemas.objects import Flow, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse

SWEEP_S = 20.0
"""Between two looks for what nobody looks after."""

_NOT_OURS = ("name", "labels", "command")
"""What Prefect's own form offers and a pod cannot have: pods are named after their runs and run the image's command."""


class RunPodVariables(JobVariables, BaseVariables):
    """The form of the work pool."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Without what does not apply, the common before the rare."""
        schema = super().model_json_schema(*args, **kwargs)
        shown: dict[str, Any] = schema["properties"]
        last = {"env": shown["env"]}
        kept = {name: told for name, told in shown.items() if name not in (*_NOT_OURS, "env")} | last
        schema["properties"] = {name: told | {"position": place} for place, (name, told) in enumerate(kept.items())}
        return schema


class RunPodJobConfiguration(JobVariables, BaseJobConfiguration):
    """What one run asks for, resolved."""

    @field_validator("command")
    @classmethod
    def _no_command(cls, value: str | None) -> str | None:
        if value is not None:
            raise ValueError("a pod runs its image's own command: take `command` out of the job variables")
        return value

    @classmethod
    def json_template(cls) -> dict[str, Any]:
        return {name: told for name, told in super().json_template().items() if name not in _NOT_OURS}

    def prepare_for_flow_run(
        self,
        flow_run: FlowRun,
        deployment: DeploymentResponse | None = None,
        flow: Flow | None = None,
        work_pool: WorkPool | None = None,
        worker_name: str | None = None,
        worker_id: UUID | None = None,
    ) -> None:
        """Names and attribution. Prefect's own version copies the worker's settings, secrets included."""
        self._related_objects = {"deployment": deployment, "flow": flow, "flow-run": flow_run}
        told = self._base_attribution_environment(
            flow_run=flow_run, deployment=deployment, flow=flow, worker_id=worker_id, worker_name=worker_name)
        self.env = {**told, **{name: value for name, value in self.env.items() if value is not None}}
        self.labels = {
            **self._base_flow_run_labels(flow_run), **self._base_work_pool_labels(work_pool),
            **self._base_worker_name_label(worker_name), **self._base_flow_labels(flow),
            **self._base_deployment_labels(deployment),
        }
        self.name = pod_name(flow_run.id)

    @property
    def asked(self) -> dict[str, str]:
        """Variables of the machine that the pool or deployment adds."""
        return {name: value for name, value in self.env.items() if value is not None}


class RunPodWorkerResult(BaseWorkerResult):
    """The machine's id, and 0 when the run ended by itself or was cancelled."""


class RunPodWorker(BaseWorker[RunPodJobConfiguration, RunPodVariables, RunPodWorkerResult]):
    type = "runpod"
    job_configuration = RunPodJobConfiguration
    job_configuration_variables = RunPodVariables

    _display_name = "RunPod"
    _description = "Runs each flow run on a GPU rented from RunPod: a pod of its own, or a job of an endpoint."
    _documentation_url = "https://docs.runpod.io"
    _logo_url = ""

    async def setup(self) -> None:
        """Raises SettingMissing without a key: a worker that cannot rent takes no runs."""
        self._renting = Renting(Settings.load(), PREFECT_API_URL.value())
        self._attended: dict[UUID, asyncio.Event] = {}
        await self._exit_stack.enter_async_context(self._renting)
        await super().setup()
        assert self._runs_task_group is not None
        self._runs_task_group.start_soon(self._sweeps)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: RunPodJobConfiguration,
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> RunPodWorkerResult:
        """Get a machine, stay with it, give it back. Reports the run's end itself where the run cannot."""
        told = task_status or anyio.TASK_STATUS_IGNORED
        first = True
        self._warn_of_keys(flow_run, configuration)

        def started(pid: str) -> None:
            nonlocal first
            if first:
                told.started(pid)
            first = False

        while (other := self._attended.get(flow_run.id)) is not None:
            await other.wait()                        # its last machine is still being given back
        done = self._attended[flow_run.id] = asyncio.Event()
        try:
            end = await self._attendance(flow_run, configuration, started).run()
        except CallsheetError as error:               # before anything was asked of the provider
            await self._desk(flow_run, configuration, started).become(
                "crashed" if error.retryable else "failed", str(error))
            started("")
            return RunPodWorkerResult(identifier="none", status_code=1)
        finally:
            del self._attended[flow_run.id]
            done.set()
        started(end.machine_id)
        failed = end.verdict.report == "crashed"
        return RunPodWorkerResult(identifier=end.machine_id or "none", status_code=int(failed))

    async def kill_infrastructure(
        self, infrastructure_pid: str, configuration: RunPodJobConfiguration, grace_seconds: int = 30
    ) -> None:
        """Delete the pod, or cancel the job, at once: whoever asks waited already, and each second is paid.

        Raises InfrastructureNotFound when it is gone, InfrastructureNotAvailable while RunPod does not answer.
        """
        kind, _, number = infrastructure_pid.partition(":")
        try:
            if kind == "job":
                endpoint, _, job_id = number.partition("/")
                found = await JobsClient(self._renting.jobs, endpoint, self._renting.control).cancel(job_id) is not None
            elif kind == "pod":
                alive = await named(self._renting.control, configuration.name or "")
                ids = dict.fromkeys((number, *(pod.id for pod in alive)))
                found = any([await release(self._renting.control, pod_id, patience_s=60.0) for pod_id in ids])
            else:
                raise InfrastructureNotAvailable(f"{infrastructure_pid!r} is nothing that this worker rented")
        except ProviderError as error:
            raise InfrastructureNotAvailable(str(error)) from error
        if not found:
            raise InfrastructureNotFound(f"{infrastructure_pid} is gone already")

    async def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Refused: a pod runs flows of deployments, which its image has."""
        raise NotImplementedError("the RunPod worker runs deployments: deploy the flow to its pool")

    # ---- one run

    def _warn_of_keys(self, flow_run: FlowRun, configuration: RunPodJobConfiguration) -> None:
        keys = (PREFECT_API_KEY, PREFECT_API_AUTH_STRING)
        if any(key.value() for key in keys) and not any(key.name in configuration.env for key in keys):
            self.get_flow_run_logger(flow_run).warning(
                "this worker has a key for Prefect's API and its machines get none: set %s in the work pool's env",
                " or ".join(key.name for key in keys))

    def _attendance(
        self, flow_run: FlowRun, configuration: RunPodJobConfiguration, started: Callable[[str], None]
    ) -> Attendance:
        books = self._renting.books(flow_run.id, self._work_pool_name, payer(flow_run))
        hire = self._renting.hire(flow_run.id, configuration, configuration.asked, books)
        return Attendance(hire, books, self._desk(flow_run, configuration, started), f"flow run {flow_run.name!r}")

    def _desk(
        self, flow_run: FlowRun, configuration: RunPodJobConfiguration, started: Callable[[str], None]
    ) -> PrefectDesk:
        related = self._event_related_resources(configuration=configuration, include_self=True)
        return PrefectDesk(self.client, flow_run, self.get_flow_run_logger(flow_run), related, started)

    # ---- what another worker left behind

    async def _sweeps(self) -> None:
        """Again and again, until the worker stops."""
        with anyio.CancelScope() as scope:
            self._scheduled_task_scopes.add(scope)    # `teardown` cancels these
            while True:
                try:
                    await self.sweep()
                except (CallsheetError, httpx.HTTPError, ObjectNotFound) as error:
                    self._logger.warning("could not look for runs that were left behind: %s", error)
                await anyio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """Look after every run of this pool that nobody looks after, and give back what nobody needs."""
        if self._work_pool is None or self._runs_task_group is None:
            return
        busy = self._attended.keys() | self._submitting_flow_run_ids
        pods = await self._renting.control.pods()
        keys = await asyncio.to_thread(self._renting.journal.open_keys, "flow_run/")
        runs = {run.id: run for run in await self._unended()}
        since = {run.id: run.state.timestamp for run in runs.values() if run.state is not None}
        now = datetime.now(UTC)
        for left in found(pods, keys, since, busy, now):
            if await self._renting.free(left.flow_run_id):
                await self._adopt(left, runs.get(left.flow_run_id), now)
        for flow_run_id in tuple(self._attended):
            await self._one_pod(flow_run_id, [pod.id for pod in pods if pod.name == pod_name(flow_run_id)])

    async def _unended(self) -> list[FlowRun]:
        wanted = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
        return await self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=wanted))),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self._work_pool_name])),
        )

    async def _adopt(self, left: Found, flow_run: FlowRun | None, now: datetime) -> None:
        if flow_run is None:                          # it has ended, is another pool's, or is not there
            try:
                flow_run = await self.client.read_flow_run(left.flow_run_id)
            except ObjectNotFound:
                if await self._renting.ordered_here(left.flow_run_id, self._work_pool_name):
                    await self._give_back(left, "its run was deleted")
                return
        if flow_run.work_pool_name != self._work_pool_name:
            return
        state = flow_run.state
        if state is not None and state.is_final() and not left.open:
            if (now - state.timestamp).total_seconds() >= YOUNG_S:
                await self._give_back(left, f"its run is {state.name}")
            return
        assert self._runs_task_group is not None
        self._runs_task_group.start_soon(self._attend_left, flow_run)

    async def _give_back(self, left: Found, why: str) -> None:
        books = self._renting.books(left.flow_run_id, self._work_pool_name)
        if await books.turn():
            self._logger.warning("giving back what flow run %s has (%s): %s", left.flow_run_id, left.pods, why)
            await self._renting.give_back(books, left.pods, why)

    async def _attend_left(self, flow_run: FlowRun) -> None:
        if flow_run.id in self._attended:
            return
        try:
            await self.run(flow_run, await self._configuration(flow_run))
        except Exception as error:                    # one run does not take the others with it
            self._logger.warning("flow run '%s' is left for the next sweep: %s", flow_run.name, error)

    async def _configuration(self, flow_run: FlowRun) -> RunPodJobConfiguration:
        kind = RunPodJobConfiguration
        try:
            made = await kind.resolve_for_flow_run(
                flow_run, client=self.client, work_pool=self.work_pool, worker_name=self.name,
                worker_id=self.backend_id)
        except ObjectNotFound:                        # its deployment is gone: the pool's own variables serve to end it
            made = await kind.from_template_and_values(self.work_pool.base_job_template, {}, client=self.client)
            made.prepare_for_flow_run(flow_run, work_pool=self.work_pool, worker_name=self.name)
        return made

    async def _one_pod(self, flow_run_id: UUID, pod_ids: list[str]) -> None:
        """After a lost answer a pod may appear when its run has another one already."""
        if len(pod_ids) < 2:
            return
        history = await asyncio.to_thread(self._renting.journal.history, f"flow_run/{flow_run_id}")
        ours = next((job for entry in reversed(history) if (job := getattr(entry, "job_id", ""))), "")
        for pod_id in strays(pod_ids, ours):
            self._logger.warning("pod %s is a second one of flow run %s and is deleted", pod_id, flow_run_id)
            await release(self._renting.control, pod_id, patience_s=60.0)
