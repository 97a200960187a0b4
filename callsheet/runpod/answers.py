"""What the control plane answers with, as values. Lenient: what we do not need is ignored, null is no surprise."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from callsheet.pricing import HOUR_S, Rate

Availability = Literal["NONE", "LOW", "MEDIUM", "HIGH"]

_list = BeforeValidator(lambda value: () if value is None else value)
_dict = BeforeValidator(lambda value: {} if value is None else value)
_text = BeforeValidator(lambda value: "" if value is None else value)
_zero = BeforeValidator(lambda value: 0 if value is None else value)
_level = BeforeValidator(lambda value: value if value in ("LOW", "MEDIUM", "HIGH") else "NONE")

Text = Annotated[str, _text]
Texts = Annotated[tuple[str, ...], _list]
Env = Annotated[dict[str, str], _dict]
Usd = Annotated[float, _zero]
Count = Annotated[int, _zero]
Level = Annotated[Availability, _level]


class Answer(BaseModel):
    """Fields are named in our way; the API's camel case is read, and so are our names."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Gpu(Answer):
    id: str
    count: int = 1


class Runtime(Answer):
    uptime: Count = 0
    """Seconds since the container started."""


class NetworkMount(Answer):
    volume_id: str
    path: Text = ""


class Mounts(Answer):
    network: Annotated[tuple[NetworkMount, ...], _list] = ()


class Pod(Answer):
    """A rented machine. It costs from its creation until it is deleted, whatever its status."""

    id: str
    name: Text = ""
    status: str
    """PROVISIONING, STARTING, RUNNING, EXITED, ERROR or TERMINATED."""
    image: Text = ""
    args: Text = ""
    env: Env = Field(default_factory=dict, repr=False)
    """Holds secrets: not for logs."""
    gpu: Gpu | None = None
    cloud: Text = ""
    data_center_id: str | None = None
    mounts: Annotated[Mounts, _dict] = Mounts()
    cost: Usd = 0.0
    """USD an hour for the whole machine; 0 when it is EXITED or TERMINATED."""
    template: str | None = None
    runtime: Runtime | None = None
    created_at: AwareDatetime | None = None
    started_at: AwareDatetime | None = None

    @property
    def over(self) -> bool:
        """Whether it will never run again by itself."""
        return self.status in ("EXITED", "ERROR", "TERMINATED")

    @property
    def rate(self) -> Rate:
        """What a second of it costs."""
        return Rate(gpu=self.gpu.id if self.gpu else "", usd_per_second=self.cost / HOUR_S, source="pod")


class EndpointGpu(Answer):
    pools: Texts = ()
    excluded_types: Texts = ()
    count: int = 1


class Workers(Answer):
    """Limits of an endpoint's workforce."""

    min: Count = 0
    max: Count = 0
    idle_timeout: int | None = None
    """Seconds that an idle worker stays, and is paid."""


class Scaling(Answer):
    type: Text = ""
    queue_delay: float | None = None
    """Seconds that a job waits before a further worker is started."""
    request_count: int | None = None


class Endpoint(Answer):
    """A queue and its workers."""

    id: str
    name: Text = ""
    type: Text = ""
    image: Text = ""
    args: Text = ""
    disk: int | None = None
    env: Env = Field(default_factory=dict, repr=False)
    gpu: EndpointGpu | None = None
    workers: Workers
    scaling: Annotated[Scaling, _dict] = Scaling()
    data_center_ids: Texts = ()
    network_volumes: Texts = ()
    timeout: int | None = None
    """Milliseconds that a job may run, unless its policy says otherwise."""
    flashboot: Text = "OFF"
    created_at: AwareDatetime | None = None


class Worker(Answer):
    """One machine of an endpoint, while it is alive."""

    id: str
    status: str
    """RUNNING, IDLE, INITIALIZING, THROTTLED or UNHEALTHY."""
    is_stale: bool = False
    """Runs an older configuration of the endpoint."""
    gpu_count: Count = 0
    gpu_type_id: str | None = None
    data_center_id: str | None = None
    uptime_seconds: int | None = None
    started_at: AwareDatetime | None = None


class Template(Answer):
    id: str
    name: Text = ""
    image: Text = ""
    args: Text = ""
    disk: int | None = None
    env: Env = Field(default_factory=dict, repr=False)
    serverless: bool = False
    public: bool = False


class Volume(Answer):
    id: str
    name: Text = ""
    size: Count = 0
    """GB."""
    data_center: Text = ""
    type: Text = ""
    """STANDARD or HIGH_PERFORMANCE."""


class Stock(Answer):
    """How many of something are free somewhere."""

    id: str
    """Of the data centre, or of the card."""
    name: Text = ""
    availability: Level = "NONE"


class Price(Answer):
    """USD an hour for one card."""

    secure: float | None = None
    community: float | None = None
    serverless: float | None = None


class MaxCount(Answer):
    secure: Count = 0
    community: Count = 0


class GpuOffer(Answer):
    """A card of the catalogue."""

    id: str
    name: Text = ""
    pool: str | None = None
    """Of endpoints; None when endpoints cannot have it."""
    memory: Count = 0
    """GB."""
    secure: bool = False
    community: bool = False
    price: Annotated[Price, _dict] = Price()
    max_count: Annotated[MaxCount, _dict] = MaxCount()
    availability: Level = "NONE"
    """NONE also where it was not asked for."""
    data_centers: Annotated[tuple[Stock, ...], _list] = ()
    """Where it can be had; empty also where availability was not asked for."""

    def pod_rate(self, cloud: Literal["SECURE", "COMMUNITY"], count: int = 1) -> Rate | None:
        """What a second of a pod costs; None when the catalogue has no price (it lists 0 for what is not offered)."""
        return self._rate(self.price.secure if cloud == "SECURE" else self.price.community, count)

    def job_rate(self, count: int = 1) -> Rate | None:
        """What a second of an endpoint's worker costs."""
        return self._rate(self.price.serverless, count)

    def _rate(self, hourly: float | None, count: int) -> Rate | None:
        return Rate(gpu=self.id, usd_per_second=hourly * count / HOUR_S, source="catalogue") if hourly else None


class DataCenter(Answer):
    id: str
    name: Text = ""
    region: Text = ""
    network_volume_types: Texts = ()
    gpu_availability: Annotated[tuple[Stock, ...], _list] = ()


class BillRow(Answer):
    """What one pod or endpoint cost in one hour."""

    provider_id: str
    start: AwareDatetime
    end: AwareDatetime
    """Exclusive."""
    usd: float


class _Billed(Answer):
    start_time: AwareDatetime
    end_time: AwareDatetime
    total_amount: float


class PodBillRow(_Billed):
    """A row as the API writes it."""

    pod_id: str

    def row(self) -> BillRow:
        return BillRow(provider_id=self.pod_id, start=self.start_time, end=self.end_time, usd=self.total_amount)


class EndpointBillRow(_Billed):
    """A row as the API writes it."""

    serverless_id: str

    def row(self) -> BillRow:
        return BillRow(
            provider_id=self.serverless_id, start=self.start_time, end=self.end_time, usd=self.total_amount)
