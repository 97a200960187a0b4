"""What the emulator remembers: one class a kind of thing. Values that change; state.py keeps them.

Times are emulated seconds since 1970.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Row(BaseModel):
    """Something with an id, kept under its kind."""

    model_config = ConfigDict(extra="forbid")
    kind: ClassVar[str]
    id: str


class JobState(StrEnum):
    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def final(self) -> bool:
        return self not in (JobState.IN_QUEUE, JobState.IN_PROGRESS)


class Delivery(BaseModel):
    """A job as it was handed to a worker."""

    worker: str
    at: float


class Job(Row):
    kind = "job"
    endpoint: str
    input: Any
    state: JobState = JobState.IN_QUEUE
    created: float
    queued: float
    """When it last entered the queue."""
    sync: bool = False
    low_priority: bool = False
    execution_timeout_s: float
    ttl_s: float
    webhook: str | None = None
    worker: str | None = None
    """Who has it, or had it last."""
    deliveries: list[Delivery] = []
    taken: float | None = None
    ended: float | None = None
    has_output: bool = False
    output: Any = None
    """Progress while IN_PROGRESS, then the result."""
    has_error: bool = False
    error: Any = None
    chunks: list[Any] = []
    """Stream chunks that nobody has read yet."""
    missed_at: float | None = None
    """When its worker's death will be noticed."""
    gone: bool = False
    """Nobody finds it any more: its ttl ended, its result was kept long enough, or it was lost."""
    late: list[Any] = []
    """What workers posted after it had ended; nobody sees it."""
    revivable: bool = False
    """A fault: a result makes it COMPLETED although it was cancelled."""
    refused: bool = False
    """A fault: its result is too large, however often it is posted."""
    progress_after_done: Any = None
    asked: int = 0
    """How often its status was asked for."""


class WorkerState(StrEnum):
    INITIALIZING = "INITIALIZING"
    IDLE = "IDLE"
    RUNNING = "RUNNING"
    THROTTLED = "THROTTLED"
    UNHEALTHY = "UNHEALTHY"


class Worker(Row):
    kind = "worker"
    endpoint: str
    state: WorkerState = WorkerState.INITIALIZING
    key: str
    """What it identifies itself with."""
    version: int
    """Of the endpoint's configuration that it runs."""
    created: float
    gpu: str | None = None
    data_center: str | None = None
    placed: float | None = None
    """When it got a machine, from when it costs."""
    start_at: float | None = None
    """When its process is to be started next."""
    ready: float | None = None
    """When it first asked for a job."""
    idle_since: float | None = None
    jobs: list[str] = []
    """In its hands."""
    stops: list[str] = []
    """Jobs that it is to be told to stop."""
    stopped_at: float | None = None
    """When it was first told so without having come back since."""
    exits: list[int] = []
    """Codes with which its process ended by itself."""
    throttled_until: float | None = None
    crashing: bool = False
    """A fault: its process ends before it asks for a job."""
    pinged: float | None = None
    ended: float | None = None
    end_reason: str = ""


class Endpoint(Row):
    kind = "endpoint"
    spec: dict[str, Any]
    """The request that made it, with what was changed since."""
    created: float
    version: int = 1
    completed: int = 0
    failed: int = 0
    retried: int = 0
    workerless: bool = False
    """A fault: it gets no workers."""


class Pod(Row):
    kind = "pod"
    spec: dict[str, Any]
    state: str = "PROVISIONING"
    key: str
    """May read and delete this pod, nothing else."""
    gpu: str
    gpus: int
    data_center: str
    cloud: str
    usd_per_hour: float
    """For all its cards, at creation."""
    created: float
    started: float | None = None
    """When its container last started."""
    next_at: float | None = None
    """When it changes its state, or its container is started again."""
    exits: list[int] = []
    stuck: bool = False
    frozen: bool = False
    deleted: float | None = None
    end_reason: str = ""


class Template(Row):
    kind = "template"
    spec: dict[str, Any]


class Volume(Row):
    kind = "volume"
    spec: dict[str, Any]


class Price(BaseModel):
    """From a moment on."""

    at: float
    usd_per_second: float


class Life(Row):
    """One machine from its start to its end: what the bill is made of."""

    kind = "life"
    plane: str
    """pod | endpoint"""
    provider_id: str
    """What the bill names: the pod's id or the endpoint's."""
    resource: str
    """The pod's id or the worker's."""
    gpu: str
    gpus: int
    started: float
    ended: float | None = None
    prices: list[Price]
    """The first is from its start."""
