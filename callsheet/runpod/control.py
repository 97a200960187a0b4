"""RunPod's control plane v2: pods, endpoints, templates, volumes, what can be rented, and the bill.

Covers requests and typed answers. Answers are read leniently: fields that we do not know are ignored. Orders
(orders.py) say what to create. Nothing that creates is repeated here; which card to try next and what to do after
a lost answer is pods.py's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from callsheet.errors import AnswerUnknown, ProviderError, ProviderRefused
from callsheet.runpod.answers import (
    BillRow,
    DataCenter,
    Endpoint,
    EndpointBillRow,
    GpuOffer,
    Pod,
    PodBillRow,
    Template,
    Volume,
    Worker,
)
from callsheet.runpod.http import PROVIDER, Api, status_of
from callsheet.runpod.orders import EndpointOrder, PodOrder, TemplateOrder, VolumeOrder

__all__ = [
    "BillRow", "Control", "DataCenter", "Endpoint", "EndpointOrder", "GpuOffer", "Pod", "PodOrder", "Template",
    "TemplateOrder", "Volume", "VolumeOrder", "Worker",
]

T = TypeVar("T")


class Control:
    """The control plane of one account.

    Every method raises ProviderDenied, ProviderUnpaid, ProviderRefused, ProviderBusy and ProviderError as Api does;
    those that create raise AnswerUnknown when the thing may have been made.
    """

    def __init__(self, api: Api) -> None:
        self.api = api

    async def __aenter__(self) -> Control:
        await self.api.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.api.__aexit__(kind, error, trace)

    # ---- pods

    async def pods(self) -> list[Pod]:
        return await self._list("/v2/pods", "pods", Pod)

    async def pod(self, pod_id: str) -> Pod | None:
        """None when there is no such pod, or no more."""
        return await self._find(f"/v2/pods/{_segment(pod_id)}", Pod)

    async def create_pod(self, order: PodOrder) -> Pod:
        """Billing begins. ProviderRefused with status 400 is a lack of capacity or a broken rule; 422 is our mistake.

        403 (ProviderDenied with that status) is about this card alone, 401 about the key.
        """
        return await self._create("/v2/pods", order.payload(), Pod)

    async def delete_pod(self, pod_id: str) -> bool:
        """False when it was gone already. Retried: billing ends only with it."""
        return await self._delete(f"/v2/pods/{_segment(pod_id)}")

    # ---- endpoints

    async def endpoints(self) -> list[Endpoint]:
        return await self._list("/v2/serverless", "endpoints", Endpoint)

    async def endpoint(self, endpoint_id: str) -> Endpoint | None:
        return await self._find(f"/v2/serverless/{_segment(endpoint_id)}", Endpoint)

    async def create_endpoint(self, order: EndpointOrder) -> Endpoint:
        return await self._create("/v2/serverless", order.payload(), Endpoint)

    async def update_endpoint(self, endpoint_id: str, changes: Mapping[str, Any]) -> Endpoint:
        """`changes` as the API names them, such as {"workers": {"max": 10}}; what is left out stays."""
        return await self._change(f"/v2/serverless/{_segment(endpoint_id)}", changes, Endpoint)

    async def delete_endpoint(self, endpoint_id: str) -> bool:
        """False when it was gone already."""
        return await self._delete(f"/v2/serverless/{_segment(endpoint_id)}")

    async def workers(self, endpoint_id: str) -> list[Worker]:
        """Those that are alive. Raises ProviderRefused (404) when there is no such endpoint."""
        return await self._list(f"/v2/serverless/{_segment(endpoint_id)}/workers", "workers", Worker)

    # ---- templates and volumes

    async def templates(self) -> list[Template]:
        return await self._list("/v2/templates", "templates", Template)

    async def create_template(self, order: TemplateOrder) -> Template:
        return await self._create("/v2/templates", order.payload(), Template)

    async def update_template(self, template_id: str, changes: Mapping[str, Any]) -> Template:
        """`changes` as the API names them; what is left out stays."""
        return await self._change(f"/v2/templates/{_segment(template_id)}", changes, Template)

    async def volumes(self) -> list[Volume]:
        return await self._list("/v2/network-volumes", "networkVolumes", Volume)

    async def create_volume(self, order: VolumeOrder) -> Volume:
        """Billing by the month begins."""
        return await self._create("/v2/network-volumes", order.payload(), Volume)

    # ---- what can be rented

    async def gpus(
        self,
        availability_for: Literal["POD", "SERVERLESS"] | None = None,
        cloud: Literal["SECURE", "COMMUNITY"] | None = None,
        count: int = 1,
    ) -> list[GpuOffer]:
        """Cards and list prices; with `availability_for` also how many are free, for `count` a machine.

        `cloud` needs `availability_for`, since it only scopes the availability.
        """
        if availability_for is None and (cloud is not None or count != 1):
            raise ValueError("cloud and count scope an availability: say for which product")
        params: dict[str, str | int | float | bool] = {}
        if availability_for is not None:
            params = {"include": "AVAILABILITY", "product": availability_for, "count": count}
        if cloud is not None:
            params["cloud"] = cloud
        return await self._list("/v2/catalog/gpus", "gpus", GpuOffer, params)

    async def datacenters(self) -> list[DataCenter]:
        """With the availability of each card."""
        return await self._list(
            "/v2/catalog/datacenters", "dataCenters", DataCenter, {"include": "GPU_AVAILABILITY"})

    # ---- the bill

    async def pod_bill(self, start: datetime, end: datetime, pod_id: str | None = None) -> list[BillRow]:
        """What pods cost, by the hour; `start` and `end` are widened to whole hours."""
        params = _hours(start, end) | ({"podId": pod_id} if pod_id else {})
        rows = await self._list("/v2/billing/pods", "records", PodBillRow, params)
        return [row.row() for row in rows]

    async def endpoint_bill(self, start: datetime, end: datetime, endpoint_id: str | None = None) -> list[BillRow]:
        """What endpoints' workers cost, by the hour."""
        params = _hours(start, end) | ({"serverlessId": endpoint_id} if endpoint_id else {})
        rows = await self._list("/v2/billing/serverless", "records", EndpointBillRow, params)
        return [row.row() for row in rows]

    # ---- how each kind of request goes

    async def _list(
        self, path: str, name: str, kind: type[T], params: Mapping[str, str | int | float | bool] | None = None
    ) -> list[T]:
        answer = await self.api.call("GET", path, params=params)
        items = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(items, list):
            raise ProviderError(provider=PROVIDER, detail=f"GET {path} without a list of {name}")
        return [_read(item, kind, f"GET {path}", ProviderError) for item in items]

    async def _find(self, path: str, kind: type[T]) -> T | None:
        try:
            answer = await self.api.call("GET", path)
        except ProviderRefused as error:
            if status_of(error) == 404:
                return None
            raise
        return _read(answer, kind, f"GET {path}", ProviderError)

    async def _create(self, path: str, payload: Mapping[str, Any], kind: type[T]) -> T:
        answer = await self.api.call("POST", path, json=payload)
        return _read(answer, kind, f"POST {path}", AnswerUnknown)        # it was made, and costs

    async def _change(self, path: str, changes: Mapping[str, Any], kind: type[T]) -> T:
        answer = await self.api.call("PATCH", path, json=dict(changes), safe=True)     # sets values: twice is once
        return _read(answer, kind, f"PATCH {path}", ProviderError)

    async def _delete(self, path: str) -> bool:
        try:
            await self.api.call("DELETE", path)
        except ProviderRefused as error:
            if status_of(error) == 404:
                return False
            raise
        return True


def _read(item: Any, kind: type[T], where: str, error: type[ProviderError]) -> T:
    try:
        return TypeAdapter(kind).validate_python(item)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "answer"
        raise error(provider=PROVIDER, detail=f"{where} with a wrong {place}: {first['msg']}") from None


def _segment(name: str) -> str:
    """An id as one part of a path, whatever it holds. An empty one is not "gone": it would name the whole list."""
    if not name or set(name) == {"."}:
        raise ProviderRefused(provider=PROVIDER, detail=f"{name!r} is no id")
    return quote(name, safe="")


def _hours(start: datetime, end: datetime) -> dict[str, str | int | float | bool]:
    return {"startTime": _utc(start), "endTime": _utc(end), "bucketSize": "hour"}


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
