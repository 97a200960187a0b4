"""What the control plane takes: strict models of its request bodies. Whatever does not fit is a 422.

Covers the fields of the published schema that matter to GPU pods and to queue endpoints. CPU machines, clusters,
load balancers and registries are refused: the emulator has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from callsheet.pricing import CARDS
from callsheet.runpod.emulator.catalogue import DATA_CENTERS, pools

Cuda = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]
Text = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[int, Field(ge=1, le=8)]


def _one_of(known: Iterable[str]) -> AfterValidator:
    names = tuple(known)

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"it is not one of {', '.join(names)}")
        return value

    return AfterValidator(check)


Center = Annotated[str, _one_of(DATA_CENTERS)]
Gpu = Annotated[str, _one_of(card.id for card in CARDS)]
Pools = Annotated[list[Annotated[str, _one_of(sorted(pools()))]], Field(min_length=1)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    def spec(self) -> dict[str, Any]:
        """What was given, with defaults, without nulls."""
        return self.model_dump(mode="json", exclude_none=True)

    def changes(self) -> dict[str, Any]:
        """What was given."""
        return self.model_dump(mode="json", exclude_unset=True)


class Container(Body):
    image: Text | None = None
    args: str | None = None
    disk: Annotated[int, Field(ge=1)] | None = None
    env: dict[str, str] | None = None
    ports: list[str] | None = None
    registry: str | None = None


class PersistentMount(Body):
    size: Annotated[int, Field(ge=10)]
    path: Text


class NetworkMount(Body):
    volumeId: Text                                      # noqa: N815    # the provider's names
    path: Text


class Mounts(Body):
    persistent: PersistentMount | None = None
    network: Annotated[list[NetworkMount], Field(max_length=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.persistent and self.network:
            raise ValueError("persistent and network exclude each other")
        return self


class TemplateMounts(Body):
    persistent: PersistentMount | None = None


class PodGpu(Body):
    id: Gpu
    count: Count = 1
    allowedCudaVersions: list[Cuda] | None = None       # noqa: N815
    minCudaVersion: Cuda | None = None                  # noqa: N815



class CreatePod(Container):
    name: Text
    cloud: Literal["SECURE", "COMMUNITY"] = "SECURE"
    dataCenterIds: list[Center] | None = None                # noqa: N815
    globalNetworking: Literal[False] = False            # noqa: N815
    gpu: PodGpu
    mounts: Mounts | None = None
    startJupyter: bool = False                          # noqa: N815
    startSsh: bool = False                              # noqa: N815
    templateId: Text | None = None                      # noqa: N815

    @model_validator(mode="after")
    def _image(self) -> Self:
        if not self.image and not self.templateId:
            raise ValueError("image is required without templateId")
        return self


class PodAction(Body):
    action: Literal["start", "stop", "restart", "terminate"]


class QueueDelay(Body):
    type: Literal["QUEUE_DELAY"]
    queueDelay: Annotated[float, Field(ge=0.5)]         # noqa: N815


class RequestCount(Body):
    type: Literal["REQUEST_COUNT"]
    requestCount: Annotated[int, Field(ge=1)]           # noqa: N815


Scaling = Annotated[QueueDelay | RequestCount, Field(discriminator="type")]


class NewEndpointGpu(Body):
    pools: Pools
    excludedTypes: list[Text] | None = None             # noqa: N815
    count: Count = 1
    allowedCudaVersions: list[Cuda] | None = None       # noqa: N815
    minCudaVersion: Cuda | None = None                  # noqa: N815


class ChangedEndpointGpu(Body):
    pools: Pools | None = None
    excludedTypes: list[Text] | None = None             # noqa: N815
    count: Count | None = None
    allowedCudaVersions: list[Cuda] | None = None       # noqa: N815
    minCudaVersion: Cuda | None = None                  # noqa: N815


class NewEndpointWorkers(Body):
    min: Annotated[int, Field(ge=0)] = 0
    max: Annotated[int, Field(ge=0)] = 3
    idleTimeout: Annotated[int, Field(ge=1, le=3600)] = 10                        # noqa: N815

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError("min is more than max")
        return self


class ChangedEndpointWorkers(Body):
    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None
    idleTimeout: Annotated[int, Field(ge=1, le=3600)] | None = None               # noqa: N815


FlashBoot = Literal["OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT"]


class CreateEndpoint(Container):
    name: Text
    type: Literal["QUEUE"]
    scaling: Scaling
    gpu: NewEndpointGpu
    dataCenterIds: list[Center] | None = None                # noqa: N815
    flashboot: FlashBoot = "OFF"
    networkVolumes: list[Text] | None = None            # noqa: N815
    templateId: Text | None = None                      # noqa: N815
    timeout: Annotated[int, Field(ge=0)] = 300_000
    workers: NewEndpointWorkers = NewEndpointWorkers()

    @model_validator(mode="after")
    def _image(self) -> Self:
        if not self.image and not self.templateId:
            raise ValueError("image is required without templateId")
        return self


class UpdateEndpoint(Container):
    name: Text | None = None
    scaling: Scaling | None = None
    gpu: ChangedEndpointGpu | None = None
    dataCenterIds: list[Center] | None = None                # noqa: N815
    flashboot: FlashBoot | None = None
    networkVolumes: list[Text] | None = None            # noqa: N815
    templateId: Text | None = None                      # noqa: N815
    timeout: Annotated[int, Field(ge=0)] | None = None
    workers: ChangedEndpointWorkers | None = None


class CreateTemplate(Container):
    name: Text
    image: Text
    allowedCudaVersions: list[Cuda] | None = None       # noqa: N815
    category: Literal["CPU", "NVIDIA", "AMD"] = "NVIDIA"
    mounts: TemplateMounts | None = None
    public: bool = False
    serverless: bool = False
    startJupyter: bool = True                           # noqa: N815
    startSsh: bool = True                               # noqa: N815


class UpdateTemplate(Container):
    name: Text | None = None
    allowedCudaVersions: list[Cuda] | None = None       # noqa: N815
    category: Literal["CPU", "NVIDIA", "AMD"] | None = None
    mounts: TemplateMounts | None = None
    public: bool | None = None
    serverless: bool | None = None
    startJupyter: bool | None = None                    # noqa: N815
    startSsh: bool | None = None                        # noqa: N815


class CreateVolume(Body):
    name: Text
    size: Annotated[int, Field(ge=10, le=4096)]
    dataCenter: Center                                  # noqa: N815
    type: Literal["STANDARD", "HIGH_PERFORMANCE"] = "STANDARD"


class UpdateVolume(Body):
    name: Text | None = None
    size: Annotated[int, Field(ge=10, le=4096)] | None = None
