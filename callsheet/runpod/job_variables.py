"""Job variables of the work-pool type `runpod`: what a pool, a deployment or a run may say about its machine.

Covers names, ranges, defaults and the words that the form in the UI shows. What is left empty is taken from the
worker's settings (CALLSHEET_RUNPOD_*). Knows nothing of Prefect: worker.py makes its models of these.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["pod", "serverless"]

CloudChoice = Literal["secure", "community", "any"]
"""RunPod's own data centres, other people's machines, or whichever is cheaper."""

CardName = Literal["A40", "L40S", "RTX A6000", "A100", "H100"]

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{3,64}$")]
"""Of an endpoint or a volume."""


def _told(default: Any, title: str, description: str) -> Any:
    return Field(default, title=title, description=description)


def _in_order(schema: dict[str, Any]) -> None:
    # PostgreSQL gives the properties back with the shortest names first: `position` is what the form goes by.
    for position, shown in enumerate(schema["properties"].values()):
        shown["position"] = position


class JobVariables(BaseModel):
    """How one flow run gets its GPU."""

    model_config = ConfigDict(json_schema_extra=_in_order)

    mode: Mode = _told(
        "pod", "Mode",
        "**pod** rents a machine for this run and deletes it afterwards. **serverless** sends the run to an endpoint, "
        "whose workers start and stop by themselves.")
    deadline_s: Annotated[int, Field(ge=60, le=86_400)] = _told(
        3600, "Deadline (seconds)",
        "The machine is deleted this long after it was ordered, whatever it is doing. So the most that the run can "
        "cost is this times the price.")
    image: Annotated[str, Field(min_length=1, max_length=300)] | None = _told(
        None, "Image", "Container image of pods, built from infra/. Empty: CALLSHEET_RUNPOD_IMAGE.")
    cards: list[CardName] = _told(
        [], "Cards",
        "GPUs that may be rented; the cheapest one that is free is taken. Empty: CALLSHEET_RUNPOD_GPUS.")
    gpu_count: Annotated[int, Field(ge=1, le=8)] = _told(1, "GPUs", "How many of them one pod has.")
    cloud: CloudChoice = _told(
        "secure", "Cloud",
        "**secure** is RunPod's own data centres; **community** is other people's machines: cheaper, without network "
        "volumes, and they see the keys of your store; **any** takes "
        "whichever is cheaper.")
    data_centers: list[str] = _told(
        [], "Data centres", "Ids such as `EU-RO-1`. Empty: all of them, or with a volume the volume's own.")
    volume: Id | None = _told(
        None, "Network volume",
        "Id of the volume with the models, mounted at /workspace. Empty: CALLSHEET_RUNPOD_VOLUME, else none.")
    disk_gb: Annotated[int, Field(ge=5, le=2000)] = _told(
        50, "Disk (GB)", "Of the pod's container; gone when the pod is.")
    endpoint: Id | None = _told(
        None, "Endpoint", "Serverless mode: the endpoint's id. Empty: RUNPOD_ENDPOINT_ID.")
    boot_s: Annotated[int, Field(ge=5, le=3600)] = _told(
        420, "Boot limit (seconds)",
        "A pod that is not up by then is deleted, and the next card or data centre is tried.")
    quiet_s: Annotated[int, Field(ge=30, le=86_400)] = _told(
        900, "Quiet limit (seconds)",
        "A pod on which nothing happens for so long is given up. Models of a cold volume take minutes to load.")
    capacity_s: Annotated[int, Field(ge=0, le=86_400)] = _told(
        900, "Patience (seconds)",
        "How long to go on asking when no card is free. In serverless mode a job may wait so long beside its work, and "
        "its queue is looked into after three minutes at most.")
    cancel_grace_s: Annotated[int, Field(ge=0, le=10)] = _told(
        8, "Grace when cancelled (seconds)",
        "Time for a flow that runs to end by itself before its machine is deleted. A machine that still boots gets "
        "none.")
