"""What is to be created on RunPod, as values. Pure: `payload()` is what the control plane is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, model_validator

from callsheet.units import Frozen

Cloud = Literal["SECURE", "COMMUNITY"]
T = TypeVar("T", bound="Container")
CUDA = r"^\d+\.\d+$"


class Container(Frozen):
    """What runs, on whatever it runs."""

    name: str = Field(min_length=1)
    image: str = ""
    """Empty only where a template gives it."""
    args: str = ""
    """Arguments of the image's entrypoint: `pod` or `handler` for ours."""
    env: Mapping[str, str] = Field(default_factory=dict, repr=False)
    """May hold secrets."""
    disk_gb: int | None = Field(default=None, ge=1)
    """Ephemeral; None leaves it to the template or the provider."""
    registry: str | None = None
    """Id of the credentials for a private image."""

    def payload(self) -> dict[str, Any]:
        """As the API names it, without what is not set."""
        said: dict[str, Any] = {
            "name": self.name, "image": self.image, "args": self.args, "env": dict(self.env), "disk": self.disk_gb,
            "registry": self.registry,
        }
        return {name: value for name, value in said.items() if value not in ("", None, {})}


MIN_CUDA = "13.0"
"""Of the host's driver: torch's wheels in the image bring CUDA 13.0 (infra/)."""


class PodOrder(Container):
    """One pod, on one type of card: the provider has no fallback of its own."""

    gpu: str
    """RunPod's id of the card."""
    count: int = Field(default=1, ge=1)
    """Cards in the pod."""
    cloud: Cloud = "SECURE"
    data_centers: tuple[str, ...] = ()
    """Empty: any."""
    volume: str | None = None
    """Id of a network volume, which lies in one data centre."""
    volume_path: str = "/workspace"
    template: str | None = None
    min_cuda: str | None = Field(default=None, pattern=CUDA)
    """Lowest version that the host may have, as 12.8."""

    @model_validator(mode="after")
    def _runs_something(self) -> PodOrder:
        return _with_image(self, self.template)

    def payload(self) -> dict[str, Any]:
        said = super().payload() | {"cloud": self.cloud, "gpu": {"id": self.gpu, "count": self.count}}
        if self.min_cuda:
            said["gpu"]["minCudaVersion"] = self.min_cuda
        if self.data_centers:
            said["dataCenterIds"] = list(self.data_centers)
        if self.volume:
            said["mounts"] = {"network": [{"volumeId": self.volume, "path": self.volume_path}]}
        if self.template:
            said["templateId"] = self.template
        return said


class EndpointOrder(Container):
    """A queue with workers on any of several pools of cards."""

    pools: tuple[str, ...] = Field(min_length=1)
    """RunPod's ids; workers are placed where there is capacity."""
    excluded: tuple[str, ...] = ()
    """Ids of cards within those pools that are not wanted."""
    count: int = Field(default=1, ge=1)
    """Cards a worker."""
    min_workers: int = Field(default=0, ge=0)
    """Each is paid around the clock."""
    max_workers: int = Field(default=10, ge=0)
    idle_s: int = Field(default=5, ge=1, le=3600)
    """How long a worker stays, and is paid, after its last job."""
    queue_delay_s: float = Field(default=4, ge=0.5)
    """How long a job waits before a further worker is started."""
    timeout_s: float = Field(default=600, gt=0)
    """How long a job may run that brings no policy of its own."""
    flashboot: bool = True
    data_centers: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    template: str | None = None
    min_cuda: str | None = Field(default=None, pattern=CUDA)

    @model_validator(mode="after")
    def _runs_something(self) -> EndpointOrder:
        if self.min_workers > self.max_workers:
            raise ValueError(f"{self.min_workers} workers at least, {self.max_workers} at most")
        return _with_image(self, self.template)

    def payload(self) -> dict[str, Any]:
        gpu: dict[str, Any] = {"pools": list(self.pools), "count": self.count}
        if self.excluded:
            gpu["excludedTypes"] = list(self.excluded)
        if self.min_cuda:
            gpu["minCudaVersion"] = self.min_cuda
        said = super().payload() | {
            "type": "QUEUE",
            "gpu": gpu,
            "scaling": {"type": "QUEUE_DELAY", "queueDelay": self.queue_delay_s},
            "workers": {"min": self.min_workers, "max": self.max_workers, "idleTimeout": self.idle_s},
            "timeout": round(self.timeout_s * 1000),
            "flashboot": "FLASHBOOT" if self.flashboot else "OFF",      # the API's own default is OFF
        }
        if self.data_centers:
            said["dataCenterIds"] = list(self.data_centers)
        if self.volumes:
            said["networkVolumes"] = list(self.volumes)
        if self.template:
            said["templateId"] = self.template
        return said


class TemplateOrder(Container):
    """Container settings under a name."""

    image: str = Field(min_length=1)
    serverless: bool = False
    """For endpoints; else for pods."""

    def payload(self) -> dict[str, Any]:
        """Neither SSH nor Jupyter, which the API would start by default."""
        return super().payload() | {
            "serverless": self.serverless, "public": False, "startSsh": False, "startJupyter": False,
        }


class VolumeOrder(Frozen):
    """A network volume: paid by the month, for ever in its data centre."""

    name: str = Field(min_length=1)
    size_gb: int = Field(ge=10, le=4096)
    data_center: str = Field(min_length=1)
    type: Literal["STANDARD", "HIGH_PERFORMANCE"] = "STANDARD"

    def payload(self) -> dict[str, Any]:
        return {"name": self.name, "size": self.size_gb, "dataCenter": self.data_center, "type": self.type}


def _with_image(order: T, template: str | None) -> T:
    if not order.image and not template:
        raise ValueError("say which image to run, or a template that does")
    return order
