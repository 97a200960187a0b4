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
    env             further variables of a pod                {}

A Prefect API with a password: a pod gets PREFECT_API_KEY or PREFECT_API_AUTH_STRING from `env`, as a Secret block,
"{{ prefect.blocks.secret.<name> }}": in plain text everybody who sees the pool sees it. An endpoint's worker gets it,
and all other variables, from the endpoint's template: `env` has to be empty in serverless mode.

Covers what Prefect asks of a worker. How a run and its machine are looked after is in attend.py and knows nothing
of Prefect; machines are in pod_hire.py and job_hire.py; what Prefect is told is in tasks/desk.py, and how runs are
found that another worker left behind in tasks/left_runs.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import anyio
import anyio.abc
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import InfrastructureNotAvailable, InfrastructureNotFound, ObjectNotFound
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY, PREFECT_API_URL
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult
from pydantic import field_validator

from callsheet import project
from callsheet.errors import CallsheetError, ProviderError, as_ours
from callsheet.runpod.adoption import Found
from callsheet.runpod.attend import Attendance, End
from callsheet.runpod.client import JobsClient
from callsheet.runpod.job_variables import JobVariables
from callsheet.runpod.pods import named, pod_name, release
from callsheet.settings import Settings

project.importable()        # Prefect loads this wherever it runs, and finds no `tasks` by itself

from tasks.desk import PrefectDesk, payer  # noqa: E402
from tasks.left_runs import LeftRuns  # noqa: E402
from tasks.renting import Renting  # noqa: E402

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

        try:
            end = await self._looked_after(flow_run, configuration, started)
        except CallsheetError as error:               # before anything was asked of the provider
            await self._refuse(flow_run, configuration, error)
            started("")
            return RunPodWorkerResult(identifier="none", status_code=1)
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
        if not any(key.value() for key in keys) or any(key.name in configuration.env for key in keys):
            return
        names, log = " or ".join(key.name for key in keys), self.get_flow_run_logger(flow_run)
        if configuration.mode == "serverless":        # what a template has is not known here: no warning
            log.info("this worker has a key for Prefect's API: the endpoint's template needs one too, in %s", names)
        else:
            log.warning(
                "this worker has a key for Prefect's API and its pods get none: save one as a Secret block, and set "
                "%s to {{ prefect.blocks.secret.<name> }} in the work pool's env, never to the key itself", names)

    async def _looked_after(
        self, flow_run: FlowRun, configuration: RunPodJobConfiguration, started: Callable[[str], None]
    ) -> End:
        """Raises SettingMissing and SettingInvalid before anything is begun."""
        while (other := self._attended.get(flow_run.id)) is not None:
            await other.wait()                        # its last machine is still being given back
        done = self._attended[flow_run.id] = asyncio.Event()
        try:
            books = self._renting.books(flow_run.id, self._work_pool_name, payer(flow_run))
            hire = self._renting.hire(flow_run.id, configuration, configuration.asked, books)
            desk = self._desk(flow_run, configuration, started)
            return await Attendance(hire, books, desk, f"flow run {flow_run.name!r}").run()
        finally:
            del self._attended[flow_run.id]
            done.set()

    async def _refuse(
        self, flow_run: FlowRun, configuration: RunPodJobConfiguration, error: CallsheetError
    ) -> None:
        state: Literal["crashed", "failed"] = "crashed" if error.retryable else "failed"
        await self._desk(flow_run, configuration, _nobody).become(state, str(error))

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
                except Exception as error:            # whatever it is, the worker goes on
                    self._logger.warning("could not look for runs that were left behind: %s", as_ours(error))
                await anyio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """Look after every run of this pool that nobody looks after, and give back what nobody needs."""
        if self._work_pool is None or self._runs_task_group is None:
            return
        left = LeftRuns(self._renting, self.client, self._work_pool_name, self._logger)
        busy = self._attended.keys() | self._submitting_flow_run_ids
        for found, flow_run in await left.look(busy, tuple(self._attended)):
            if flow_run.id not in self._attended:
                self._runs_task_group.start_soon(self._attend_left, found, flow_run)

    async def _attend_left(self, left: Found, flow_run: FlowRun) -> None:
        try:
            configuration = await self._configuration(flow_run)
            try:
                await self._looked_after(flow_run, configuration, _nobody)
            except CallsheetError as error:
                if left.open or left.pods:            # it may be at work over there: no mistake of ours may end it
                    raise
                await self._refuse(flow_run, configuration, error)
        except Exception as error:                    # one run does not take the others with it
            self._logger.warning("flow run '%s' is left for the next sweep: %s", flow_run.name, as_ours(error))

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


def _nobody(pid: str) -> None:
    """Nobody waits to hear that it has begun."""
